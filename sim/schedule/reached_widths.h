// SPDX-License-Identifier: Apache-2.0
// The largest widths that steps really have, which may be below those that their schedules name: a run that is shorter
// than a ramp, or whose cycles have few steps.
#pragma once

#include "sim/schedule/precision_plan.h"

namespace bitcycle {

/// The wider of two widths in each pass.
inline LayerWidths wider_widths(const LayerWidths& a, const LayerWidths& b) {
  return {wider_of(a.forward, b.forward), wider_of(a.gradient, b.gradient)};
}

/// Of one layer in the steps [begin, end), which must not be empty: at most plan.max(layer).
inline LayerWidths reached_widths(const PrecisionPlan& plan, const std::string& layer, std::int64_t begin,
                                  std::int64_t end) {
  const auto counts = plan.histogram(layer, begin, end);
  LayerWidths widths = counts.begin()->first;
  for (const auto& item : counts) widths = wider_widths(widths, item.first);
  return widths;
}

}  // namespace bitcycle
