// SPDX-License-Identifier: Apache-2.0
#include "sim/schedule/count_widths.h"

#include <algorithm>
#include <limits>
#include <numeric>

namespace bitcycle {
namespace {

using Counts = std::map<BitWidth, std::int64_t>;

/// Adds the steps of [begin, end), a stretch at a time.
void add_stretches(const Schedule& schedule, std::int64_t begin, std::int64_t end, std::int64_t times, Counts& counts) {
  for (std::int64_t step = begin; step < end;) {
    const std::int64_t next = std::min(schedule.until(step), end);
    counts[schedule.at(step)] += times * (next - step);
    step = next;
  }
}

/// Steps in [begin, end) at each width of one schedule: its periods together, then what is left.
Counts count(const Schedule& schedule, std::int64_t begin, std::int64_t end) {
  Counts counts;
  const std::int64_t period = schedule.period(), periods = period > 0 ? (end - begin) / period : 0;
  if (periods > 1) {
    add_stretches(schedule, begin, begin + period, periods, counts);
    begin += periods * period;
  }
  add_stretches(schedule, begin, end, 1, counts);
  return counts;
}

/// The stretches of `outer`, and what `inner` does in each.
void add_pairs(const Schedule& outer, const Schedule& inner, bool swapped, std::int64_t begin, std::int64_t end,
               std::int64_t times, WidthCounts& counts) {
  for (std::int64_t step = begin; step < end;) {
    const std::int64_t next = std::min(outer.until(step), end);
    const BitWidth width = outer.at(step);
    for (const auto& [other, steps] : count(inner, step, next)) {
      counts[swapped ? std::pair(other, width) : std::pair(width, other)] += times * steps;
    }
    step = next;
  }
}

}  // namespace

WidthCounts count_widths(const Schedule& a, const Schedule& b, std::int64_t begin, std::int64_t end) {
  WidthCounts counts;
  // The stretches are those of the schedule with the longer period, or without one: it has fewer of them.
  const auto reach = [](const Schedule& schedule) {
    return schedule.period() > 0 ? schedule.period() : std::numeric_limits<std::int64_t>::max();
  };
  // A constant is one stretch.
  const bool swapped = a.until(begin) < end && (b.until(begin) >= end || reach(b) > reach(a));
  const Schedule& outer = swapped ? b : a;
  const Schedule& inner = swapped ? a : b;
  std::int64_t joint = 0;
  if (a.period() > 0 && b.period() > 0) {
    const std::int64_t part = b.period() / std::gcd(a.period(), b.period());
    if (part <= (end - begin) / a.period()) joint = a.period() * part;
  }
  const std::int64_t times = joint > 0 ? (end - begin) / joint : 0;
  if (times > 1) {
    add_pairs(outer, inner, swapped, begin, begin + joint, times, counts);
    begin += times * joint;
  }
  add_pairs(outer, inner, swapped, begin, end, 1, counts);
  return counts;
}

}  // namespace bitcycle
