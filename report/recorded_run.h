// SPDX-License-Identifier: Apache-2.0
// RecordedRun: what a report needs of a run folder, read and checked. A record that cannot be true is an error that
// names the file, so that no impossible number reaches the page.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "nn/config/config.h"
#include "nn/train/run_folder.h"
#include "sim/number/digest.h"

namespace bitcycle::report {

struct RecordedRun {
  std::filesystem::path folder;  // as it was given
  std::string label;             // the run folder's name; with parent folders where two runs share it
  Config config;
  std::int64_t done = 0, planned = 0;  // steps
  bool finished = false;
  PrecisionSpec precision;  // of the steps that were done, as they were recorded (recorded_widths.h)
  std::vector<StepRecord> steps;
  std::vector<EvaluationRecord> evaluations;
  std::vector<std::pair<std::int64_t, Digest128>> digests;  // after so many steps, ascending

  bool text() const;  // the run reads a text: it has perplexities, and no accuracies
  /// Test accuracy in percent, or test perplexity, of the last evaluation; none where the run has not been evaluated
  /// yet.
  std::optional<double> quality() const;
  /// Validation perplexity of the last evaluation; none of images.
  std::optional<double> validation() const;
};

/// The same of any evaluation.
double quality_of(const EvaluationRecord& record);
std::optional<double> validation_of(const EvaluationRecord& record);

/// Throws what reading a run folder throws, and std::runtime_error where a record is damaged (run_damage.h) or
/// impossible: an accuracy outside 0..100 %, a loss that is not finite, widths outside 1..32 bits.
RecordedRun read_run(const std::filesystem::path& folder);

/// Removes runs that are given twice: the same folder, or a copy, which has the same identity (config and seed) and the
/// same digests. The copy that has come furthest stays. Returns one sentence for each run that was removed, and one for
/// each pair of the same identity whose digests differ (both of them stay).
std::vector<std::string> remove_repeats(std::vector<RecordedRun>& runs);

/// Names every run by its folder's name, as many parent folders before it as are needed to tell runs apart.
void label_runs(std::vector<RecordedRun>& runs);

}  // namespace bitcycle::report
