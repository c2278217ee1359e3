// SPDX-License-Identifier: Apache-2.0
// Contraction: which elements of two operands meet in which element of a product. One shape has three of them, the
// passes of training; a linear layer or matrix product is the 1x1 case (matmul_shape). Taps that do not exist
// contribute nothing (docs/numerics.md, 4.1).
//   forward          out (n, out_h, out_w, o) = lhs (n, h, w, c)         x rhs (o, kh, kw, c / groups)
//   error            out (n, h, w, c)         = lhs (n, out_h, out_w, o) x rhs (o, kh, kw, c / groups)
//   weight gradient  out (o, kh, kw, c/groups) = lhs (n, h, w, c)        x rhs (n, out_h, out_w, o)
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "sim/ops/conv_shape.h"
#include "sim/program/site.h"
#include "sim/reference/taps.h"

namespace bitcycle::ops {

struct Contraction {
  Pass pass = Pass::kForward;
  ConvShape shape;  // n: the whole batch

  std::vector<std::int64_t> lhs_shape() const;
  std::vector<std::int64_t> rhs_shape() const;
  std::vector<std::int64_t> out_shape() const;
  /// Plain sums of one operand: forward lhs (n, out_h, out_w, groups), rhs (out_h, out_w, o); error lhs (n, h, w,
  /// groups), rhs (h, w, c); weight gradient lhs (kh, kw, c), rhs (o, kh, kw).
  std::vector<std::int64_t> lhs_sums_shape() const;
  std::vector<std::int64_t> rhs_sums_shape() const;
  /// Longest reduction.
  std::int64_t depth() const;
  Contraction at(std::int64_t n) const {
    Contraction other = *this;
    other.shape.n = n;
    return other;
  }
  std::string text() const;
};

inline Contraction conv_forward(const ConvShape& shape) { return {Pass::kForward, shape}; }
inline Contraction conv_error(const ConvShape& shape) { return {Pass::kError, shape}; }
inline Contraction conv_weight_gradient(const ConvShape& shape) { return {Pass::kWeightGradient, shape}; }

/// Coordinates of one element of the result, in the order of out_shape().
struct OutElement {
  std::int64_t at[4] = {0, 0, 0, 0};
};

/// visit(sample, lhs, lhs_step, rhs, rhs_step, count) for the runs of pairs that meet in `out`, in the written order:
/// kh, kw, channel; the weight gradient by sample, row, column (docs/numerics.md, 6.2).
template <typename Visit>
void for_each_run(const Contraction& over, const OutElement& out, Visit visit) {
  const ConvShape& s = over.shape;
  // Not a structured binding: Clang 14 does not capture one in a lambda.
  const std::int64_t a = out.at[0], b = out.at[1], c = out.at[2], d = out.at[3];
  if (over.pass == Pass::kForward) {
    const std::int64_t first = d / s.o_per_group() * s.c_per_group();
    reference::for_each_tap_of_output(s, b, c, [&](std::int64_t kh, std::int64_t kw, std::int64_t h, std::int64_t w) {
      visit(a, reference::input_index(s, a, h, w, first), std::int64_t{1}, reference::weight_index(s, d, kh, kw, 0),
            std::int64_t{1}, s.c_per_group());
    });
  } else if (over.pass == Pass::kError) {
    const std::int64_t first = d / s.c_per_group() * s.o_per_group();
    const std::int64_t step = s.kh * s.kw * s.c_per_group();
    reference::for_each_tap_of_input(s, b, c, [&](std::int64_t kh, std::int64_t kw, std::int64_t oh, std::int64_t ow) {
      visit(a, reference::output_index(s, a, oh, ow, first), std::int64_t{1},
            reference::weight_index(s, first, kh, kw, d % s.c_per_group()), step, s.o_per_group());
    });
  } else {
    const std::int64_t channel = a / s.o_per_group() * s.c_per_group() + d;
    const TapRectangle valid = valid_outputs(s, b, c);
    const std::int64_t columns = valid.ow_end - valid.ow_begin;
    if (columns <= 0) return;
    for (std::int64_t n = 0; n < s.n; ++n) {
      for (std::int64_t oh = valid.oh_begin; oh < valid.oh_end; ++oh) {
        const std::int64_t h = oh * s.stride - s.padding + b, w = valid.ow_begin * s.stride - s.padding + c;
        visit(n, reference::input_index(s, n, h, w, channel), s.stride * s.c,
              reference::output_index(s, n, oh, valid.ow_begin, a), s.o, columns);
      }
    }
  }
}

/// visit(index, element) for every element of the result.
template <typename Visit>
void for_each_out(const std::vector<std::int64_t>& shape, Visit visit) {
  std::int64_t index = 0;
  OutElement e;
  auto& [a, b, c, d] = e.at;
  for (a = 0; a < shape[0]; ++a) {
    for (b = 0; b < shape[1]; ++b) {
      for (c = 0; c < shape[2]; ++c) {
        for (d = 0; d < shape[3]; ++d) visit(index++, e);
      }
    }
  }
}

/// Where an element of the result finds the plain sums of its operands.
std::int64_t lhs_sum_index(const Contraction& over, const OutElement& out);
std::int64_t rhs_sum_index(const Contraction& over, const OutElement& out);
/// Pairs that meet in an element.
std::int64_t terms_of(const Contraction& over, const OutElement& out);

}  // namespace bitcycle::ops
