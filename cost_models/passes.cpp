// SPDX-License-Identifier: Apache-2.0
// Widths of the operands of each pass, as scheduled and as multiplied.
#include "cost_models/passes.h"

namespace bitcycle {

std::string pass_name(Pass pass) {
  switch (pass) {
    case Pass::kForward: return "forward";
    case Pass::kError: return "error";
    case Pass::kWeightGradient: return "weight_gradient";
  }
  return "unknown";
}

OperandBits scheduled_bits(Pass pass, const LayerWidths& scheduled) {
  const int forward = scheduled.forward.bits(), gradient = scheduled.gradient.bits();
  switch (pass) {
    case Pass::kForward: return {forward, forward};
    case Pass::kError: return {gradient, forward};
    case Pass::kWeightGradient: return {forward, gradient};
  }
  return {};
}

OperandBits executed_bits(const MatrixOperation& operation, Pass pass, const LayerWidths& scheduled,
                          const ErrorPassOptions& error_pass) {
  if (pass == Pass::kError && !operation.input_gradient) return {};
  const bool float32_gradient = pass != Pass::kForward && scheduled.gradient.is_float32();
  if (!operation.quantised || scheduled.forward.is_float32() || float32_gradient) return {32, 32};
  OperandBits bits = scheduled_bits(pass, scheduled);
  // Of weights; an activation, in a product of attention, has no other codes than those of the forward pass.
  const bool weights = !operation.rhs_is_activation;
  if (pass == Pass::kError && weights && error_pass.weights == ErrorWeights::kShared) bits.rhs = error_pass.grid_bits;
  return bits;
}

}  // namespace bitcycle
