// SPDX-License-Identifier: Apache-2.0
#include "cost_models/explain.h"

#include <algorithm>
#include <cstdio>
#include <map>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "sim/nearest_name.h"

namespace bitcycle {
namespace {

std::string widths_text(const PassWidths& widths) {
  return widths.float32 ? "float32"
                        : std::to_string(widths.bits.lhs) + " x " + std::to_string(widths.bits.rhs) + " bits";
}

std::string percent(std::int64_t part, std::int64_t whole) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f %%", 100.0 * static_cast<double>(part) / static_cast<double>(whole));
  return text;
}

/// The formulas of a pass at these widths, and its cost.
ProductCost formulas(const Accelerator& accelerator, const Workload& workload, std::size_t index, Pass pass,
                     const PassWidths& widths, const PricingOptions& options, std::vector<std::string>* lines) {
  ProductCost cost;
  const std::int64_t uses = options.uses_of(workload.matrix[index].layer);
  for (const auto& product : layer_products(accelerator, workload, index, pass, widths, options.batch / uses)) {
    cost.add(product_cost(accelerator, workload.matrix[index], pass, product, options), static_cast<double>(uses));
    if (lines != nullptr && uses > 1) lines->push_back(std::to_string(uses) + " times a step:");
    if (lines != nullptr) cost_of(accelerator, product, lines);
  }
  return cost;
}

[[noreturn]] void no_such_layer(const std::string& layer, const Workload& workload) {
  std::vector<std::string> names;
  for (const auto& operation : workload.matrix) names.push_back(operation.layer);
  const std::string match = nearest_name(layer, names);
  std::string known;
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (i == 20 && names.size() > 24) {
      known += ", ... and " + std::to_string(names.size() - 21) + " more, the last " + names.back();
      break;
    }
    known += (known.empty() ? "" : ", ") + names[i];
  }
  throw std::invalid_argument("there is no layer '" + layer + "'" +
                              (match.empty() ? "." : "; did you mean '" + match + "'?") + " The layers are " + known);
}

}  // namespace

Explanation explain_layer(const Accelerator& accelerator, const Workload& workload, const PrecisionPlan& plan,
                          std::int64_t begin, std::int64_t end, const std::string& layer,
                          const PricingOptions& options) {
  const auto found = std::find_if(workload.matrix.begin(), workload.matrix.end(),
                                  [&](const MatrixOperation& operation) { return operation.layer == layer; });
  if (found == workload.matrix.end()) no_such_layer(layer, workload);
  const auto index = static_cast<std::size_t>(found - workload.matrix.begin());
  Explanation explanation{accelerator, layer, options.batch, end - begin, {}, accelerator.constants};
  for (const Pass pass : kPasses) {
    ExplainedPass explained;
    explained.pass = pass_name(pass);
    std::map<std::tuple<int, int, bool>, ExplainedWidths> widths;
    if (found->has(pass)) {
      for (const auto& [scheduled, steps] : plan.histogram(layer, begin, end)) {
        const PassWidths of = pass_widths(*found, pass, scheduled, options);
        if (of.bits.lhs == 0) continue;
        widths[of.key()].widths = of;
        widths[of.key()].steps += steps;
      }
    }
    for (auto& [key, entry] : widths) {
      const bool last = key == widths.rbegin()->first;
      entry.step =
          formulas(accelerator, workload, index, pass, entry.widths, options, last ? &explained.lines : nullptr);
      explained.widths.push_back(entry);
    }
    explanation.passes.push_back(std::move(explained));
  }
  return explanation;
}

std::vector<Explanation> explain_topology(const Accelerator& accelerator, const Topology& topology, OperandBits bits,
                                          const std::string& layer) {
  const Workload workload = topology.workload();
  PricingOptions options;
  options.batch = 1;
  std::vector<Explanation> list;
  for (std::size_t i = 0; i < topology.layers.size(); ++i) {
    const TopologyLayer& row = topology.layers[i];
    if (row.operation.layer != layer) continue;
    Explanation explanation{accelerator, layer, 1, 1, {}, accelerator.constants};
    for (const Pass pass : kPasses) {
      if (row.names_passes ? !row.operation.has(pass) : pass != Pass::kForward) continue;
      ExplainedPass explained;
      explained.pass = pass_name(pass);
      const PassWidths widths{row.bits.value_or(bits), false};
      const ProductCost step = formulas(accelerator, workload, i, pass, widths, options, &explained.lines);
      explained.widths.push_back({widths, 1, step});
      explanation.passes.push_back(std::move(explained));
    }
    list.push_back(std::move(explanation));
  }
  if (list.empty()) no_such_layer(layer, workload);
  return list;
}

std::vector<std::string> explanation_lines(const Explanation& explanation) {
  std::vector<std::string> lines;
  const Accelerator& accelerator = explanation.accelerator;
  for (const auto& pass : explanation.passes) {
    lines.push_back(explanation.layer + ", " + pass.pass + " on " + accelerator.name + ", one step" +
                    (explanation.batch > 1 ? " of " + std::to_string(explanation.batch) + " samples" : "") + ":");
    if (pass.widths.empty()) {
      lines.push_back("  does not run: only inference is priced, or nothing needs its result");
      continue;
    }
    if (pass.widths.size() > 1) {
      for (const auto& entry : pass.widths) {
        std::string line = "  " + widths_text(entry.widths) + ": " + std::to_string(entry.steps) + " of " +
                           std::to_string(explanation.steps) + " steps (" + percent(entry.steps, explanation.steps) +
                           "), a step costs ";
        line += number_text(entry.step.bitops) + " BitOPs";
        if (accelerator.has_time()) line += ", " + number_text(entry.step.total_cycles()) + " cycles";
        if (accelerator.has_energy()) line += ", " + number_text(entry.step.total_nj()) + " nJ";
        lines.push_back(line);
      }
      lines.push_back("  the formulas at the widest, " + widths_text(pass.widths.back().widths) + ":");
    }
    for (const auto& line : pass.lines) lines.push_back("  " + line);
  }
  lines.push_back("constants of " + accelerator.name + ":");
  for (const auto& constant : explanation.constants) lines.push_back("  " + constant);
  return lines;
}

nlohmann::ordered_json explanation_json(const Explanation& explanation) {
  using Json = nlohmann::ordered_json;
  const Accelerator& accelerator = explanation.accelerator;
  Json json{{"accelerator", accelerator.name},
            {"layer", explanation.layer},
            {"batch", explanation.batch},
            {"steps", explanation.steps}};
  Json& passes = json["passes"] = Json::array();
  for (const auto& pass : explanation.passes) {
    Json entry{{"pass", pass.pass}};
    Json& widths = entry["widths"] = Json::array();
    for (const auto& width : pass.widths) {
      Json one{{"lhs_bits", width.widths.bits.lhs},
               {"rhs_bits", width.widths.bits.rhs},
               {"float32", width.widths.float32},
               {"steps", width.steps},
               {"bitops_of_a_step", width.step.bitops}};
      if (accelerator.has_time()) one["cycles_of_a_step"] = width.step.total_cycles();
      if (accelerator.has_energy()) one["nj_of_a_step"] = width.step.total_nj();
      widths.push_back(std::move(one));
    }
    entry["formulas_of_the_widest"] = pass.lines;
    passes.push_back(std::move(entry));
  }
  json["constants"] = explanation.constants;
  return json;
}

}  // namespace bitcycle
