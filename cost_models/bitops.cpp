// SPDX-License-Identifier: Apache-2.0
// Counting bit operations: layers x passes x pairs of widths, each multiplied by the steps it lasted.
#include "cost_models/bitops.h"

#include <array>
#include <cstdio>
#include <functional>
#include <map>

namespace bitcycle {
namespace {

using Histogram = std::map<LayerWidths, std::int64_t>;
constexpr std::array kPasses{Pass::kForward, Pass::kError, Pass::kWeightGradient};

/// Scheduled widths of a pass's operands: forward b x b, error bg x b, weight gradient b x bg.
std::array<int, 2> widths_of(Pass pass, int forward, int gradient) {
  switch (pass) {
    case Pass::kForward: return {forward, forward};
    case Pass::kError: return {gradient, forward};
    case Pass::kWeightGradient: return {forward, gradient};
  }
  return {0, 0};
}

/// Operands as they are multiplied. One float32 operand makes the product a float32 product.
std::array<int, 2> executed_widths(const MatrixOperation& operation, Pass pass, const LayerWidths& scheduled,
                                   const BitOpsOptions& options) {
  const bool forward_only = pass == Pass::kForward;
  if (!operation.quantised || scheduled.forward.is_float32() || (!forward_only && scheduled.gradient.is_float32())) {
    return {32, 32};
  }
  auto widths = widths_of(pass, scheduled.forward.bits(), scheduled.gradient.bits());
  if (pass == Pass::kError && options.error_weights == ErrorWeights::kShared) widths[1] = options.error_grid_bits;
  return widths;
}

BitOps count(const Workload& workload, const std::function<Histogram(const std::string&)>& histogram,
             const BitOpsOptions& options) {
  BitOps cost;
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
    const auto paper = widths_of(pass, scheduled.forward.bits(), scheduled.gradient.bits());
    row.paper_lhs_bits = paper[0];
    row.paper_rhs_bits = paper[1];
    return row;
  };
  for (const auto& operation : workload.matrix) {
    for (const auto& [scheduled, steps] : histogram(operation.layer)) {
      for (const Pass pass : kPasses) {
        BitOpsRow row = make_row(operation.layer, pass, scheduled, steps);
        row.macs = static_cast<double>(operation.shape.macs()) * static_cast<double>(options.batch) *
                   static_cast<double>(steps);
        row.paper_bitops = row.macs * row.paper_lhs_bits * row.paper_rhs_bits;
        if (pass != Pass::kError || operation.input_gradient) {
          const auto executed = executed_widths(operation, pass, scheduled, options);
          row.lhs_bits = executed[0];
          row.rhs_bits = executed[1];
          row.executed_bitops = row.macs * executed[0] * executed[1];
        }
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

std::string pass_name(Pass pass) {
  switch (pass) {
    case Pass::kForward: return "forward";
    case Pass::kError: return "error";
    case Pass::kWeightGradient: return "weight_gradient";
  }
  return "unknown";
}

std::string bitops_csv(const BitOps& cost) {
  std::string csv =
      "layer,pass,forward_bits,gradient_bits,lhs_bits,rhs_bits,steps,macs,paper_bitops,executed_bitops\n";
  char numbers[160];
  for (const auto& row : cost.rows) {
    std::snprintf(numbers, sizeof numbers, ",%d,%d,%lld,%.17g,%.17g,%.17g\n", row.lhs_bits, row.rhs_bits,
                  static_cast<long long>(row.steps), row.macs, row.paper_bitops, row.executed_bitops);
    csv += row.layer + "," + pass_name(row.pass) + "," + row.scheduled.forward.text() + "," +
           row.scheduled.gradient.text() + numbers;
  }
  return csv;
}

}  // namespace bitcycle
