// SPDX-License-Identifier: Apache-2.0
// CpuWeights: canonical codes and, beside them, the packed weights of both products; and everything of a convolution
// that depends on its shape alone. Bytes where the kernels of bytes apply, the written order elsewhere.
#pragma once

#include "sim/cpu/byte_limbs.h"
#include "sim/cpu/depthwise_gradient.h"
#include "sim/cpu/depthwise_product.h"
#include "sim/cpu/float_gradient.h"
#include "sim/cpu/grouped_product.h"
#include "sim/cpu/ordered_gradient.h"
#include "sim/cpu/ordered_product.h"
#include "sim/cpu/packed_product.h"
#include "sim/cpu/weight_codes.h"
#include "sim/cpu/weight_gradient.h"
#include "sim/device/kernel_library.h"

namespace bitcycle::cpu {

struct CpuWeights final : QuantisedWeights {
  CpuWeights(const ConvShape& s, const KernelTable& kernels)
      : QuantisedWeights(s),
        rows(KernelShape(s).shape),
        fast_forward(s.groups == 1 && s.forward_depth() <= kMaxDepth),
        fast_error(s.groups == 1 && s.error_depth() <= kMaxDepth),
        fast_gradient(s.groups == 1 && rows.out_h() * rows.out_w() <= kMaxDepth),
        depthwise(is_depthwise(s) && s.kh * s.kw <= kMaxWordTaps),
        ordered_forward(s, false),
        ordered_error(s, true),
        ordered_gradient(s),
        float_gradient(s) {
    if (fast_forward) forward = PackedProduct(rows, false, kernels);
    if (fast_error) error = PackedProduct(rows, true, kernels);
    if (fast_gradient) gradient = WeightGradient(rows, kernels);
    if (!depthwise && GroupedProducts::takes(s)) groups = GroupedProducts(s, kernels);
    if (!depthwise) return;
    depthwise_forward = DepthwiseProduct(s, false, kernels);
    depthwise_error = DepthwiseProduct(s, true, kernels);
    depthwise_gradient = DepthwiseWeightGradient(s, kernels);
  }

  WeightCodes forward_codes() const { return {codes, shape.weight_size()}; }
  WeightCodes codes_of_error_pass() const { return {error_codes, shape.weight_size()}; }

  ConvShape rows;  // what the kernels of bytes see
  bool fast_forward, fast_error, fast_gradient;
  PackedProduct forward, error;
  WeightGradient gradient;
  GroupedProducts groups;  // of several channels each
  bool depthwise;
  DepthwiseProduct depthwise_forward, depthwise_error;
  DepthwiseWeightGradient depthwise_gradient;
  /// Packed by the product that uses them, because their limbs depend on the other operand's width.
  mutable OrderedProduct ordered_forward, ordered_error;
  mutable OrderedGradient ordered_gradient;
  FloatGradient float_gradient;
  Scratch<std::int32_t> column_keys;  // (threads) extremes of the input channels
  Scratch<std::int32_t> wide_codes;   // of layers of several groups
  Scratch<std::int32_t> word_sums;    // of the error pass's codes
  Scratch<double> largest;            // (o) magnitudes of the forward codes' values
  Scratch<float> columns;             // their lo and step
};

}  // namespace bitcycle::cpu
