// SPDX-License-Identifier: Apache-2.0
#include "nn/train/run_folder.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <map>
#include <stdexcept>

#include "nn/config/config_error.h"
#include "nn/config/recorded_config.h"
#include "nn/io/atomic_file.h"
#include "nn/train/progress_state.h"
#include "nn/train/run_extension.h"
#include "nn/train/run_key.h"
#include "nn/train/run_records.h"

namespace bitcycle {
namespace fs = std::filesystem;
namespace {

constexpr const char* kConfig = "config.yaml";
constexpr const char* kSummary = "summary.json";
constexpr const char* kCost = "cost.csv";
constexpr const char* kDictionary = "dictionary.txt";
constexpr const char* kCheckpoints = "checkpoints";
constexpr const char* kLock = ".lock";

/// Makes a folder, and its parents; unless kept, those that were not there before go away again.
class NewFolder {
 public:
  explicit NewFolder(const fs::path& path) {
    for (fs::path at = path; !at.empty() && !fs::exists(at); at = at.parent_path()) made_.push_back(at);
    std::error_code error;
    fs::create_directories(path, error);
    if (!error) return;
    const int reason = error.value();
    discard();
    throw_file_error("cannot make the folder", path, reason);
  }
  ~NewFolder() { discard(); }
  NewFolder(const NewFolder&) = delete;
  NewFolder& operator=(const NewFolder&) = delete;
  void keep() { made_.clear(); }

