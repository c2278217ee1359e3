// SPDX-License-Identifier: Apache-2.0
// The three passes of training and the widths of their operands: what every cost model starts from.
//   forward          x (b) times w (b)
//   error            g (bg) times w (b)
//   weight gradient  x (b) times g (bg)
#pragma once

#include <array>
#include <string>

#include "sim/ops/error_weights.h"
#include "sim/ops/pass.h"
#include "sim/schedule/precision_plan.h"
#include "sim/workload.h"

namespace bitcycle {

inline constexpr std::array kPasses{Pass::kForward, Pass::kError, Pass::kWeightGradient};

std::string pass_name(Pass pass);  // forward, error, weight_gradient

/// Bits of the two operands of a product. Both 0: the pass does not run.
struct OperandBits {
  int lhs = 0;
  int rhs = 0;
  /// Bit operations of one multiply-accumulate.
  double product() const { return static_cast<double>(lhs) * static_cast<double>(rhs); }
};

/// How the error pass reads its weights (docs/numerics.md, 5).
struct ErrorPassOptions {
  ErrorWeights weights = ErrorWeights::kShared;
  int grid_bits = 16;
};

/// The widths that the schedule gives; float32 counts as 32.
OperandBits scheduled_bits(Pass pass, const LayerWidths& scheduled);

/// The widths that are multiplied: 32 x 32 where either operand is float32 (numerics, 1.5), the grid's width for the
/// weights of a `shared` error pass, 0 x 0 for an error pass that nothing needs.
OperandBits executed_bits(const MatrixOperation& operation, Pass pass, const LayerWidths& scheduled,
                          const ErrorPassOptions& error_pass);

}  // namespace bitcycle
