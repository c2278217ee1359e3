// SPDX-License-Identifier: Apache-2.0
// Said where a network is used at a width that it was never trained at.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "sim/schedule/precision_plan.h"

namespace bitcycle {

/// One sentence where none of the first `steps` steps had the forward width that is used by default, the largest that
/// the schedule of each of these layers names; else none.
std::vector<std::string> unreached_width(const PrecisionPlan& plan, const std::vector<std::string>& layers,
                                         std::int64_t steps);

}  // namespace bitcycle
