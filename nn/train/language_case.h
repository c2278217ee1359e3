// SPDX-License-Identifier: Apache-2.0
// What recorded steps and trajectories of language models have in common: sizes, how they quantise, and their tokens.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "nn/builder/builder.h"
#include "nn/train/case_file.h"

namespace bitcycle {

/// Keys that name a model's sizes, with those of both kinds of cases and `more`.
std::vector<std::string> language_keys(const CaseFile& file, std::vector<std::string> more);

/// rounding: "nearest", the only one that can be replayed. Throws std::runtime_error naming file and key.
builder::Options language_options(const CaseFile& file, const std::string& rounding);

BitWidth case_width(const CaseFile& file, const std::string& key);

/// The words of steps and those that follow them, as the model numbers rows: time step by time step where it carries
/// a state from step to step, sequence by sequence where it does not.
class CaseTokens {
 public:
  /// tokens.npy: (steps * time_steps + 1, batch), or (steps * batch, time_steps + 1).
  CaseTokens(const CaseFile& file, const builder::Options& options, std::int64_t steps);
  const std::int32_t* words(std::int64_t step) const { return words_.data() + step * rows_; }
  const std::int32_t* labels(std::int64_t step) const { return labels_.data() + step * rows_; }

 private:
  std::int64_t rows_;
  std::vector<std::int32_t> words_, labels_;
};

/// Whether its steps begin with a state: hidden and cell.
bool carries_state(const CaseFile& file);

/// What a step begins with: NAME.npy, (batch, hidden).
std::vector<float> read_carried(const CaseFile& file, const builder::Options& options, const std::string& name);

}  // namespace bitcycle
