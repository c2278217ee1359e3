// SPDX-License-Identifier: Apache-2.0
#include "nn/train/run_extension.h"

#include <algorithm>
#include <cstdio>

#include "nn/models/model.h"
#include "nn/train/learning_rate.h"

namespace bitcycle {
namespace {

/// Keys that say nothing but what single steps do; what they did is compared step by step.
bool is_of_schedules(const std::string& key) {
  static const std::vector<std::string> exact{"train.steps", "precision.layers", "optimizer.lr"};
  static const std::vector<std::string> sections{"precision.forward.", "precision.gradient.", "learning_rate."};
  if (key == "precision.gradient.rounding" || key == "precision.gradient.zero_on_grid") return false;
  if (std::find(exact.begin(), exact.end(), key) != exact.end()) return true;
  return std::any_of(sections.begin(), sections.end(), [&](const auto& section) { return key.starts_with(section); });
}

std::string key_of(const std::string& difference) { return difference.substr(0, difference.find(':')); }

std::string rate_text(float rate) {
  char text[32];
  std::snprintf(text, sizeof text, "%.9g", static_cast<double>(rate));
  return text;
}

}  // namespace

std::string first_difference(const Config& config, const Config& recorded, std::int64_t steps, bool learning_rates) {
  const PrecisionPlan plan(precision_spec(config), config.train.steps);
  const PrecisionPlan before(precision_spec(recorded), recorded.train.steps);
  // One layer of each group that the overrides of either config set apart; without overrides one stands for all.
  std::vector<std::string> layers;
  const bool apart = !config.precision.layers.empty() || !recorded.precision.layers.empty();
  for (const auto& operation : model_workload(config).matrix) {
    layers.push_back(operation.layer);
    if (!apart) break;
  }
  for (std::int64_t step = 0; step < steps; ++step) {
    for (const auto& layer : layers) {
      const LayerWidths now = plan.at(step, layer), then = before.at(step, layer);
      if (now == then) continue;
      return "step " + std::to_string(step) + " ran at " + then.forward.text() + "/" + then.gradient.text() +
             " bits (forward/gradient" + (apart ? ", layer " + layer : "") + "), and this config gives it " +
             now.forward.text() + "/" + now.gradient.text();
    }
    if (!learning_rates) continue;
    const float now = learning_rate_at(config.learning_rate, step),
                then = learning_rate_at(recorded.learning_rate, step);
    if (now == then) continue;
    return "step " + std::to_string(step) + " ran at the learning rate " + rate_text(then) +
           ", and this config gives it " + rate_text(now);
  }
  return "";
}

RunExtension run_extension(const Config& config, const Config& recorded, std::int64_t done) {
  RunExtension extension;
  const auto differences = identity_differences(config, recorded);
  extension.asked_for = config.train.steps > recorded.train.steps &&
                        std::all_of(differences.begin(), differences.end(),
                                    [](const auto& line) { return is_of_schedules(key_of(line)); });
  if (!extension.asked_for) return extension;
  const std::string difference = first_difference(config, recorded, done, true);
  if (difference.empty()) return extension;
  extension.refusal =
      difference +
      ". A schedule whose shape follows from train.steps changes when the run gets longer (cycles, linear "
      "ramps, points of the learning rate that are fractions); give it the shape that ran: cycles in proportion to the "
      "steps, piecewise widths, learning_rate.points above 1. Or begin a run of its own from a checkpoint, with --from";
  return extension;
}

}  // namespace bitcycle
