// SPDX-License-Identifier: Apache-2.0
// What is damaged in a run folder: found by reading all of it, so that a number that rests on it is not taken on trust.
#pragma once

#include <string>
#include <vector>

#include "nn/train/run_folder.h"

namespace bitcycle {

/// One sentence each: checkpoints that are not the bytes that were written or have another digest than was recorded;
/// a summary that cannot be read; records that are damaged, cut short, or do not reach what the run has done. Empty:
/// nothing. A damaged config.yaml is not listed: RunFolder::config() throws.
std::vector<std::string> damage_of(const RunFolder& folder);

/// Steps that the run has done, by its summary and its checkpoints; where it has neither, by steps.csv.
std::int64_t steps_done(const RunFolder& folder);

}  // namespace bitcycle
