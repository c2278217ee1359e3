// SPDX-License-Identifier: Apache-2.0
// TokenBatches: which words of a text a training step, or a batch of an evaluation, reads and predicts
// (docs/numerics.md, 8.7).
//   streams    `batch` contiguous streams side by side, cut into time steps; the model carries its state from step to
//              step. Rows of a step are time step by time step: row t * batch + stream.
//   sequences  blocks of `time_steps` words in a new random order each epoch; no state is carried. Rows of a step are
//              sequence by sequence: row sequence * time_steps + t.
#pragma once

#include <cstdint>
#include <vector>

#include "nn/models/reads.h"

namespace bitcycle {

struct TokenLayout {
  Reads reads = Reads::kStreams;
  std::int64_t batch = 1, time_steps = 1;
  std::uint64_t seed = 0;
  bool shuffle = true;     // sequences
  std::int32_t begin = 0;  // the word before the first one: sequences predict every word of the text
};

class TokenBatches {
 public:
  /// Throws std::invalid_argument: a text too short for one step. `text` must live on.
  TokenBatches(const std::vector<std::int32_t>& text, const TokenLayout& layout);

  std::int64_t steps_per_epoch() const { return steps_; }
  std::int64_t epoch_of(std::int64_t step) const { return step / steps_; }
  /// Streams begin anew, with a state of zeros.
  bool begins_epoch(std::int64_t step) const { return step % steps_ == 0; }
  /// Time steps of a step: of streams, the last one of an epoch may have fewer.
  std::int64_t time_steps_of(std::int64_t step) const;
  /// The shorter last step of an epoch; 0: all are equal.
  std::int64_t short_time_steps() const { return short_; }
  /// Words that a step reads, and those that it predicts: time_steps_of(step) * batch each.
  void training(std::int64_t step, std::int32_t* tokens, std::int32_t* labels);
  /// Words that the steps before this one predicted.
  std::int64_t words_before(std::int64_t step) const;

 private:
  const std::vector<std::int32_t>& text_;
  TokenLayout layout_;
  std::int64_t rows_ = 0;  // streams: words of each. sequences: blocks
  std::int64_t steps_ = 0, short_ = 0;
  std::int64_t ordered_epoch_ = -1;
  std::vector<std::uint32_t> order_;
};

/// A text in the batches of an evaluation. Every batch has all its rows; those that predict nothing, or a word that
/// another batch predicts, do not count.
class EvaluationBatches {
 public:
  /// `time_steps` of sequences: with `context` words before those that are predicted.
  EvaluationBatches(const std::vector<std::int32_t>& text, const TokenLayout& layout, std::int64_t context);

  std::int64_t batches() const { return batches_; }
  std::int64_t words() const { return words_; }  // that are predicted
  /// tokens, labels, counts: (time_steps * batch); counts is 1 where the row's prediction counts.
  void batch(std::int64_t number, std::int32_t* tokens, std::int32_t* labels, std::uint8_t* counts) const;

 private:
  const std::vector<std::int32_t>& text_;
  TokenLayout layout_;
  std::int64_t context_ = 0;
  std::int64_t rows_ = 0, batches_ = 0, words_ = 0;
};

}  // namespace bitcycle
