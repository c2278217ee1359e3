// SPDX-License-Identifier: Apache-2.0
// The largest widths that steps really have, which may be below those that their schedules name: a run that is shorter
// than a ramp, or whose cycles have few steps.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

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

/// Where no step of [0, end) has the run's largest widths, plan.max(), in both passes: the largest that one of the
/// layers has. Layers whose own schedule names others are left out. `end` must be above 0.
inline std::optional<LayerWidths> reached_below_max(const PrecisionPlan& plan, const std::vector<std::string>& layers,
                                                    std::int64_t end) {
  const LayerWidths named = plan.max();
  std::optional<LayerWidths> reached;
  for (const auto& layer : layers) {
    if (plan.max(layer) != named) continue;
    const LayerWidths widths = reached_widths(plan, layer, 0, end);
    reached = reached ? wider_widths(*reached, widths) : widths;
  }
  return reached && *reached != named ? reached : std::nullopt;
}

}  // namespace bitcycle
