// SPDX-License-Identifier: Apache-2.0
// What replaying a recorded case reports: one line an array, tensor or step, the largest deviation beside its
// tolerance.
#pragma once

#include <algorithm>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "sim/device/device.h"

namespace bitcycle {

struct ReplayLine {
  std::string name;
  double deviation = 0.0;
  double tolerance = 0.0;
  bool checked = true;  // false: shown only, decides nothing
  bool absent = false;  // what there was to compare is not at hand
  bool ok = true;
  std::string note;
};

struct ReplayReport {
  std::string kind;  // operator, step, trajectory, images
  std::vector<ReplayLine> lines;
  std::string gradient_rounding;  // where the noise of the gradients' rounding came from; empty: nothing was rounded
  /// False: the case records nothing to compare with.
  bool compared() const {
    return std::any_of(lines.begin(), lines.end(), [](const ReplayLine& l) { return l.checked; });
  }
  /// Something was compared, and every line of it holds.
  bool ok() const {
    return compared() &&
           std::all_of(lines.begin(), lines.end(), [](const ReplayLine& l) { return !l.checked || l.ok; });
  }
};

struct ReplayPaths {
  std::filesystem::path case_dir;
  std::optional<std::filesystem::path> data_dir;  // where a trajectory finds CIFAR-10, and images their sets
  std::optional<std::filesystem::path> out_dir;   // where codes, scales, accumulators and results are written
};

/// Reads case.json's `kind` and replays that kind. Throws std::runtime_error naming file and key: not a case, unknown
/// kind (listing the known ones), a missing key, a missing or malformed array, a trajectory without --data.
ReplayReport replay_case(const ReplayPaths& paths, Device& device);

}  // namespace bitcycle
