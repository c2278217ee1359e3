// SPDX-License-Identifier: Apache-2.0
// Codes of 9 to 16 bits as two bytes each, so that kernels of bytes multiply them: x * w = sum of 256^(i+j) x_i w_j, a
// product of bytes for every pair of limbs. And the form of a pointwise convolution that suits those kernels.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>

#include "sim/cpu/kernels.h"
#include "sim/cpu/scratch.h"
#include "sim/device/kernel_library.h"
#include "sim/number/bit_width.h"
#include "sim/ops/conv_shape.h"

namespace bitcycle::cpu {

/// Longest reduction of two-byte codes whose sum, 65535 * depth, fits an int32.
constexpr std::int64_t kMaxTwoByteDepth = 32768;

/// Bytes of a code: 1 or 2; 0 where the width is above 16 bits or float32.
inline int byte_limbs(BitWidth width) {
  if (!width.is_integer() || width.bits() > 16) return 0;
  return width.bits() <= 8 ? 1 : 2;
}

/// Do kernels of bytes make this product? Of two single bytes always; of more limbs where vpdpbusd makes the bytes'
/// products (elsewhere binary64 is as fast), and where every sum that rescaling takes stays below 2^53: the limbs'
/// sums, 128 times the weights' sums, and the weights' offset times the codes' sums, each below
/// 2^(8 (limbs) - 1) * depth * 1.01.
inline bool products_of_bytes(const KernelTable& kernels, BitWidth x, BitWidth w, int w_limbs, std::int64_t depth) {
  const int x_limbs = byte_limbs(x);
  if (x_limbs == 0 || byte_limbs(w) == 0) return false;
  if (x_limbs == 1 && byte_limbs(w) == 1) return true;
  return kernels.group == 4 && depth <= kMaxTwoByteDepth &&
         8 * (x_limbs + w_limbs) + 1 + static_cast<int>(std::bit_width(static_cast<std::uint64_t>(depth))) <= 53;
}

/// The same for the weight gradient, whose sums are 64-bit integers.
inline bool gradients_of_bytes(const KernelTable& kernels, BitWidth x, BitWidth g) {
  const int x_limbs = byte_limbs(x), g_limbs = byte_limbs(g);
  return x_limbs != 0 && g_limbs != 0 && (kernels.group == 4 || (x_limbs == 1 && g_limbs == 1));
}

/// Codes as bytes, the least significant first.
struct ByteCodes {
  const std::uint8_t* limb[2] = {nullptr, nullptr};
  int limbs = 1;

  ByteCodes from(std::int64_t element) const {
    ByteCodes codes = *this;
    for (int i = 0; i < limbs; ++i) codes.limb[i] += element;
    return codes;
  }
};

/// Elements begin..begin + count of an operand of up to 16 bits: as they lie, or cut into `memory`.
inline ByteCodes bytes_of(const KernelTable& kernels, const Operand& operand, std::int64_t begin, std::int64_t count,
                          Scratch<std::uint8_t> (&memory)[2]) {
  ByteCodes codes;
  codes.limbs = byte_limbs(operand.width);
  if (codes.limbs == 1) {
    codes.limb[0] = static_cast<const std::uint8_t*>(operand.codes) + begin;
    return codes;
  }
  std::uint8_t* low = memory[0].need(count);
  std::uint8_t* high = memory[1].need(count);
  kernels.split_words(static_cast<const std::uint16_t*>(operand.codes) + begin, count, low, high);
  codes.limb[0] = low;
  codes.limb[1] = high;
  return codes;
}

/// What the kernels of bytes see of a convolution. A pointwise one (1x1, stride 1, no padding, one group) does not know
/// where one image ends: its positions are taken as "images" of one row, long enough to use a weight for several tiles
/// of pixels, short enough for the cache; the last row may be shorter. Every other shape is left as it is.
struct KernelShape {
  ConvShape shape;             // of whole rows
  std::int64_t positions = 0;  // input positions that exist, all images
  bool regrouped = false;

  KernelShape() = default;
  /// regroup = false: for the other kernels, which see the shape as it is.
  explicit KernelShape(const ConvShape& of, bool regroup = true) : shape(of), positions(of.n * of.h * of.w) {
    if (!regroup || of.kh != 1 || of.kw != 1 || of.stride != 1 || of.padding != 0 || of.groups != 1) return;
    const std::int64_t row = std::max<std::int64_t>(32, 4096 / std::max(of.c, of.o) / 8 * 8);
    if (of.w >= row) return;
    regrouped = true;
    shape.h = 1;
    shape.w = row;
    shape.n = (positions + row - 1) / row;
  }
  /// Input positions of images begin..end - 1.
  std::int64_t positions_of(std::int64_t begin, std::int64_t end) const {
    const std::int64_t image = shape.h * shape.w;
    return std::min(end * image, positions) - begin * image;
  }
  /// Output positions of the same.
  std::int64_t out_positions_of(std::int64_t begin, std::int64_t end) const {
    return regrouped ? positions_of(begin, end) : (end - begin) * shape.out_h() * shape.out_w();
  }
  /// Pixels of the row of image n where it is a shorter last one; 0: rows are whole.
  std::int64_t short_row(std::int64_t n) const {
    if (!regrouped) return 0;
    const std::int64_t pixels = positions_of(n, n + 1);
    return pixels < shape.w ? pixels : 0;
  }
};

}  // namespace bitcycle::cpu
