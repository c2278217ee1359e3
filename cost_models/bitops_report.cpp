// SPDX-License-Identifier: Apache-2.0
// Adding up the rows of a BitOps by pass, by widths and by layer.
#include "cost_models/bitops_report.h"

#include <map>
#include <nlohmann/json.hpp>

namespace bitcycle {
namespace {

using Json = nlohmann::ordered_json;
constexpr double kGiga = 1e-9;

void put(Json& json, const BitOpsSum& sum) {
  json["macs"] = sum.macs;
  json["paper_gbitops"] = sum.paper * kGiga;
  json["executed_gbitops"] = sum.executed * kGiga;
}

void put(Json& json, const LayerWidths& widths) {
  json["forward_bits"] = width_json(widths.forward);
  json["gradient_bits"] = width_json(widths.gradient);
}

Json pass_json(Pass pass, const BitOpsSum& sum) {
  Json json{{"pass", pass_name(pass)}};
  put(json, sum);
  return json;
}

Json row_json(const BitOpsRow& row) {
  Json json{{"layer", row.layer}, {"pass", pass_name(row.pass)}};
  put(json, row.scheduled);
  json["lhs_bits"] = row.lhs_bits;
  json["rhs_bits"] = row.rhs_bits;
  json["steps"] = row.steps;
  json["macs"] = row.macs;
  json["paper_bitops"] = row.paper_bitops;
  json["executed_bitops"] = row.executed_bitops;
  return json;
}

}  // namespace

PrecisionPlan static_plan(const LayerWidths& widths, std::int64_t steps) {
  PrecisionSpec spec;
  spec.forward.max = spec.forward.min = widths.forward;
  spec.gradient.max = spec.gradient.min = widths.gradient;
  return {spec, steps};
}

nlohmann::ordered_json width_json(const BitWidth& width) {
  return width.is_float32() ? Json(width.text()) : Json(width.bits());
}

BitOpsReport bitops_report(const std::string& name, const Workload& workload, const PrecisionPlan& plan,
                           std::int64_t begin, std::int64_t end, const BitOpsOptions& options,
                           const LayerWidths* baseline) {
  BitOpsReport report;
  report.name = name;
  report.model = workload.model;
  report.macs_per_image = workload.macs();
  report.steps = end - begin;
  report.options = options;
  report.static_widths = baseline != nullptr ? *baseline : plan.max();
  report.common_baseline = baseline != nullptr;
  report.cost = count_bitops(workload, plan, begin, end, options);
  const BitOps fixed = baseline != nullptr
                           ? count_bitops(workload, static_plan(*baseline, end - begin), 0, end - begin, options)
                           : count_static_bitops(workload, plan, begin, end, options);
  report.saving_percent = saving_percent(report.cost, fixed);
  for (const auto& row : fixed.rows) report.static_total.add(row);

  for (const Pass pass : kPasses) report.passes.emplace_back(pass, BitOpsSum{});
  std::map<LayerWidths, BitOpsSum> widths;
  std::map<std::string, std::size_t> index;
  for (const auto& row : report.cost.rows) {
    std::size_t pass = 0;
    while (kPasses[pass] != row.pass) ++pass;
    const auto [found, is_new] = index.emplace(row.layer, report.layers.size());
    if (is_new) report.layers.push_back({row.layer, {}, {}});
    LayerBitOps& layer = report.layers[found->second];
    report.total.add(row);
    report.passes[pass].second.add(row);
    widths[row.scheduled].add(row);
    layer.total.add(row);
    layer.passes[pass].add(row);
  }
  report.widths.assign(widths.begin(), widths.end());
  return report;
}

nlohmann::ordered_json bitops_json(const BitOpsReport& report) {
  Json json{{"config", report.name},
            {"model", report.model},
            {"macs_per_image", report.macs_per_image},
            {"steps", report.steps},
            {"batch", report.options.batch},
            {"paper_gbitops", report.total.paper * kGiga},
            {"executed_gbitops", report.total.executed * kGiga},
            {"static_forward_bits", width_json(report.static_widths.forward)},
            {"static_gradient_bits", width_json(report.static_widths.gradient)},
            {"static_paper_gbitops", report.static_total.paper * kGiga},
            {"static_executed_gbitops", report.static_total.executed * kGiga},
            {"saving_percent", report.saving_percent},
            {"count_batch_norm", report.options.count_batch_norm}};
  Json& passes = json["passes"] = Json::array();
  for (const auto& [pass, sum] : report.passes) passes.push_back(pass_json(pass, sum));
  Json& widths = json["widths"] = Json::array();
  for (const auto& [pair, sum] : report.widths) {
    Json entry = Json::object();
    put(entry, pair);
    put(entry, sum);
    widths.push_back(std::move(entry));
  }
  Json& layers = json["layers"] = Json::array();
  for (const auto& layer : report.layers) {
    Json entry{{"layer", layer.layer}};
    put(entry, layer.total);
    Json& parts = entry["passes"] = Json::array();
    for (std::size_t i = 0; i < kPasses.size(); ++i) parts.push_back(pass_json(kPasses[i], layer.passes[i]));
    layers.push_back(std::move(entry));
  }
  Json& rows = json["rows"] = Json::array();
  for (const auto& row : report.cost.rows) rows.push_back(row_json(row));
  return json;
}

}  // namespace bitcycle
