// SPDX-License-Identifier: Apache-2.0
// ConvShape: the one shape of every matrix-like operation of the library. A convolution has it as it
// is; a linear layer or matrix product (M x K) * (N x K)^T is the 1x1 case with n = M, c = K, o = N.
#pragma once

#include <cstdint>
#include <string>

namespace bitcycle {

/// Input (n, h, w, c), weights (o, kh, kw, c / groups), output (n, out_h, out_w, o), all NHWC / OHWI.
struct ConvShape {
  std::int64_t n = 1, h = 1, w = 1, c = 1;
  std::int64_t o = 1, kh = 1, kw = 1;
  std::int64_t stride = 1, padding = 0, groups = 1;

  std::int64_t out_h() const { return (h + 2 * padding - kh) / stride + 1; }
  std::int64_t out_w() const { return (w + 2 * padding - kw) / stride + 1; }
  std::int64_t c_per_group() const { return c / groups; }
  std::int64_t o_per_group() const { return o / groups; }
  std::int64_t input_size() const { return n * h * w * c; }
  std::int64_t output_size() const { return n * out_h() * out_w() * o; }
  std::int64_t weight_size() const { return o * kh * kw * c_per_group(); }
  /// Multiply-accumulates of each of the three passes, padding counted (the field's convention).
  std::int64_t macs() const { return output_size() * kh * kw * c_per_group(); }
  /// Longest reduction of the forward pass: kh * kw * c / groups.
  std::int64_t forward_depth() const { return kh * kw * c_per_group(); }
  /// Longest reduction of the error pass: kh * kw * o / groups.
  std::int64_t error_depth() const { return kh * kw * o_per_group(); }
  /// Longest reduction of the weight gradient: n * out_h * out_w.
  std::int64_t weight_gradient_depth() const { return n * out_h() * out_w(); }

  bool operator==(const ConvShape&) const = default;
  std::string text() const;
};

/// Shape of the matrix product (m x k) * (n x k)^T.
inline ConvShape matmul_shape(std::int64_t m, std::int64_t n, std::int64_t k) {
  ConvShape shape;
  shape.n = m;
  shape.c = k;
  shape.o = n;
  return shape;
}

/// Throws std::invalid_argument, naming the field and its legal range, where a shape is impossible:
/// sizes below 1 (n may be 0), groups that do not divide c and o, a kernel larger than the padded input.
void check_shape(const ConvShape& shape);

/// The rectangle of output positions for which tap (kh, kw) lies inside the input.
struct TapRectangle {
  std::int64_t oh_begin, oh_end, ow_begin, ow_end;
  std::int64_t size() const {
    return (oh_end > oh_begin && ow_end > ow_begin) ? (oh_end - oh_begin) * (ow_end - ow_begin) : 0;
  }
};
TapRectangle valid_outputs(const ConvShape& shape, std::int64_t kh, std::int64_t kw);

}  // namespace bitcycle
