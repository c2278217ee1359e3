// SPDX-License-Identifier: Apache-2.0
// The widths that a run's steps had, as its widths.csv records them, in place of those that its schedules give: what a
// run is priced by.
#pragma once

#include <cstdint>

#include "nn/train/run_folder.h"
#include "sim/schedule/precision_plan.h"

namespace bitcycle {

/// The precision of the run's config, with its first `done` steps as they were recorded. Where nothing is recorded from
/// the run's first own step on, because an earlier version wrote it, it is the config's. Throws what widths() throws.
PrecisionSpec recorded_precision(const RunFolder& folder, const Config& config, std::int64_t done);

}  // namespace bitcycle
