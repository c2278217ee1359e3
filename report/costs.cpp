// SPDX-License-Identifier: Apache-2.0
#include "report/costs.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "cost_models/bitops_report.h"
#include "nn/models/model.h"
#include "nn/models/recurrent_uses.h"
#include "nn/train/cost_options.h"
#include "sim/schedule/reached_widths.h"

namespace bitcycle::report {
namespace {

/// Energies in unit_of(accelerator), of costs in nJ, or in thousands of units where the design states ratios.
double energy_scale(const Accelerator& accelerator) { return accelerator.relative() ? 1e3 : 1e-9; }

BitWidth wider(BitWidth a, BitWidth b) {
  if (a.is_float32()) return b;
  if (b.is_float32()) return a;
  return a < b ? b : a;
}
LayerWidths wider(const LayerWidths& a, const LayerWidths& b) {
  return {wider(a.forward, b.forward), wider(a.gradient, b.gradient)};
}

PrecisionPlan plan_of(const Config& config) { return {precision_spec(config), config.train.steps}; }

ScheduleSpec constant(BitWidth width) { return {"constant", width, width, 1, 1}; }

/// Every layer of the model constant at the largest widths of any of the plans.
PrecisionPlan baseline_plan(const Workload& workload, const std::vector<PrecisionPlan>& plans, std::int64_t steps) {
  const auto largest = [&](const auto& max_of) {
    LayerWidths widths = max_of(plans.front());
    for (const auto& plan : plans) widths = wider(widths, max_of(plan));
    return widths;
  };
  const LayerWidths common = largest([](const PrecisionPlan& plan) { return plan.max(); });
  PrecisionSpec spec{constant(common.forward), constant(common.gradient), {}};
  for (const auto& operation : workload.matrix) {
    const LayerWidths widths = largest([&](const PrecisionPlan& plan) { return plan.max(operation.layer); });
    if (widths != common) spec.layers.push_back({operation.layer, constant(widths.forward), constant(widths.gradient)});
  }
  return {spec, steps};
}

std::vector<PrecisionPlan> plans_of(const Comparison& comparison, const std::vector<RecordedRun>& runs,
                                    const std::vector<Experiment>& experiments) {
  std::vector<PrecisionPlan> plans;
  for (const auto e : comparison.experiments) plans.push_back(plan_of(runs[experiments[e].runs.front()].config));
  return plans;
}

/// A part of the energy that the accelerator's file does not price is not a part of 0 J.
std::optional<double> counted(double energy) { return energy > 0.0 ? std::optional(energy) : std::nullopt; }

HardwareFigures figures(const Accelerator& accelerator, const ProductCost& cost) {
  HardwareFigures figures;
  const double scale = energy_scale(accelerator), energy = cost.total_nj() * scale, cycles = cost.total_cycles();
  if (!std::isfinite(energy) || !std::isfinite(cycles) || energy < 0.0 || cycles < 0.0) {
    throw std::invalid_argument(accelerator.name + ": the cost is not a finite number; check the constants in '" +
                                accelerator.file + "'");
  }
  if (accelerator.has_energy() && energy > 0.0) {
    figures.arithmetic = counted(cost.compute_nj * scale);
    figures.buffers = counted(cost.buffers_nj * scale);
    figures.dram = counted(cost.dram_nj * scale);
    figures.leakage = counted(cost.leakage_nj * scale);
    figures.energy = energy;
  }
  if (accelerator.has_time() && cycles > 0.0) {
    figures.cycles = cycles;
    if (accelerator.clock_hz > 0.0 && std::isfinite(cycles / accelerator.clock_hz))
      figures.seconds = cycles / accelerator.clock_hz;
  }
  return figures;
}

/// The page may go to other machines: it names the accelerator's file, not where it lies on this one.
std::string without_folders(std::string text, const Accelerator& accelerator) {
  const auto at = accelerator.file.empty() ? std::string::npos : text.find(accelerator.file);
  if (at != std::string::npos) {
    text.replace(at, accelerator.file.size(), std::filesystem::path(accelerator.file).filename().string());
  }
  return text;
}

std::vector<LayerEnergy> layers_of(const Pricing& pricing) {
  const double scale = energy_scale(pricing.accelerator);
  std::vector<LayerEnergy> layers;
  for (const auto& row : pricing.rows) {
    if (layers.empty() || layers.back().layer != row.layer) layers.push_back({row.layer});
    LayerEnergy& layer = layers.back();
    for (std::size_t i = 0; i < kPasses.size(); ++i) {
      if (row.pass == pass_name(kPasses[i])) layer.passes[i] += row.cost.total_nj() * scale;
    }
    layer.arithmetic += row.cost.compute_nj * scale;
    layer.buffers += row.cost.buffers_nj * scale;
    layer.dram += row.cost.dram_nj * scale;
    layer.leakage += row.cost.leakage_nj * scale;
  }
  return layers;
}

}  // namespace

std::string unit_of(const Accelerator& accelerator) { return accelerator.relative() ? "units" : "J"; }

std::optional<double> percent_of(std::optional<double> cost, std::optional<double> baseline) {
  if (!cost || !baseline || !(*baseline > 0.0)) return std::nullopt;
  // Ten decimals: sums that differ by the order of their terms are the same percentage.
  return std::round(1e12 * *cost / *baseline) / 1e10;
}

Baseline baseline_of(const Comparison& comparison, const std::vector<RecordedRun>& runs,
                     const std::vector<Experiment>& experiments, const std::optional<LayerWidths>& asked_for) {
  std::map<std::string, LayerWidths> largest, reached;  // by layer
  for (const auto e : comparison.experiments) {
    const RecordedRun& run = runs[experiments[e].runs.front()];
    const PrecisionPlan plan = plan_of(run.config);
    for (const auto& operation : model_workload(run.config).matrix) {
      const std::string& layer = operation.layer;
      const LayerWidths max = plan.max(layer), real = reached_widths(plan, layer, 0, run.planned);
      largest[layer] = largest.count(layer) == 0 ? max : wider(largest[layer], max);
      reached[layer] = reached.count(layer) == 0 ? real : wider(reached[layer], real);
    }
  }
  Baseline baseline;
  if (asked_for) {
    baseline.widths = *asked_for;
    return baseline;
  }
  for (const auto& [layer, widths] : largest) baseline.apart[widths].push_back(layer);
  const auto most = std::max_element(baseline.apart.begin(), baseline.apart.end(),
                                     [](const auto& a, const auto& b) { return a.second.size() < b.second.size(); });
  if (most == baseline.apart.end()) return baseline;
  baseline.widths = most->first;
  std::optional<LayerWidths> real;
  for (const auto& layer : most->second) real = real ? wider(*real, reached[layer]) : reached[layer];
  if (*real != baseline.widths) baseline.reached = real;
  baseline.apart.erase(most);
  return baseline;
}

std::string baseline_text(const Baseline& baseline) {
  constexpr std::size_t kNamed = 2;
  const auto text_of = [](const LayerWidths& widths) { return widths.forward.text() + "/" + widths.gradient.text(); };
  std::string text = text_of(baseline.widths);
  for (const auto& [widths, layers] : baseline.apart) {
    text += ", ";
    if (layers.size() > kNamed) {
      text += std::to_string(layers.size()) + " layers";
    } else {
      for (const auto& layer : layers) text += (layer == layers.front() ? "" : " and ") + layer;
    }
    text += " " + text_of(widths);
  }
  return text;
}

std::vector<ExperimentCost> costs_of(const std::vector<RecordedRun>& runs, const std::vector<Experiment>& experiments,
                                     const std::vector<Comparison>& comparisons,
                                     const std::vector<Accelerator>& accelerators,
                                     const std::optional<LayerWidths>& baseline) {
  std::vector<ExperimentCost> costs;
  for (const auto& experiment : experiments) {
    const RecordedRun& run = runs[experiment.runs.front()];
    const Workload workload = model_workload(run.config);
    const PrecisionPlan plan(run.precision, run.config.train.steps);
    const PrecisionPlan fixed =
        baseline
            ? static_plan(*baseline, run.planned)
            : baseline_plan(workload, plans_of(comparisons[experiment.comparison], runs, experiments), run.planned);
    const BitOpsOptions count = bitops_options(run.config);
    const BitOps bitops = count_bitops(workload, plan, 0, run.done, count);
    const BitOps compared = count_bitops(workload, fixed, 0, run.done, count);
    ExperimentCost cost{bitops.paper, bitops.executed, compared.paper, compared.executed, {}};
    PricingOptions options;
    options.batch = count.batch;
    options.uses = recurrent_uses(run.config);
    options.error_pass = {run.config.precision.error_weights, run.config.precision.error_grid_bits};
    for (std::size_t a = 0; a < accelerators.size(); ++a) {
      for (const bool executed : {false, true}) {
        HardwareCost hardware{a, executed, {}, {}, {}, {}, {}};
        options.executed = executed;
        try {
          const Pricing priced = price_training(accelerators[a], workload, plan, 0, run.done, options);
          hardware.cost = figures(accelerators[a], priced.total);
          if (hardware.cost->energy) hardware.layers = layers_of(priced);
        } catch (const std::invalid_argument& error) {
          hardware.refusal = without_folders(error.what(), accelerators[a]);  // widths that it cannot multiply
        }
        try {
          hardware.baseline =
              figures(accelerators[a], price_training(accelerators[a], workload, fixed, 0, run.done, options).total);
        } catch (const std::invalid_argument& error) {
          if (hardware.cost) hardware.baseline_refusal = without_folders(error.what(), accelerators[a]);
        }
        cost.hardware.push_back(std::move(hardware));
      }
    }
    costs.push_back(std::move(cost));
  }
  return costs;
}

}  // namespace bitcycle::report
