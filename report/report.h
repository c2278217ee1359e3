// SPDX-License-Identifier: Apache-2.0
// Report: one self-contained HTML page of any number of runs: accuracy against cost with the Pareto fronts, curves over
// steps, energy by layer, and the tables that hold every number. The tables are readable without JavaScript; with it,
// the page draws its plots from them.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "report/costs.h"

namespace bitcycle::report {

struct ReportData {
  std::vector<RecordedRun> runs;
  std::vector<Experiment> experiments;
  std::vector<Comparison> comparisons;
  std::vector<ExperimentCost> costs;  // by experiment
  std::vector<Accelerator> accelerators;
  std::optional<LayerWidths> baseline;     // of all layers, where it was asked for
  std::vector<std::string> notes;          // what a reader must know of the runs: repeated, unfinished, not evaluated
  std::vector<std::string> pricing_notes;  // what could not be priced, and why
};

/// Reads, groups and prices the runs. Throws what reading a run folder throws.
/// `baseline`: widths to compare all costs with; without it, those of baseline_of().
ReportData report_data(const std::vector<std::filesystem::path>& runs, const std::vector<Accelerator>& accelerators,
                       const std::optional<LayerWidths>& baseline = {});

/// Fills pricing_notes: what could not be priced, one sentence for an accelerator, a metric and a reason.
void add_pricing_notes(ReportData& data);

/// The page. It loads nothing from elsewhere.
std::string report_html(const ReportData& data);

/// Throws std::runtime_error where a report at this path would overwrite something else than a report, or would take
/// the name of a record of a run.
void check_report_path(const std::filesystem::path& path);

}  // namespace bitcycle::report
