// SPDX-License-Identifier: Apache-2.0
// What the steps of an experiment cost: in bit operations and on accelerators, at the scheduled widths (`paper`) and at
// the multiplied ones (`executed`), beside one baseline for everything that is compared: the same steps of the same
// model with every layer static.
#pragma once

#include <array>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "cost_models/pricing.h"
#include "report/experiments.h"

namespace bitcycle::report {

/// Energy of one layer over all steps, in the accelerator's unit.
struct LayerEnergy {
  std::string layer;
  std::array<double, kPasses.size()> passes{};  // in the order of kPasses
  double arithmetic = 0.0, buffers = 0.0, dram = 0.0, leakage = 0.0;
  double total() const { return arithmetic + buffers + dram + leakage; }
};

/// Energies in unit_of(accelerator), time in cycles and seconds; none where the accelerator's model does not
/// count it.
struct HardwareFigures {
  std::optional<double> arithmetic, buffers, dram, leakage, energy, cycles, seconds;
};

/// One experiment on one accelerator in one metric.
struct HardwareCost {
  std::size_t accelerator = 0;
  bool executed = false;
  std::optional<HardwareFigures> cost, baseline;
  std::string refusal;           // why the cost is missing
  std::string baseline_refusal;  // why the baseline is, where the cost is there
  std::vector<LayerEnergy> layers;
  std::size_t note = 0;  // the place of the refusal among the page's notes on prices, from 1; 0: none
};

struct ExperimentCost {
  double paper_bitops = 0.0, executed_bitops = 0.0;
  double baseline_paper_bitops = 0.0, baseline_executed_bitops = 0.0;
  std::vector<HardwareCost> hardware;  // by accelerator, `paper` before `executed`
};

/// "J", or "units" where an accelerator states ratios only.
std::string unit_of(const Accelerator& accelerator);

/// 100 * cost / baseline; none where either is missing or not positive.
std::optional<double> percent_of(std::optional<double> cost, std::optional<double> baseline);

/// What the steps of a comparison are compared with: every layer static, at the widths that were asked for, or at the
/// largest integer widths that any of the runs' schedules gives it.
struct Baseline {
  LayerWidths widths;                                     // of most layers
  std::map<LayerWidths, std::vector<std::string>> apart;  // layers at other widths
  std::optional<LayerWidths> reached;  // largest widths of most layers in any step, where these are smaller
};
Baseline baseline_of(const Comparison& comparison, const std::vector<RecordedRun>& runs,
                     const std::vector<Experiment>& experiments, const std::optional<LayerWidths>& asked_for = {});
/// "8/8" (forward/gradient), or "8/8, conv1 12/8".
std::string baseline_text(const Baseline& baseline);

/// By experiment; `baseline`: widths of all layers that were asked for.
std::vector<ExperimentCost> costs_of(const std::vector<RecordedRun>& runs, const std::vector<Experiment>& experiments,
                                     const std::vector<Comparison>& comparisons,
                                     const std::vector<Accelerator>& accelerators,
                                     const std::optional<LayerWidths>& baseline = {});

}  // namespace bitcycle::report
