// SPDX-License-Identifier: Apache-2.0
#include "cli/unreached_note.h"

#include "sim/schedule/reached_widths.h"

namespace bitcycle::cli {

std::optional<std::string> unreached_note(const PrecisionPlan& plan, const std::vector<std::string>& layers,
                                          std::int64_t steps, const std::string& schedule) {
  if (steps < 1) return std::nullopt;
  const auto reached = reached_below_max(plan, layers, steps);
  if (!reached) return std::nullopt;
  const auto text_of = [](const LayerWidths& widths) { return widths.forward.text() + "/" + widths.gradient.text(); };
  return schedule + " names " + text_of(plan.max()) + " bits, but no step has more than " + text_of(*reached);
}

}  // namespace bitcycle::cli
