// SPDX-License-Identifier: Apache-2.0
#include "nn/train/unreached_width.h"

#include "sim/schedule/reached_widths.h"

namespace bitcycle {

std::vector<std::string> unreached_width(const PrecisionPlan& plan, const std::vector<std::string>& layers,
                                         std::int64_t steps) {
  if (layers.empty() || steps < 1) return {};
  BitWidth largest = reached_widths(plan, layers.front(), 0, steps).forward;
  for (const auto& layer : layers) {
    for (const auto& [widths, count] : plan.histogram(layer, 0, steps)) {
      if (widths.forward == plan.own_max(layer).forward) return {};
      largest = wider_of(largest, widths.forward);
    }
  }
  return {"no step up to " + std::to_string(steps) + " had the " + plan.own_max().forward.text() +
          " bits that are used here, the largest width that the schedule names; the steps had at most " +
          largest.text() + " (--bits " + largest.text() + ")"};
}

}  // namespace bitcycle
