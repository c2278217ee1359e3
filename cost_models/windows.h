// SPDX-License-Identifier: Apache-2.0
// Windows: where the elements of a product's left operand lie in the tensor that it is made of, so that memory models
// know which windows share inputs. Row p of the operand is an output pixel (of one image after another), column j a tap
// and channel, channels innermost; transposed: the other way round (the weight gradient's).
#pragma once

#include <cstdint>

namespace bitcycle {

struct Windows {
  std::int64_t images = 0;                           // 0: no windows; the operand's elements are all different
  std::int64_t height = 1, width = 1, channels = 1;  // of one image (of one group)
  std::int64_t out_height = 1, out_width = 1;
  std::int64_t kernel_height = 1, kernel_width = 1;
  std::int64_t stride_height = 1, stride_width = 1;
  std::int64_t dilation_height = 1, dilation_width = 1;  // from one tap to the next
  std::int64_t pad_height = 0, pad_width = 0;            // before the first row and column; zeros are not in memory
  /// Input i lies at i * spread, zeros between (the error pass of a strided convolution).
  std::int64_t spread_height = 1, spread_width = 1;
  bool transposed = false;

  std::int64_t pixels() const { return out_height * out_width; }
  std::int64_t taps() const { return kernel_height * kernel_width * channels; }
  auto operator<=>(const Windows&) const = default;
};

/// Index of the input that output `out` meets `tap` positions further along one axis; -1: padding or an inserted zero.
inline std::int64_t input_index(std::int64_t out, std::int64_t tap, std::int64_t stride, std::int64_t pad,
                                std::int64_t spread, std::int64_t size) {
  const std::int64_t at = out * stride + tap - pad;
  if (at < 0 || at % spread != 0 || at / spread >= size) return -1;
  return at / spread;
}

/// Elements of one image that any window touches; of axes beyond 2^20 outputs times taps at most so many.
double touched_elements(const Windows& windows);

}  // namespace bitcycle
