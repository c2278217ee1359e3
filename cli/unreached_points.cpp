// SPDX-License-Identifier: Apache-2.0
#include "cli/unreached_points.h"

#include <algorithm>

#include "cli/format.h"

namespace bitcycle::cli {

std::vector<std::string> unreached_points(const Config& config) {
  std::vector<std::string> sentences;
  const std::int64_t steps = config.train.steps;
  const auto add = [&](const std::string& key, const ScheduleSpec& spec) {
    if (spec.name != "piecewise") return;
    const auto first = std::find_if(spec.points.begin(), spec.points.end(),
                                    [&](const SchedulePoint& point) { return point.step >= steps; });
    const auto more = spec.points.end() - first - 1;
    if (more < 0) return;
    sentences.push_back(key + ": the point of step " + grouped(first->step) + " (" + first->width.text() + " bits)" +
                        (more > 0 ? " and " + counted(more, "point") + " after it lie" : " lies") +
                        " behind the last step, " + grouped(steps - 1) +
                        (more > 0 ? ", and have no effect; leave them out" : ", and has no effect; leave it out") +
                        ", or make train.steps larger");
  };
  add("precision.forward.points", config.precision.forward);
  add("precision.gradient.points", config.precision.gradient);
  for (const auto& layers : config.precision.layers) {
    if (layers.forward) add("precision.layers, forward of '" + layers.pattern + "'", *layers.forward);
    if (layers.gradient) add("precision.layers, gradient of '" + layers.pattern + "'", *layers.gradient);
  }
  return sentences;
}

}  // namespace bitcycle::cli