 private:
  /// Only what is empty but for the lock goes: another process may have put something there meanwhile.
  void discard() {
    std::error_code ignored;
    if (!made_.empty()) fs::remove(made_.front() / kLock, ignored);
    for (const auto& folder : made_) fs::remove(folder, ignored);
    made_.clear();
  }
  std::vector<fs::path> made_;  // the innermost first
};

}  // namespace

/// An advisory lock on the folder's lock file, released with the process whatever happens to it.
struct RunFolder::Lock {
  explicit Lock(const fs::path& path) {
    file = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (file < 0) throw_file_error("cannot write in the run folder:", path, errno);
    if (::flock(file, LOCK_EX | LOCK_NB) != 0) {
      const int reason = errno;
      ::close(file);
      if (reason == EWOULDBLOCK) {
        throw std::runtime_error(
            "the run folder '" + path.parent_path().string() +
            "' is in use by another process; wait for it, stop it, or choose another folder with --out");
      }
      throw_file_error("cannot lock", path, reason);
    }
  }
  ~Lock() { ::close(file); }
  Lock(const Lock&) = delete;
  Lock& operator=(const Lock&) = delete;
  int file = -1;
};

RunFolder::RunFolder(fs::path path)
    : path_(std::move(path)),
      key_([config = path_ / kConfig, key = std::make_shared<std::string>()] {
        if (key->empty()) *key = run_key(parse_recorded_config(read_file(config), config.string()));
        return *key;
      }),
      steps_(path_ / "steps.csv", kStepsHeader, key_),
      widths_(path_ / "widths.csv", kWidthsHeader, key_),
      metrics_(path_ / "metrics.jsonl", "", key_),
      digests_(path_ / "digests.jsonl", "", key_) {}

void RunFolder::check(const fs::path& path, const Config& config) {
  if (fs::exists(path) && !fs::is_directory(path)) {
    throw std::runtime_error("the run folder '" + path.string() + "' is a file; choose another with --out");
  }
  if (!fs::is_directory(path)) return;
  if (!fs::exists(path / kConfig)) {
    const bool only_ours = std::all_of(fs::directory_iterator(path), fs::directory_iterator(), [](const auto& entry) {
      const std::string name = entry.path().filename().string();
      return name == kLock || name.rfind(std::string(kConfig) + ".tmp", 0) == 0;
    });
    if (only_ours) return;
    throw std::runtime_error("'" + path.string() + "' holds other files and no run (no config.yaml); choose another " +
                             "folder with --out");
  }
  const RunFolder existing(path);
  const Config recorded = existing.config();
  const auto differences = identity_differences(config, recorded);
  if (differences.empty()) return;
  const auto steps = existing.checkpoint_steps();
  const RunExtension extension = run_extension(config, recorded, steps.empty() ? 0 : steps.back());
  if (extension.possible()) return;
  std::string text = "the run folder '" + path.string() + "' holds a run of another config:";
  for (const auto& line : differences) text += "\n  " + line;
  if (extension.asked_for) text += "\nit cannot be made longer under this one: " + extension.refusal;
  throw std::runtime_error(text + "\nuse --restart to start again (the old folder is kept under another name), or " +
                           "--out for another folder");
}

RunFolder RunFolder::open(const fs::path& path, const Config& config) {
  check(path, config);
  NewFolder made(path);
  RunFolder run(path);
  run.lock_ = std::make_shared<Lock>(path / kLock);
  check(path, config);  // another process may have been here before the lock
  remove_orphans(path);
  remove_orphans(path / kCheckpoints);
  if (!fs::exists(path / kConfig)) run.write_config(config);
  if (!identity_differences(config, run.config()).empty()) {
    // A longer run. The summary goes first: a kill in between leaves the shorter run, whose end is written again.
    fs::remove(path / kSummary);
    run.write_config(config);
  }
  NewFolder(path / kCheckpoints).keep();
  made.keep();
  return run;
}

RunFolder RunFolder::existing(const fs::path& path) {
  if (!fs::exists(path)) throw std::runtime_error("there is no run folder '" + path.string() + "'");
  if (!fs::is_directory(path)) {
    throw std::runtime_error("'" + path.string() + "' is a file; the folder of a run is needed, e.g. runs/quickstart");
  }
  if (!fs::exists(path / kConfig)) {
    // Most likely the folder around the runs was named.
    std::string inside;
    std::error_code ignored;
    for (const auto& entry : fs::directory_iterator(path, ignored)) {
      const std::string name = entry.path().string();
      if (fs::exists(entry.path() / kConfig, ignored) && (inside.empty() || name < inside)) inside = name;
    }
    throw std::runtime_error("'" + path.string() + "' is not a run folder: it has no config.yaml" +
                             (inside.empty() ? "" : "; '" + inside + "', which is in it, is one"));
  }
  return RunFolder(path);
}

fs::path RunFolder::set_aside(const fs::path& path) {
  if (!fs::exists(path)) return {};
  existing(path);  // only runs are moved
  const Lock lock(path / kLock);
  for (int i = 1;; ++i) {
    fs::path other = path;
    other += "." + std::to_string(i);
    if (fs::exists(other)) continue;
    std::error_code error;
    fs::rename(path, other, error);
    if (error) throw_file_error("cannot rename the run folder", path, error.value());
    return other;
  }
}

Config RunFolder::config() const {
  const std::string text = read_file(path_ / kConfig), origin = (path_ / kConfig).string();
  Config config = parse_recorded_config(text, origin);
  if (!is_sealed_config(text) && is_tied()) {
    throw ConfigError(origin +
                      ": its last line, the checksum of the lines above, was removed, so changes to them are " +
                      "not found. Restore the file from a copy, or start again with --restart (this folder is kept)");
  }
  return config;
}

void RunFolder::write_config(const Config& config) {
  write_file_atomically(path_ / kConfig, recorded_config_yaml(config));
}

bool RunFolder::finished() const { return fs::exists(path_ / kSummary); }

std::optional<std::string> RunFolder::summary_json() const {
  if (!finished()) return std::nullopt;
  const std::string text = read_file(path_ / kSummary);
  const auto whole = json_is_whole(text);
  if (whole ? *whole : !is_sealed()) return text;
  throw std::runtime_error("'" + (path_ / kSummary).string() + "' was changed after it was written (" +
                           (whole ? "its checksum does not fit" : "it has no checksum, and the other records have") +
                           ")");
}

void RunFolder::write_summary(const std::string& json) {
  write_file_atomically(path_ / kSummary, seal_json(json, record_digests()));
}

std::map<std::string, std::string> RunFolder::record_digests() const {
  std::map<std::string, std::string> digests;
  for (const auto& path :
       {path_ / kConfig, steps_.path(), widths_.path(), metrics_.path(), digests_.path(), path_ / kCost}) {
    const std::string text = fs::exists(path) ? read_file(path) : "";
    digests[path.filename().string()] = to_text(digest_of(text.data(), text.size()));
  }
  return digests;
}

void RunFolder::write_cost(const std::string& csv) { write_file_atomically(path_ / kCost, csv); }
void RunFolder::write_dictionary(const std::string& text) { write_file_atomically(path_ / kDictionary, text); }
std::optional<std::string> RunFolder::dictionary() const {
  if (!std::filesystem::is_regular_file(path_ / kDictionary)) return std::nullopt;
  return read_file(path_ / kDictionary);
}

void RunFolder::write_checkpoint(const Checkpoint& checkpoint, int keep) {
  write_checkpoint_file(path_ / kCheckpoints / checkpoint_name(checkpoint.step), checkpoint);
  remove_checkpoints(checkpoint, keep);
}

void RunFolder::write_checkpoint(const Checkpoint& checkpoint, const TensorStream& tensors, int keep) {
  write_checkpoint_file(path_ / kCheckpoints / checkpoint_name(checkpoint.step), checkpoint, tensors);
  remove_checkpoints(checkpoint, keep);
}

void RunFolder::remove_checkpoints(const Checkpoint& checkpoint, int keep) {
  const fs::path folder = path_ / kCheckpoints;
  const auto steps = checkpoint_steps();
  const auto kept = static_cast<std::size_t>(keep);
  for (std::size_t i = 0; i + kept < steps.size(); ++i) {
    if (steps[i] == checkpoint.best_step) continue;
    std::error_code ignored;  // a file that cannot be removed costs space, not the run
    fs::remove(folder / checkpoint_name(steps[i]), ignored);
  }
}

std::vector<std::int64_t> RunFolder::checkpoint_steps() const {
  return bitcycle::checkpoint_steps(path_ / kCheckpoints);
}

/// A checkpoint of this run: the bytes that were written, of the step that its name says, with the recorded digest.
Checkpoint RunFolder::read_step(std::int64_t step) const {
  const fs::path path = path_ / kCheckpoints / checkpoint_name(step);
  Checkpoint checkpoint = read_checkpoint_file(path);
  if (checkpoint.step != step) {
    throw std::runtime_error("'" + path.string() + "' says that it is of step " + std::to_string(checkpoint.step));
  }
  check_origin(checkpoint, path);
  const auto recorded = recorded_digest(step);
  const Digest128 root = digest_root(checkpoint.file.tensors);
  if (recorded && root != *recorded) {
    throw std::runtime_error("'" + path.string() + "' is damaged, or of another run: its digest is " + to_text(root) +
                             ", digests.jsonl has " + to_text(*recorded) + " at its step");
  }
  return checkpoint;
}

std::optional<Checkpoint> RunFolder::newest_checkpoint(std::vector<std::string>& warnings, std::int64_t most) const {
  auto steps = checkpoint_steps();
  for (; !steps.empty(); steps.pop_back()) {
    if (steps.back() > most) continue;
    try {
      return read_step(steps.back());
    } catch (const std::exception& error) {
      warnings.push_back(std::string("a checkpoint is not used: ") + error.what());
    }
  }
  return std::nullopt;
}

void RunFolder::check_origin(const Checkpoint& checkpoint, const fs::path& path) const {
  const Config config = this->config();
  const auto& metadata = checkpoint.file.metadata;
  const auto identity = metadata.find(kIdentityKey), key = metadata.find(kRunKey);
  if (identity == metadata.end() || identity->second == identity_digest(config)) return;
  // A run that became longer: what its steps did is what the longer config has them do.
  const bool same_key = key == metadata.end() || key->second == key_();
  if (same_key && static_cast<std::int64_t>(scan(config).steps.records.size()) >= checkpoint.step) return;
  throw std::runtime_error("'" + path.string() + "' was written by a run of another config than '" +
                           (path_ / kConfig).string() + "'");
}

bool RunFolder::evaluation_is_missing(std::int64_t step) const {
  return checkpoint_metadata(path_ / kCheckpoints / checkpoint_name(step)).count(kEvaluationMissing) != 0;
}

std::vector<std::string> RunFolder::foreign_checkpoints() const {
  std::string steps;
  for (const auto step : checkpoint_steps()) {
    const auto metadata = checkpoint_metadata(path_ / kCheckpoints / checkpoint_name(step));
    const auto key = metadata.find(kRunKey);
    if (key != metadata.end() && key->second != key_()) steps += (steps.empty() ? "" : ", ") + std::to_string(step);
  }
  if (steps.empty()) return {};
  return {"'" + (path_ / kCheckpoints).string() + "' holds checkpoints of a run of another config than '" +
          (path_ / kConfig).string() + "' (of the steps " + steps + ")"};
}

/// The newest checkpoint names the best; where that one is not whole, the best of those that are.
Checkpoint RunFolder::best_checkpoint(std::vector<std::string>& warnings) const {
  const auto newest = newest_checkpoint(warnings);
  if (!newest) throw std::runtime_error("'" + path_.string() + "' has no whole checkpoint");
  if (newest->best_step == newest->step) return *newest;
  if (newest->best_step == 0) throw std::runtime_error("'" + path_.string() + "' has no best checkpoint yet");
  std::string reason;
  try {
    return read_step(newest->best_step);
  } catch (const std::exception& error) {
    reason = error.what();
  }
  std::map<std::int64_t, double> accuracy;
  for (const auto& record : evaluations()) {
    accuracy[record.step] = record.text ? -record.text->validation : record.test_accuracy;
  }
  std::optional<Checkpoint> best;
  std::vector<std::string> ignored;  // those that newest_checkpoint() has named
  for (std::int64_t most = newest->step;;) {
    auto next = newest_checkpoint(ignored, most);
    if (!next) break;
    most = next->step - 1;
    if (accuracy.count(next->step) == 0) continue;
    if (!best || accuracy[next->step] > accuracy[best->step]) best = std::move(next);
  }
  if (!best) throw std::runtime_error("the best checkpoint cannot be read: " + reason);
  warnings.push_back("the best checkpoint cannot be read: " + reason +
                     "; the best of the others is taken, that of step " + std::to_string(best->step));
  return std::move(*best);
}

/// A file, unless it is of another run.
Checkpoint RunFolder::read_checkpoint_of_file(const fs::path& path, std::vector<std::string>& warnings) const {
  std::error_code ignored;
  Checkpoint checkpoint = read_checkpoint_file(path);
  const fs::path own = path_ / kCheckpoints / checkpoint_name(checkpoint.step);
  if (fs::equivalent(path, own, ignored)) return read_step(checkpoint.step);
  const auto refuse = [&](const std::string& why) {
    return std::runtime_error("'" + path.string() + "' is not a checkpoint of the run '" + path_.string() +
                              "': " + why + "; name the folder of the run that it is of");
  };
  const auto recorded = recorded_digest(checkpoint.step);
  const Digest128 root = digest_root(checkpoint.file.tensors);
  if (recorded && root == *recorded) return checkpoint;
  if (recorded) {
    throw refuse("it has the digest " + to_text(root) + " after " + std::to_string(checkpoint.step) +
                 " steps, and digests.jsonl of that run has " + to_text(*recorded));
  }
  const auto identity = checkpoint.file.metadata.find(kIdentityKey);
  if (identity == checkpoint.file.metadata.end()) {
    warnings.push_back("'" + path.string() + "' does not say which run it is of, and digests.jsonl of '" +
                       path_.string() + "' has no line for its step");
  }
  check_origin(checkpoint, path);
  return checkpoint;
}

Checkpoint RunFolder::read_checkpoint(const std::string& which, std::vector<std::string>& warnings) const {
  const auto steps = checkpoint_steps();
  std::string have;
  for (const auto step : steps) have += (have.empty() ? "" : ", ") + std::to_string(step);
  const auto complain = [&](const std::string& what) {
    if (!have.empty()) {
      return std::runtime_error("'" + path_.string() + "' has no " + what + "; it has checkpoints of the steps " +
                                have);
    }
    const auto damage = record_damage();
    if (!damage.empty()) {
      return std::runtime_error(
          "'" + path_.string() + "' has no checkpoint, and its records are damaged, too: " + damage.front() +
          "; restore the files from a copy, or train again with --restart " + "(this folder is kept)");
    }
    if (!finished() && recorded_steps() == 0) {
      return std::runtime_error("'" + path_.string() + "' has no checkpoint yet; training writes the first one after " +
                                std::to_string(config().train.checkpoint_every) + " steps");
    }
    if (!finished() && recorded_steps() < config().train.checkpoint_every) {
      return std::runtime_error("'" + path_.string() + "' has no checkpoint: it stopped after step " +
                                std::to_string(recorded_steps()) + ", and the first one is written after " +
                                std::to_string(config().train.checkpoint_every) + " steps");
    }
    if (!finished()) {
      return std::runtime_error("'" + path_.string() + "' has no checkpoint: its first one, after " +
                                std::to_string(config().train.checkpoint_every) +
                                " steps, is being written, or was removed. If the run is at work, try again in a "
                                "moment; otherwise restore one from a copy, or train again with --restart (this folder "
                                "is kept)");
    }
    return std::runtime_error("'" + path_.string() +
                              "' has no checkpoint any more: those that it wrote were removed. " +
                              "Restore one from a copy, or train again with --restart (this folder is kept)");
  };
  if (which == "newest") {
    auto checkpoint = newest_checkpoint(warnings);
    if (!checkpoint && warnings.empty()) throw complain("checkpoint");
    if (!checkpoint) throw std::runtime_error("'" + path_.string() + "' has no whole checkpoint: " + warnings.front());
    if (checkpoint->step != steps.back()) {
      warnings.push_back("not the newest checkpoint is taken but that of step " + std::to_string(checkpoint->step));
    }
    return std::move(*checkpoint);
  }
  if (which == "best") {
    if (steps.empty()) throw complain("checkpoint");
    return best_checkpoint(warnings);
  }
  const bool digits = std::all_of(which.begin(), which.end(), [](char c) { return c >= '0' && c <= '9'; });
  if (!which.empty() && which.size() < 18 && digits) {
    const std::int64_t step = std::stoll(which);
    if (!fs::exists(path_ / kCheckpoints / checkpoint_name(step))) throw complain("checkpoint of step " + which);
    return read_step(step);
  }
  if (!fs::exists(which)) throw complain("checkpoint '" + which + "' (newest, best, a step, or a file)");
  return read_checkpoint_of_file(which, warnings);
}

void RunFolder::remove_what_follows(std::int64_t step) {
  for (const auto later : checkpoint_steps()) {
    if (later > step) fs::remove(path_ / kCheckpoints / checkpoint_name(later));
  }
  fs::remove(path_ / kSummary);
}

}  // namespace bitcycle
