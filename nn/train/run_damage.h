// SPDX-License-Identifier: Apache-2.0
// What is damaged in a run folder: found by reading all of it, so that a number that rests on it is not taken on trust.
#pragma once

#include <string>
#include <vector>

#include "nn/train/run_folder.h"

namespace bitcycle {

/// One sentence each: checkpoints that are not the bytes that were written or have another digest than was recorded;
/// a summary or records that were changed, are of another run, are cut short, or do not reach what the run has done.
/// Empty: nothing. A damaged config.yaml is not listed: RunFolder::config() throws.
std::vector<std::string> damage_of(const RunFolder& folder);
/// The same without the checkpoints, which are large.
std::vector<std::string> damage_of_records(const RunFolder& folder);
/// Throws std::runtime_error where summary.json is of another run than config.yaml, so that no number of it is shown,
/// and where it was changed.
void require_own_summary(const RunFolder& folder);
/// One sentence where the records are of an earlier version and carry no checksums; else none.
std::vector<std::string> unsealed_note(const RunFolder& folder);

/// Steps that the run has done, by its summary and its checkpoints; where it has neither, by steps.csv.
std::int64_t steps_done(const RunFolder& folder);

}  // namespace bitcycle
