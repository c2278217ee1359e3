// SPDX-License-Identifier: Apache-2.0
// Experiment: runs that differ only by seed. Comparison: experiments of one data set and one task, the only ones whose
// accuracies mean the same thing and that share a Pareto front.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "report/recorded_run.h"

namespace bitcycle::report {

struct Experiment {
  std::string label;              // of its run folders
  std::vector<std::size_t> runs;  // one a seed, in the order in which they were given
  std::size_t comparison = 0;
  bool finished = false;                     // a run that stopped early is an experiment of its own, and on no front
  std::optional<double> accuracy_mean;       // over the seeds, of the last evaluations, %; of texts, perplexity
  std::optional<double> accuracy_deviation;  // sample standard deviation; none for one seed
};

struct Comparison {
  std::string label;  // "cifar10, 10 classes"
  bool text = false;  // the lower, the better
  std::vector<std::size_t> experiments;
};

/// In the order of the runs. Runs of one identity that differ by more than their seed, that is by steps or by digests,
/// are experiments of their own.
std::vector<Experiment> experiments_of(const std::vector<RecordedRun>& runs);

/// One for each data set (name and numbers of images) and task; sets `comparison` of the experiments.
std::vector<Comparison> comparisons_of(const std::vector<RecordedRun>& runs, std::vector<Experiment>& experiments);

/// Which experiments of a comparison are on its Pareto front: `costs` by experiment, none where there is no cost.
/// Experiments that are unfinished, not evaluated or without a cost are on no front.
std::vector<bool> front_of(const Comparison& comparison, const std::vector<Experiment>& experiments,
                           const std::vector<std::optional<double>>& costs);

}  // namespace bitcycle::report
