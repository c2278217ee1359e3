// SPDX-License-Identifier: Apache-2.0
#include "nn/train/run_extension.h"

#include <algorithm>

#include "nn/models/model.h"
#include "nn/train/learning_rate.h"
#include "nn/train/run_key.h"

namespace bitcycle {
namespace {

std::string key_of(const std::string& difference) { return difference.substr(0, difference.find(':')); }

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
  const bool rates = learning_rates && !same_learning_rates(config.learning_rate, recorded.learning_rate);
  if (rates && (is_plateau(config.learning_rate) || is_plateau(recorded.learning_rate))) {
    return "the falls of learning_rate.schedule plateau follow from the run, and the keys of learning_rate differ";
  }
  for (std::int64_t step = 0; step < steps;) {
    std::int64_t next = steps;  // up to here the widths and rates are those of this step
    for (const auto& layer : layers) {
      const LayerWidths now = plan.at(step, layer), then = before.at(step, layer);
      if (now != then) {
        return "step " + std::to_string(step) + " ran at " + then.forward.text() + "/" + then.gradient.text() +
               " bits (forward/gradient" + (apart ? ", layer " + layer : "") + "), and this config gives it " +
               now.forward.text() + "/" + now.gradient.text();
      }
      next = std::min({next, plan.until(step, layer), before.until(step, layer)});
    }
    if (rates) {
      const float now = learning_rate_at(config.learning_rate, step),
                  then = learning_rate_at(recorded.learning_rate, step);
      if (now != then) {
        return "step " + std::to_string(step) + " ran at the learning rate " + rate_text(then) +
               ", and this config gives it " + rate_text(now);
      }
      next = std::min(
          {next, learning_rate_until(config.learning_rate, step), learning_rate_until(recorded.learning_rate, step)});
    }
    step = std::max(next, step + 1);
  }
  return "";
}

RunExtension run_extension(const Config& config, const Config& recorded, std::int64_t done) {
  RunExtension extension;
  const auto differences = identity_differences(config, recorded);
  extension.asked_for = config.train.steps > recorded.train.steps &&
                        std::all_of(differences.begin(), differences.end(),
                                    [](const auto& line) { return is_key_of_schedules(key_of(line)); });
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
