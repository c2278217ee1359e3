// SPDX-License-Identifier: Apache-2.0
// Counting bit operations: layers x passes x pairs of widths, each multiplied by the steps it lasted.
#include "cost_models/bitops.h"

#include <fnmatch.h>

#include <algorithm>
#include <cstdio>
#include <functional>
#include <map>
#include <sstream>
#include <stdexcept>
#include <vector>

#include "cost_models/csv.h"

namespace bitcycle {
namespace {

using Histogram = std::map<LayerWidths, std::int64_t>;

bool matches(const std::string& pattern, const std::string& layer) {
  return fnmatch(pattern.c_str(), layer.c_str(), 0) == 0;
}

/// The patterns of paper_layers, each of which matches a layer.
std::vector<std::string> paper_patterns(const Workload& workload, const BitOpsOptions& options) {
  std::vector<std::string> patterns;
  std::istringstream texts(options.paper_layers);
  for (std::string text; std::getline(texts, text, ',');) {
    const auto first = text.find_first_not_of(' '), last = text.find_last_not_of(' ');
    if (first == std::string::npos) continue;
    const std::string pattern = text.substr(first, last - first + 1);
    const auto& layers = workload.matrix;
    if (std::none_of(layers.begin(), layers.end(), [&](const auto& of) { return matches(pattern, of.layer); })) {
      std::string names;
      for (const auto& of : layers) names += (names.empty() ? "" : ", ") + of.layer;
      throw std::invalid_argument("'" + pattern + "' of cost.paper_layers matches no layer of " + workload.model +
                                  "; its layers are " + names);
    }
    patterns.push_back(pattern);
  }
  return patterns;
}

/// Samples of a step that the `paper` metric counts of a layer.
std::int64_t paper_samples(const std::vector<std::string>& patterns, const BitOpsOptions& options,
                           const std::string& layer) {
  for (const auto& pattern : patterns) {
    if (matches(pattern, layer)) return options.paper_samples > 0 ? options.paper_samples : options.batch;
  }
  return 0;
}

BitOps count(const Workload& workload, const std::function<Histogram(const std::string&)>& histogram,
             const BitOpsOptions& options) {
  BitOps cost;
  const std::vector<std::string> patterns = paper_patterns(workload, options);
  const ErrorPassOptions error_pass{options.error_weights, options.error_grid_bits};
  cost.rows.reserve(workload.matrix.size() * kPasses.size() * 8);
  const auto add = [&](BitOpsRow row) {
    cost.paper += row.paper_bitops;
    cost.executed += row.executed_bitops;
    cost.rows.push_back(std::move(row));
  };
  const auto make_row = [](const std::string& layer, Pass pass, const LayerWidths& scheduled, std::int64_t steps) {
    BitOpsRow row;
    row.layer = layer;
    row.pass = pass;
    row.scheduled = scheduled;
    row.steps = steps;
    const OperandBits paper = scheduled_bits(pass, scheduled);
    row.paper_lhs_bits = paper.lhs;
    row.paper_rhs_bits = paper.rhs;
    return row;
  };
  for (const auto& operation : workload.matrix) {
    for (const auto& [scheduled, steps] : histogram(operation.layer)) {
      for (const Pass pass : kPasses) {
        if (!operation.has(pass)) continue;
        BitOpsRow row = make_row(operation.layer, pass, scheduled, steps);
        if (!operation.scheduled) row.scheduled = {BitWidth::float32(), BitWidth::float32()};
        row.macs = static_cast<double>(operation.shape.macs()) * static_cast<double>(options.batch) *
                   static_cast<double>(steps);
        row.paper_bitops = row.macs * row.paper_lhs_bits * row.paper_rhs_bits;
        if (const std::int64_t counted = paper_samples(patterns, options, operation.layer); counted != options.batch) {
          row.paper_bitops = row.paper_bitops / static_cast<double>(options.batch) * static_cast<double>(counted);
        }
        const OperandBits executed = executed_bits(operation, pass, scheduled, error_pass);
        row.lhs_bits = executed.lhs;
        row.rhs_bits = executed.rhs;
        row.executed_bitops = row.macs * executed.product();
        add(std::move(row));
      }
    }
  }
  if (options.count_batch_norm) {
    for (const auto& operation : workload.elementwise) {
      if (operation.kind != "batch_norm") continue;
      for (const auto& [scheduled, steps] : histogram(operation.layer)) {
        for (const Pass pass : kPasses) {
          BitOpsRow row = make_row(operation.layer, pass, scheduled, steps);
          // Two operations an element, priced like MACs: what makes the paper's absolute figures come out.
          row.macs = 2.0 * static_cast<double>(operation.elements) * static_cast<double>(options.batch) *
                     static_cast<double>(steps);
          row.paper_bitops = row.macs * row.paper_lhs_bits * row.paper_rhs_bits;
          add(std::move(row));
        }
      }
    }
  }
  return cost;
}

}  // namespace

BitOps count_bitops(const Workload& workload, const PrecisionPlan& plan, std::int64_t begin, std::int64_t end,
                    const BitOpsOptions& options) {
  return count(
      workload, [&](const std::string& layer) { return plan.histogram(layer, begin, end); }, options);
}

BitOps count_static_bitops(const Workload& workload, const PrecisionPlan& plan, std::int64_t begin, std::int64_t end,
                           const BitOpsOptions& options) {
  return count(
      workload,
      [&](const std::string& layer) {
        return end > begin ? Histogram{{plan.max(layer), end - begin}} : Histogram{};
      },
      options);
}

double saving_percent(const BitOps& cost, const BitOps& baseline) {
  return baseline.paper > 0.0 ? 100.0 * (1.0 - cost.paper / baseline.paper) : 0.0;
}

std::string bitops_csv(const BitOps& cost) {
  std::string csv = "layer,pass,forward_bits,gradient_bits,lhs_bits,rhs_bits,steps,macs,paper_bitops,executed_bitops\n";
  char numbers[160];
  for (const auto& row : cost.rows) {
    std::snprintf(numbers, sizeof numbers, ",%d,%d,%lld,%.17g,%.17g,%.17g\n", row.lhs_bits, row.rhs_bits,
                  static_cast<long long>(row.steps), row.macs, row.paper_bitops, row.executed_bitops);
    csv += csv_cell(row.layer) + "," + pass_name(row.pass) + "," + row.scheduled.forward.text() + "," +
           row.scheduled.gradient.text() + numbers;
  }
  return csv;
}

}  // namespace bitcycle
