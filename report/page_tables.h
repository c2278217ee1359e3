// SPDX-License-Identifier: Apache-2.0
// The page's tables, as HTML. Together they hold every number that the page shows.
#pragma once

#include <string>

#include "report/report.h"

namespace bitcycle::report {

/// One row a run: its folder, config, state, last and best accuracy, digest.
std::string runs_table(const ReportData& data);
/// One row an experiment: accuracy over its seeds, bit operations in both metrics, beside the baseline.
std::string experiments_table(const ReportData& data);
/// One row an experiment, accelerator and metric.
std::string hardware_table(const ReportData& data);
/// One row an evaluation.
std::string evaluations_table(const ReportData& data);
/// The mean loss of so many steps a row that a run has at most some hundred.
std::string loss_table(const ReportData& data);
/// One row for each stretch of steps at one pair of widths.
std::string bits_table(const ReportData& data);
/// A table for each experiment, accelerator and metric: the energy of every layer.
std::string layer_tables(const ReportData& data);
/// The configs of the runs, and the accelerators' descriptions and constants.
std::string configs_html(const ReportData& data);
std::string accelerators_html(const ReportData& data);

}  // namespace bitcycle::report
