// SPDX-License-Identifier: Apache-2.0
#include "nn/train/run_damage.h"

#include <algorithm>
#include <stdexcept>

#include "nn/train/trainer.h"

namespace bitcycle {

std::int64_t steps_done(const RunFolder& folder) {
  std::int64_t done = 0;
  const auto checkpoints = folder.checkpoint_steps();
  if (!checkpoints.empty()) done = checkpoints.back();
  if (const auto text = folder.summary_json()) {
    try {
      done = std::max(done, parse_summary(*text).step);
    } catch (const std::runtime_error&) {
      // damage_of() says it.
    }
  }
  return done > 0 ? done : folder.recorded_steps();
}

std::vector<std::string> damage_of(const RunFolder& folder) {
  std::vector<std::string> damage;
  for (const std::int64_t step : folder.checkpoint_steps()) {
    std::vector<std::string> none;
    try {
      folder.read_checkpoint(std::to_string(step), none);
    } catch (const std::exception& error) {
      damage.emplace_back(error.what());
    }
  }
  if (const auto text = folder.summary_json()) {
    try {
      const TrainSummary summary = parse_summary(*text);
      const auto digests = folder.digests();
      if (!digests.empty() && digests.back().step == summary.step && digests.back().root != summary.digest) {
        damage.push_back("summary.json and digests.jsonl of '" + folder.path().string() +
                         "' give different digests of the last step");
      }
    } catch (const std::exception& error) {
      damage.emplace_back(error.what());
    }
  }
  const std::int64_t done = steps_done(folder), recorded = folder.recorded_steps();
  if (recorded < done) {
    damage.push_back("the records in '" + folder.path().string() + "' (steps.csv, metrics.jsonl, digests.jsonl) are " +
                     "damaged or cut short: of " + std::to_string(done) + " steps they hold " +
                     std::to_string(recorded) + " without a gap");
  }
  return damage;
}

}  // namespace bitcycle
