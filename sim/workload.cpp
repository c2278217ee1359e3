// SPDX-License-Identifier: Apache-2.0
#include "sim/workload.h"

#include <map>
#include <stdexcept>

#include "sim/nearest_name.h"

namespace bitcycle {

std::int64_t Workload::macs() const {
  std::int64_t sum = 0;
  for (const auto& operation : matrix) sum += operation.shape.macs();
  return sum;
}

std::vector<std::string> Workload::quantised_layers() const {
  std::vector<std::string> names;
  for (const auto& operation : matrix) {
    if (operation.quantised) names.push_back(operation.layer);
  }
  return names;
}

Workload inference_only(Workload workload) {
  for (auto& operation : workload.matrix) {
    operation.passes[static_cast<std::size_t>(Pass::kError)] = false;
    operation.passes[static_cast<std::size_t>(Pass::kWeightGradient)] = false;
  }
  return workload;
}

std::vector<std::vector<std::string>> groups_of_layers(const PrecisionPlan& plan,
                                                       const std::vector<std::string>& layers) {
  // Layers that the same patterns match have the same schedules; where all are unmatched, they are the run's own. What
  // a run was before it was made longer may have told them apart by other patterns: then the widths themselves do.
  std::map<std::pair<std::vector<std::string>, std::map<LayerWidths, std::int64_t>>, std::size_t> index;
  std::vector<std::vector<std::string>> groups;
  const auto patterns = plan.unmatched({});
  for (const bool own : {true, false}) {
    for (const auto& layer : layers) {
      const auto unmatched = plan.unmatched({layer});
      if ((unmatched == patterns) != own) continue;
      const auto [found, is_new] =
          index.emplace(std::pair(unmatched, plan.histogram(layer, 0, plan.steps())), groups.size());
      if (is_new) groups.emplace_back();
      groups[found->second].push_back(layer);
    }
  }
  return groups;
}

void require_matching_patterns(const PrecisionPlan& plan, const std::vector<std::string>& layers,
                               const std::string& model) {
  const auto unmatched = plan.unmatched(layers);
  if (unmatched.empty()) return;
  std::string message = "precision.layers: the pattern '" + unmatched.front() + "' matches no layer of " + model;
  if (const std::string match = nearest_name(unmatched.front(), layers); !match.empty()) {
    message += "; did you mean '" + match + "'?";
  } else {
    message += ".";
  }
  message += " Its quantised layers are ";
  if (layers.size() > 4) message += layers[0] + ", " + layers[1] + ", ... " + layers.back();
  if (layers.size() <= 4) {
    for (std::size_t i = 0; i < layers.size(); ++i) message += (i == 0 ? "" : ", ") + layers[i];
  }
  throw std::invalid_argument(message);
}

}  // namespace bitcycle
