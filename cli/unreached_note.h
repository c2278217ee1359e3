// SPDX-License-Identifier: Apache-2.0
// Said where costs are compared with widths that a schedule names and no step has.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "sim/schedule/precision_plan.h"

namespace bitcycle::cli {

/// "the schedule names 8/8 bits, but no step has more than 3/8"; none where one of the first `steps` steps has them.
/// `schedule` stands for "the schedule".
std::optional<std::string> unreached_note(const PrecisionPlan& plan, const std::vector<std::string>& layers,
                                          std::int64_t steps, const std::string& schedule = "the schedule");

}  // namespace bitcycle::cli
