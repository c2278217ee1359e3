// SPDX-License-Identifier: Apache-2.0
// Stretches, sums and relative cost of a schedule.
#include "cost_models/schedule_report.h"

#include <nlohmann/json.hpp>
#include <stdexcept>

#include "cost_models/passes.h"

namespace bitcycle {
namespace {

/// A few seconds' work; a table that somebody reads by program.
constexpr std::int64_t kMostListedSteps = 100'000'000;
constexpr std::size_t kMostStretches = 4'000'000;

double bitops_of_a_mac(const LayerWidths& widths) {
  double sum = 0.0;
  for (const Pass pass : kPasses) sum += scheduled_bits(pass, widths).product();
  return sum;
}

}  // namespace

ScheduleReport schedule_report(const std::string& name, const PrecisionPlan& plan, const std::string& layer) {
  ScheduleReport report;
  report.name = name;
  report.layer = layer;
  report.steps = plan.steps();
  report.static_widths = layer.empty() ? plan.max() : plan.max(layer);
  if (plan.steps() > kMostListedSteps) {
    throw std::invalid_argument("train.steps of " + name + " is " + std::to_string(plan.steps()) +
                                ": the widths of at most " + std::to_string(kMostListedSteps) +
                                " steps are listed, one after the other; `bitcycle cost` prices longer runs");
  }
  for (std::int64_t step = 0; step < plan.steps(); ++step) {
    const LayerWidths widths = layer.empty() ? plan.at(step) : plan.at(step, layer);
    if (report.stretches.empty() || report.stretches.back().widths != widths) {
      if (report.stretches.size() == kMostStretches) {
        throw std::invalid_argument("the widths of " + name + " change more than " + std::to_string(kMostStretches) +
                                    " times, too often to be listed: fewer precision.forward.cycles or "
                                    "precision.gradient.cycles are needed here");
      }
      report.stretches.push_back({step, 0, widths});
    }
    ++report.stretches.back().steps;
  }
  double cost = 0.0;
  for (const auto& stretch : report.stretches) {
    report.totals[stretch.widths] += stretch.steps;
    cost += static_cast<double>(stretch.steps) * bitops_of_a_mac(stretch.widths);
  }
  report.relative_cost = cost / (static_cast<double>(report.steps) * bitops_of_a_mac(report.static_widths));
  return report;
}

std::size_t stretches_in_a_round(const std::vector<WidthStretch>& stretches) {
  for (std::size_t length = 1; 2 * length <= stretches.size(); ++length) {
    bool repeats = true;
    for (std::size_t i = length; i < stretches.size() && repeats; ++i) {
      const bool last_round = i + length >= stretches.size();
      repeats = stretches[i].widths == stretches[i - length].widths &&
                (last_round || stretches[i].steps == stretches[i - length].steps);
    }
    if (repeats) return length;
  }
  return stretches.size();
}

std::string schedule_csv(const ScheduleReport& report) {
  std::string csv = "first_step,steps,forward_bits,gradient_bits\n";
  for (const auto& stretch : report.stretches) {
    csv += std::to_string(stretch.first_step) + "," + std::to_string(stretch.steps) + "," +
           stretch.widths.forward.text() + "," + stretch.widths.gradient.text() + "\n";
  }
  return csv;
}

nlohmann::ordered_json schedule_json(const ScheduleReport& report) {
  using Json = nlohmann::ordered_json;
  const auto entry = [](const LayerWidths& widths) {
    return Json{{"forward_bits", widths.forward.text()}, {"gradient_bits", widths.gradient.text()}};
  };
  Json json{{"config", report.name}, {"steps", report.steps}};
  if (!report.layer.empty()) json["layer"] = report.layer;
  json["static_forward_bits"] = report.static_widths.forward.text();
  json["static_gradient_bits"] = report.static_widths.gradient.text();
  json["relative_cost"] = report.relative_cost;
  json["saving_percent"] = 100.0 * (1.0 - report.relative_cost);
  Json& totals = json["totals"] = Json::array();
  for (const auto& [widths, steps] : report.totals) {
    totals.push_back(entry(widths));
    totals.back()["steps"] = steps;
  }
  Json& dwell = json["dwell"] = Json::array();
  for (const auto& stretch : report.stretches) {
    dwell.push_back(entry(stretch.widths));
    dwell.back()["first_step"] = stretch.first_step;
    dwell.back()["steps"] = stretch.steps;
  }
  return json;
}

}  // namespace bitcycle
