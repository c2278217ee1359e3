// SPDX-License-Identifier: Apache-2.0
// BitOPs of a training run, counted per layer, pass and pair of widths, by two metrics:
//   paper     every MAC in all three passes at the scheduled widths: forward b*b, error b*bg, weight
//             gradient b*bg (float32 layers included, as the paper's code counts them)
//   executed  what ran: float32 layers at 32x32, no error pass where nothing needs one, the physical grid
//             width (16 or 24 bits) of the weights in a `shared` error pass
// BitOPs = MACs * bits of one operand * bits of the other.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "cost_models/passes.h"
#include "sim/schedule/precision_plan.h"
#include "sim/workload.h"

namespace bitcycle {

struct BitOpsOptions {
  std::int64_t batch = 128;
  ErrorWeights error_weights = ErrorWeights::kShared;
  int error_grid_bits = 16;
  /// Adds 2 operations a batch-norm element to the `paper` metric, as the paper's figures do: docs/cost-models.md.
  bool count_batch_norm = false;
  /// What of a step the `paper` metric counts: layers by patterns with * and ?, separated by commas, and samples; 0:
  /// all.
  std::string paper_layers = "*";
  std::int64_t paper_samples = 0;
};

/// One row of cost.csv.
struct BitOpsRow {
  std::string layer;
  Pass pass = Pass::kForward;
  LayerWidths scheduled;                       // what the schedule says; float32 of a layer that has none
  int lhs_bits = 0, rhs_bits = 0;              // `executed` widths of the two operands
  int paper_lhs_bits = 0, paper_rhs_bits = 0;  // `paper` widths
  std::int64_t steps = 0;
  double macs = 0.0;  // over those steps and the whole batch, as the paper counts
  double paper_bitops = 0.0;
  double executed_bitops = 0.0;  // 0 where the pass did not run
};

struct BitOps {
  std::vector<BitOpsRow> rows;
  double paper = 0.0;
  double executed = 0.0;
};

/// Cost of steps [begin, end). Throws std::invalid_argument: a pattern of paper_layers that no layer has.
BitOps count_bitops(const Workload& workload, const PrecisionPlan& plan, std::int64_t begin, std::int64_t end,
                    const BitOpsOptions& options);
/// The same steps with every integer width at the plan's maximum: the static baseline of `saving_percent`.
BitOps count_static_bitops(const Workload& workload, const PrecisionPlan& plan, std::int64_t begin, std::int64_t end,
                           const BitOpsOptions& options);
/// 100 * (1 - cost / baseline), paper metric.
double saving_percent(const BitOps& cost, const BitOps& baseline);

/// CSV with header: layer,pass,forward_bits,gradient_bits,lhs_bits,rhs_bits,steps,macs,paper_bitops,executed_bitops.
std::string bitops_csv(const BitOps& cost);

}  // namespace bitcycle
