// SPDX-License-Identifier: Apache-2.0
// TextBatches: the words of a config's training steps and evaluations.
#pragma once

#include <cstdint>
#include <vector>

#include "nn/config/config.h"
#include "nn/data/corpus.h"
#include "nn/data/token_batches.h"

namespace bitcycle {

/// Which text an evaluation predicts.
enum class TextPart : std::uint8_t { kValidation, kTest };

class TextBatches {
 public:
  /// `corpus` must live on. Throws std::invalid_argument: a text that is too short.
  TextBatches(const Config& config, const Corpus& corpus);

  TokenBatches& training() { return training_; }
  const TokenBatches& training() const { return training_; }
  const EvaluationBatches& evaluation(TextPart part) const {
    return part == TextPart::kValidation ? validation_ : test_;
  }

 private:
  TokenBatches training_;
  EvaluationBatches validation_, test_;
};

/// Time steps of an evaluation's program: those of training, and eval.context before them.
std::int64_t evaluation_time_steps(const Config& config);

}  // namespace bitcycle
