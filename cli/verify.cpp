// SPDX-License-Identifier: Apache-2.0
// bitcycle verify: compares the digests of two runs; names the first recorded step and the tensors that differ.
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "cli/command_line.h"
#include "cli/console.h"
#include "cli/exit_code.h"
#include "cli/format.h"
#include "cli/verbs.h"
#include "nn/train/run_folder.h"

namespace bitcycle::cli {
namespace {

struct Comparison {
  std::int64_t compared = 0;     // steps recorded in both
  std::int64_t last_equal = -1;  // the last such step before a difference
  std::int64_t first_different = -1;
  std::vector<std::string> tensors;  // that differ there, in the runs' order
  std::int64_t last_step[2] = {-1, -1};
};

Comparison compare(const std::vector<DigestRecord>& a, const std::vector<DigestRecord>& b) {
  Comparison result;
  std::map<std::int64_t, const DigestRecord*> second;
  for (const auto& record : b) second[record.step] = &record;
  if (!a.empty()) result.last_step[0] = a.back().step;
  if (!b.empty()) result.last_step[1] = b.back().step;
  for (const auto& record : a) {
    const auto found = second.find(record.step);
    if (found == second.end()) continue;
    ++result.compared;
    if (record.root == found->second->root) {
      result.last_equal = record.step;
      continue;
    }
    result.first_different = record.step;
    std::map<std::string, Digest128> other(found->second->tensors.begin(), found->second->tensors.end());
    for (const auto& [name, digest] : record.tensors) {
      const auto match = other.find(name);
      if (match == other.end() || !(match->second == digest)) result.tensors.push_back(name);
      if (match != other.end()) other.erase(match);
    }
    for (const auto& [name, digest] : other) result.tensors.push_back(name);
    return result;
  }
  return result;
}

}  // namespace

int run_verify(const std::vector<std::string>& arguments) {
  CommandLine line({"verify", "RUN RUN",
                    "Compares the digests that two runs recorded (every digest.every steps and at every checkpoint).\n"
                    "Exit code 0 where all steps recorded in both are equal, 3 where one differs or none is common.",
                    "bitcycle verify runs/quickstart runs/quickstart.1"},
                   {json_option()});
  if (!line.parse(arguments)) return kSuccess;
  line.require_positional(2);
  Console console(line.json(), false);
  const std::string& first = line.positional()[0];
  const std::string& second = line.positional()[1];
  const RunFolder a = RunFolder::existing(first);
  const RunFolder b = RunFolder::existing(second);
  const Comparison result = compare(a.digests(), b.digests());
  const auto keys = identity_differences(a.config(), b.config());
  const bool equal = result.compared > 0 && result.first_different < 0;

  nlohmann::ordered_json json{{"equal", equal}, {"steps_compared", result.compared}};
  json["last_equal_step"] =
      result.last_equal < 0 ? nlohmann::ordered_json() : nlohmann::ordered_json(result.last_equal);
  json["first_different_step"] =
      result.first_different < 0 ? nlohmann::ordered_json() : nlohmann::ordered_json(result.first_different);
  json["different_tensors"] = result.tensors;
  json["different_keys"] = keys;
  console.json(json);

  std::ostream& out = console.result();
  if (!keys.empty()) {
    out << "The configs differ:\n";
    for (const auto& key : keys) out << "  " << key << '\n';
  }
  if (result.compared == 0) {
    out << "Nothing to compare: no step is recorded in both (" << first << " up to step "
        << grouped(result.last_step[0]) << ", " << second << " up to " << grouped(result.last_step[1]) << ").\n";
    return kMismatch;
  }
  if (equal) {
    out << "Equal at all " << grouped(result.compared) << " recorded steps, the last being "
        << grouped(result.last_equal) << ".\n";
    if (result.last_step[0] != result.last_step[1]) {
      out << "They go to different steps: " << first << " to " << grouped(result.last_step[0]) << ", " << second
          << " to " << grouped(result.last_step[1]) << ".\n";
    }
    return kSuccess;
  }
  out << "Different first at recorded step " << grouped(result.first_different);
  if (result.last_equal >= 0) out << " (equal at step " << grouped(result.last_equal) << ")";
  out << ".\nFirst tensor that differs: " << (result.tensors.empty() ? "none recorded" : result.tensors.front());
  if (result.tensors.size() > 1)
    out << ", and " << grouped(static_cast<std::int64_t>(result.tensors.size()) - 1) << " more";
  out << ".\n";
  return kMismatch;
}

}  // namespace bitcycle::cli
