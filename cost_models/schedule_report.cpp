// SPDX-License-Identifier: Apache-2.0
// Stretches, sums and relative cost of a schedule.
#include "cost_models/schedule_report.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "cost_models/bitops_report.h"
#include "cost_models/csv.h"

namespace bitcycle {
namespace {

/// A table that somebody reads by program; nobody reads a longer one.
constexpr std::size_t kMostStretches = 1'000'000;

using Json = nlohmann::ordered_json;

WidthGroup group_of(const PrecisionPlan& plan, const Workload& workload, std::vector<std::string> layers) {
  WidthGroup group;
  const std::string& first = layers.front();
  for (std::int64_t step = 0; step < plan.steps();) {
    const LayerWidths widths = plan.at(step, first);
    if (group.stretches.empty() || group.stretches.back().widths != widths) {
      if (group.stretches.size() == kMostStretches) {
        group.all_stretches = false;
        break;
      }
      group.stretches.push_back({step, 0, widths});
    }
    const std::int64_t next = plan.until(step, first);
    group.stretches.back().steps += next - step;
    step = next;
  }
  group.totals = plan.histogram(first, 0, plan.steps());
  double macs = 0.0, all = 0.0;
  for (const auto& operation : workload.matrix) {
    const auto count = static_cast<double>(operation.shape.macs());
    all += count;
    if (std::find(layers.begin(), layers.end(), operation.layer) != layers.end()) macs += count;
  }
  group.macs_share = all > 0.0 ? macs / all : 1.0;
  group.layers = std::move(layers);
  return group;
}

void require_all_stretches(const ScheduleReport& report) {
  for (const auto& group : report.groups) {
    if (group.all_stretches) continue;
    throw std::invalid_argument("the widths of " + report.name + " change more than " + std::to_string(kMostStretches) +
                                " times, too often to be listed as CSV or JSON; the "
                                "table shows the sums, and fewer precision.forward.cycles or "
                                "precision.gradient.cycles can be listed");
  }
}

Json widths_json(const LayerWidths& widths) {
  return {{"forward_bits", width_json(widths.forward)}, {"gradient_bits", width_json(widths.gradient)}};
}

void put_group(Json& json, const WidthGroup& group) {
  Json& totals = json["totals"] = Json::array();
  for (const auto& [widths, steps] : group.totals) {
    totals.push_back(widths_json(widths));
    totals.back()["steps"] = steps;
  }
  Json& dwell = json["dwell"] = Json::array();
  for (const auto& stretch : group.stretches) {
    dwell.push_back(widths_json(stretch.widths));
    dwell.back()["first_step"] = stretch.first_step;
    dwell.back()["steps"] = stretch.steps;
  }
}

}  // namespace

Workload any_workload() {
  Workload workload;
  workload.model = "any";
  workload.matrix.emplace_back();
  workload.matrix.back().layer = "every layer";
  return workload;
}

ScheduleReport schedule_report(const std::string& name, const PrecisionPlan& plan, const Workload& workload,
                               const LayerWidths* baseline, const std::string& layer) {
  require_matching_patterns(plan, workload);
  Workload shown = workload;
  if (!layer.empty()) {
    std::erase_if(shown.matrix, [&](const MatrixOperation& operation) { return operation.layer != layer; });
    if (shown.matrix.empty()) {
      std::string known;
      for (const auto& operation : workload.matrix) known += (known.empty() ? "" : ", ") + operation.layer;
      throw std::invalid_argument("there is no layer '" + layer + "' in " + workload.model + "; its layers are " +
                                  known);
    }
  }
  ScheduleReport report;
  report.name = name;
  report.layer = layer;
  report.steps = plan.steps();
  std::vector<std::string> layers;
  for (const auto& operation : shown.matrix) layers.push_back(operation.layer);
  for (auto& group : groups_of_layers(plan, layers)) report.groups.push_back(group_of(plan, shown, std::move(group)));
  BitOpsOptions options;
  options.batch = 1;
  const BitOpsReport bitops = bitops_report(name, shown, plan, 0, plan.steps(), options, baseline);
  report.static_widths = baseline == nullptr && !layer.empty() ? plan.max(layer) : bitops.static_widths;
  report.common_baseline = bitops.common_baseline;
  report.gbitops = 1e-9 * bitops.total.paper;
  report.relative_cost = bitops.static_total.paper > 0.0 ? bitops.total.paper / bitops.static_total.paper : 1.0;
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
  require_all_stretches(report);
  const bool several = report.groups.size() > 1;
  std::string csv = std::string("first_step,steps,forward_bits,gradient_bits") + (several ? ",layers\n" : "\n");
  for (const auto& group : report.groups) {
    std::string names;
    for (const auto& layer : group.layers) names += (names.empty() ? "" : " ") + layer;
    for (const auto& stretch : group.stretches) {
      csv += std::to_string(stretch.first_step) + "," + std::to_string(stretch.steps) + "," +
             stretch.widths.forward.text() + "," + stretch.widths.gradient.text();
      csv += (several ? "," + csv_cell(names) : "") + "\n";
    }
  }
  return csv;
}

nlohmann::ordered_json schedule_json(const ScheduleReport& report) {
  require_all_stretches(report);
  Json json{{"config", report.name}, {"steps", report.steps}};
  if (!report.layer.empty()) json["layer"] = report.layer;
  json["static_forward_bits"] = width_json(report.static_widths.forward);
  json["static_gradient_bits"] = width_json(report.static_widths.gradient);
  json["relative_cost"] = report.relative_cost;
  json["saving_percent"] = 100.0 * (1.0 - report.relative_cost);
  put_group(json, report.groups.front());
  if (report.groups.size() > 1) {
    Json& groups = json["layer_groups"] = Json::array();
    for (const auto& group : report.groups) {
      groups.push_back({{"layers", group.layers}, {"macs_share", group.macs_share}});
      put_group(groups.back(), group);
    }
  }
  return json;
}

}  // namespace bitcycle
