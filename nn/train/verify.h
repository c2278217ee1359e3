// SPDX-License-Identifier: Apache-2.0
// Comparing two runs by their digests: the first recorded step and tensors that differ; and, by replaying both from
// their last equal checkpoints, the step itself.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "nn/train/run_folder.h"
#include "sim/device/device.h"

namespace bitcycle {

struct RunComparison {
  std::vector<std::string> different_keys;  // of the configs' identities; such runs need not be equal
  std::int64_t compared = 0;                // steps recorded in both
  std::int64_t last_equal = -1;             // the last such step before a difference
  std::int64_t first_different = -1;
  std::vector<std::string> tensors;      // that differ there, by name
  std::int64_t last_step[2] = {-1, -1};  // recorded in each
  bool equal() const { return compared > 0 && first_different < 0; }
};
RunComparison compare_runs(const RunFolder& a, const RunFolder& b);

struct Bisection {
  std::int64_t start = 0;             // steps done before the replay's first comparison
  std::int64_t first_different = -1;  // steps done when the replays first differ; -1: they stay equal
  std::vector<std::string> tensors;   // that differ there
  std::int64_t replayed_to = 0;
  /// Recorded steps at which a replay does not give what its own run recorded: what the run was computed with differs
  /// from this library. -1: none.
  std::int64_t unlike_record[2] = {-1, -1};
};
/// Replays both runs, each on its library, from their newest checkpoints not behind the last equal step (or from their
/// initial states) to the first step that was recorded differently. Throws std::runtime_error where nothing differs.
Bisection bisect_runs(const RunFolder& a, Device& device_a, const RunFolder& b, Device& device_b,
                      const std::function<void(std::int64_t step)>& progress = {});

}  // namespace bitcycle
