// SPDX-License-Identifier: Apache-2.0
// AveragedNetwork: the mean of a training's parameters over some of its steps (stochastic weight averaging), as a
// network of its own beside it, with batch-norm statistics and ranges of its own (docs/numerics.md, 9.2).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "nn/config/config.h"
#include "nn/io/safetensors.h"
#include "nn/models/state.h"
#include "nn/run/network_run.h"

namespace bitcycle {

class AveragedNetwork {
 public:
  /// `dataset` and `device` must live on.
  AveragedNetwork(const Config& config, const Dataset& dataset, Device& device);

  /// Averages the training's parameters in. Then one pass over the training set, in file order, augmented, at the
  /// widths of the step just done, makes the batch norms' statistics anew; ranges move on from where they are.
  void add(StateArenas& training, std::int64_t steps_done);
  std::int64_t models() const { return models_; }
  /// At the widths of the step just done.
  EvaluationResult evaluate(std::int64_t steps_done) {
    return run_.evaluate(steps_done, run_.widths_at(steps_done - 1));
  }

  /// The root of the digests of its parameters, statistics and ranges.
  Digest128 digest() { return digest_state(run_.state()).root; }
  /// Its parameters, statistics and ranges, names with kAveragedPrefix; none before the first average.
  std::vector<NamedTensor> save();
  /// What save() gave, among others. Throws std::runtime_error naming `origin` and what does not fit.
  void load(const TensorFile& file, std::int64_t models, const std::string& origin);

 private:
  void make_statistics(std::int64_t steps_done);

  const Config config_;
  const Dataset& dataset_;
  NetworkRun run_;
  std::int64_t models_ = 0;
};

/// Sets a network to the averaged parameters, statistics and ranges of a checkpoint. Throws std::runtime_error where it
/// has none.
void load_averaged(StateArenas& state, const TensorFile& file, const std::string& origin);

}  // namespace bitcycle
