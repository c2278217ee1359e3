// SPDX-License-Identifier: Apache-2.0
#include "sim/workload.h"

#include <algorithm>
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

void require_matching_patterns(const PrecisionPlan& plan, const Workload& workload) {
  const std::vector<std::string> layers = workload.quantised_layers();
  const auto unmatched = plan.unmatched(layers);
  if (unmatched.empty()) return;
  const std::string& pattern = unmatched.front();
  std::string message = "precision.layers: the pattern '" + pattern + "' matches no ";
  std::string float32;
  for (const auto& operation : workload.matrix) {
    if (operation.quantised) continue;
    const auto left = plan.unmatched({operation.layer});
    if (std::find(left.begin(), left.end(), pattern) == left.end()) float32 = operation.layer;
  }
  if (!float32.empty()) {
    message += "quantised layer of " + workload.model + ": " + float32 +
               " is float32 whatever the schedule says. model.first_layer=quantised and model.projections=quantised "
               "give the first layer and the shortcuts' convolutions widths; classifiers have none.";
  } else {
    message += "layer of " + workload.model;
    if (const std::string match = nearest_name(pattern, layers); !match.empty()) {
      message += "; did you mean '" + match + "'?";
    } else {
      message += ".";
    }
  }
  message += " Its quantised layers are ";
  if (layers.size() > 4) message += layers[0] + ", " + layers[1] + ", ... " + layers.back();
  if (layers.size() <= 4) {
    for (std::size_t i = 0; i < layers.size(); ++i) message += (i == 0 ? "" : ", ") + layers[i];
  }
  throw std::invalid_argument(message);
}

}  // namespace bitcycle
