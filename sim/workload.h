// SPDX-License-Identifier: Apache-2.0
// Workload: the matrix-like operations of one training sample, with shapes. Made by nn from the network
// that runs, or read from a file of layers; priced by cost_models, given widths by a PrecisionPlan. Operands are just
// operands: no reader may assume that one is a weight or a layer a convolution.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "sim/ops/conv_shape.h"
#include "sim/ops/pass.h"
#include "sim/schedule/precision_plan.h"

namespace bitcycle {

/// Shape of a matrix-like operation as cost models see it. It says more than the ConvShape of the layers that can be
/// trained here: stride and dilation by direction, and padding by side, as layers of other programs have them.
struct OperationShape {
  std::int64_t n = 1, h = 1, w = 1, c = 1;
  std::int64_t o = 1, kh = 1, kw = 1;
  std::int64_t stride_h = 1, stride_w = 1;
  std::int64_t pad_top = 0, pad_bottom = 0, pad_left = 0, pad_right = 0;
  std::int64_t dilation_h = 1, dilation_w = 1, groups = 1;

  OperationShape() = default;
  OperationShape(const ConvShape& s)  // NOLINT: every ConvShape is one
      : n(s.n),
        h(s.h),
        w(s.w),
        c(s.c),
        o(s.o),
        kh(s.kh),
        kw(s.kw),
        stride_h(s.stride),
        stride_w(s.stride),
        pad_top(s.padding),
        pad_bottom(s.padding),
        pad_left(s.padding),
        pad_right(s.padding),
        groups(s.groups) {}

  /// Extent of the dilated kernel.
  std::int64_t reach_h() const { return dilation_h * (kh - 1) + 1; }
  std::int64_t reach_w() const { return dilation_w * (kw - 1) + 1; }
  std::int64_t out_h() const { return (h + pad_top + pad_bottom - reach_h()) / stride_h + 1; }
  std::int64_t out_w() const { return (w + pad_left + pad_right - reach_w()) / stride_w + 1; }
  std::int64_t c_per_group() const { return c / groups; }
  std::int64_t o_per_group() const { return o / groups; }
  std::int64_t input_size() const { return n * h * w * c; }
  std::int64_t output_size() const { return n * out_h() * out_w() * o; }
  std::int64_t weight_size() const { return o * kh * kw * c_per_group(); }
  /// Multiply-accumulates of each of the three passes, padding counted (the field's convention).
  std::int64_t macs() const { return output_size() * kh * kw * c_per_group(); }
};

struct MatrixOperation {
  std::string layer;               // name as in the precision plan and the parameters, without ".weight"
  std::string kind = "conv2d";     // conv2d, linear, matmul
  OperationShape shape;            // n = 1: one sample
  bool quantised = true;           // false: float32 whatever the schedule says (the classifier)
  bool input_gradient = true;      // false: nothing needs its error pass (the first layer)
  bool rhs_is_activation = false;  // the right operand belongs to the sample, as in attention; else it is a weight
  std::array<bool, 3> passes{true, true, true};  // those that there are: forward, error, weight gradient
  bool scheduled = true;  // false: float32, and no metric prices it at the schedule's widths on an accelerator

  bool has(Pass pass) const { return passes[static_cast<std::size_t>(pass)]; }
};

/// Elementwise work that some metrics count beside the matrix operations.
struct ElementwiseOperation {
  std::string layer;
  std::string kind = "batch_norm";  // batch_norm, max_pool
  std::int64_t elements = 0;        // of the result, a sample
  std::int64_t input_elements = 0;  // max_pool: of its operand, a sample
  std::int64_t window = 0;          // max_pool: positions of a window
};

struct Workload {
  std::string model;
  std::vector<MatrixOperation> matrix;
  std::vector<ElementwiseOperation> elementwise;
  /// MACs of the forward pass of one sample.
  std::int64_t macs() const;
  /// Names of the layers that a schedule gives widths to, in order.
  std::vector<std::string> quantised_layers() const;
};

/// The workload without its error and weight-gradient passes: inference.
Workload inference_only(Workload workload);

/// The layers, those with the same two schedules together; those of the run's own schedules come first.
std::vector<std::vector<std::string>> groups_of_layers(const PrecisionPlan& plan,
                                                       const std::vector<std::string>& layers);

/// Throws std::invalid_argument where a pattern of precision.layers matches none of the layers that the schedule gives
/// widths to, and says where it matches layers that are float32. Training, pricing and showing a schedule all ask here.
void require_matching_patterns(const PrecisionPlan& plan, const Workload& workload);

}  // namespace bitcycle
