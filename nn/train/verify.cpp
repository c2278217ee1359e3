// SPDX-License-Identifier: Apache-2.0
#include "nn/train/verify.h"

#include <algorithm>
#include <map>
#include <optional>
#include <stdexcept>

#include "nn/data/dataset.h"
#include "nn/models/state.h"
#include "nn/run/initial_state.h"
#include "nn/run/network_run.h"
#include "nn/train/run_damage.h"

namespace bitcycle {
namespace {

using TensorDigests = std::vector<std::pair<std::string, Digest128>>;

/// Names of tensors that are not the same in both.
std::vector<std::string> different_tensors(const TensorDigests& a, const TensorDigests& b) {
  const std::map<std::string, Digest128> first(a.begin(), a.end()), second(b.begin(), b.end());
  std::vector<std::string> names;
  for (const auto& [name, digest] : first) {
    const auto other = second.find(name);
    if (other == second.end() || other->second != digest) names.push_back(name);
  }
  for (const auto& [name, digest] : second) {
    if (first.count(name) == 0) names.push_back(name);
  }
  return names;
}

/// The digests of a run, every line as it was written and none missing.
std::vector<DigestRecord> whole_digests(const RunFolder& folder) {
  auto records = folder.digests();
  const std::string file = "'" + (folder.path() / "digests.jsonl").string() + "'";
  for (const auto& text : folder.cut_short(steps_done(folder))) {
    if (text.starts_with(file)) throw std::runtime_error(text + "; restore the file from a copy, and compare again");
  }
  return records;
}

/// One run, computed again.
class Replay {
 public:
  Replay(const RunFolder& folder, Device& device, std::int64_t most)
      : config_(folder.config()), dataset_(load_dataset(config_)), run_(config_, dataset_, device) {
    for (const auto& record : folder.digests()) recorded_[record.step] = record.root;
    std::vector<std::string> damaged;  // an earlier one serves as well
    const auto checkpoint = folder.newest_checkpoint(damaged, most);
    if (!checkpoint) {
      if (config_.fork.step > 0) {
        throw std::runtime_error("'" + folder.path().string() + "' took over its first " +
                                 std::to_string(config_.fork.step) + " steps from '" + config_.fork.run +
                                 "'; compare that run to look at them");
      }
      set_initial_state(run_, config_);
      return;
    }
    load_state(run_.state(), checkpoint->file, folder.path().string());
    done_ = checkpoint->step;
  }

  std::int64_t done() const { return done_; }
  void step() {
    run_.step(done_++);
    run_.move_plateau(done_);
  }
  StateDigest digest() { return digest_state(run_.state()); }
  bool is_unlike_record(const Digest128& root) const {
    const auto found = recorded_.find(done_);
    return found != recorded_.end() && found->second != root;
  }

 private:
  const Config config_;
  const Dataset dataset_;
  NetworkRun run_;
  std::int64_t done_ = 0;
  std::map<std::int64_t, Digest128> recorded_;
};

}  // namespace

RunComparison compare_runs(const RunFolder& a, const RunFolder& b) {
  RunComparison result;
  result.different_keys = identity_differences(a.config(), b.config(), "the first run", "the second");
  const auto first = whole_digests(a), second = whole_digests(b);
  std::map<std::int64_t, const DigestRecord*> by_step;
  for (const auto& record : second) by_step[record.step] = &record;
  if (!first.empty()) result.last_step[0] = first.back().step;
  if (!second.empty()) result.last_step[1] = second.back().step;
  for (const auto& record : first) {
    const auto found = by_step.find(record.step);
    if (found == by_step.end()) continue;
    ++result.compared;
    // Tensors as well as roots: each line of either run may have been written without the tensors.
    const auto& other = *found->second;
    if (!record.tensors.empty() && !other.tensors.empty()) {
      result.tensors = different_tensors(record.tensors, other.tensors);
    }
    if (record.root == other.root && result.tensors.empty()) {
      result.last_equal = record.step;
      continue;
    }
    result.first_different = record.step;
    break;
  }
  return result;
}

Bisection bisect_runs(const RunFolder& a, Device& device_a, const RunFolder& b, Device& device_b,
                      const std::function<void(std::int64_t step)>& progress) {
  const RunComparison comparison = compare_runs(a, b);
  if (comparison.compared == 0)
    throw std::runtime_error("no step is recorded in both runs; there is nothing to replay");
  if (comparison.equal()) throw std::runtime_error("the runs are equal at every step recorded in both");
  const std::int64_t last_equal = std::max<std::int64_t>(0, comparison.last_equal);
  Replay first(a, device_a, last_equal), second(b, device_b, last_equal);
  Bisection result;
  result.start = std::max(first.done(), second.done());
  while (first.done() < result.start) first.step();
  while (second.done() < result.start) second.step();
  while (first.done() <= comparison.first_different) {
    const StateDigest one = first.digest(), other = second.digest();
    result.replayed_to = first.done();
    if (result.unlike_record[0] < 0 && first.is_unlike_record(one.root)) result.unlike_record[0] = first.done();
    if (result.unlike_record[1] < 0 && second.is_unlike_record(other.root)) result.unlike_record[1] = second.done();
    if (one.root != other.root) {
      result.first_different = first.done();
      result.tensors = different_tensors(one.tensors, other.tensors);
      break;
    }
    if (first.done() == comparison.first_different) break;
    first.step();
    second.step();
    if (progress) progress(first.done());
  }
  return result;
}

}  // namespace bitcycle
