// SPDX-License-Identifier: Apache-2.0
// How many steps two schedules spend at each pair of widths, counted without a look at every step.
#pragma once

#include <cstdint>
#include <map>
#include <utility>

#include "sim/schedule/schedule.h"

namespace bitcycle {

using WidthCounts = std::map<std::pair<BitWidth, BitWidth>, std::int64_t>;

/// Steps in [begin, end) at each pair of widths of `a` and `b`. What repeats is counted once and multiplied, and the
/// rest goes by stretches of equal widths: a run of 10^9 steps takes milliseconds, also where a width changes at every
/// step.
WidthCounts count_widths(const Schedule& a, const Schedule& b, std::int64_t begin, std::int64_t end);

}  // namespace bitcycle
