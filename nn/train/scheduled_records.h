// SPDX-License-Identifier: Apache-2.0
// What a config's schedules prescribe for each step, against what the records of a run say.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "nn/config/config.h"
#include "nn/train/run_folder.h"

namespace bitcycle {

class ScheduledRecords {
 public:
  explicit ScheduledRecords(const Config& config);

  /// What of the record is not as the config has it, as the end of a sentence; none: nothing.
  std::optional<std::string> contradiction(const StepRecord& record) const;
  std::optional<std::string> contradiction(const EvaluationRecord& record) const;
  std::optional<std::string> contradiction(const WidthRecord& record) const;
  /// The steps below `end` at which widths.csv must have a line: the first of the run's own, and every later one at
  /// which a layer's widths change. Found by stretches of equal widths.
  std::vector<std::int64_t> changes(std::int64_t end) const;

 private:
  std::optional<std::string> plateau_contradiction(const StepRecord& record) const;
  WidthRecord widths_at(std::int64_t step) const;
  Config config_;
  PrecisionPlan plan_;
  std::vector<std::string> layers_;  // of the model; empty where no layer can have widths of its own
};

}  // namespace bitcycle
