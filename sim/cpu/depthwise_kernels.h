// SPDX-License-Identifier: Apache-2.0
// Records of the depthwise kernels. A block of 16 channels is a vector of 16 lanes of 32 bits. Rows of codes are staged
// in units of 64 bytes, a lane of which holds what neighbouring columns have in its channel, so that one instruction
// multiplies and adds several taps (or positions):
//   pairs  the bytes of two columns as 16-bit words: unit m holds columns m * step and m * step + distance;
//   quads  four bytes of four columns, where kernels multiply bytes: of products, unit m holds columns 2m .. 2m + 3.
// Codes above 8 bits are two bytes, each staged by itself. A column outside the image is 0, which adds nothing to any
// sum; where bytes are multiplied, one operand's are code - 128, and what that leaves out is added where sums begin or
// end.
#pragma once

#include <cstdint>

namespace bitcycle::cpu {

/// A row of bytes as pairs: unit m holds pixels m * step - margin and `distance` behind it, 0 where there is none.
struct StageWords {
  const std::uint8_t* row = nullptr;  // (pixels, channels)
  std::int64_t pixels = 0, channels = 0;
  std::int64_t margin = 0, distance = 1, step = 1, units = 0;
  std::int64_t plane = 0;  // bytes from one block of 16 channels to the next
  char* out = nullptr;     // (blocks, units, 16 lanes, 2 words)
};

/// A row of bytes as quads: unit q * shifts + k holds columns j = 4q + k * shift_step and the three behind it, and
/// column j is pixel j - margin.
struct StageQuads {
  const std::uint8_t* row = nullptr;  // (pixels, pixel_step)
  std::int64_t pixels = 0, pixel_step = 0, channels = 0;
  std::int64_t margin = 0, groups = 0;      // of four columns
  std::int64_t shifts = 1, shift_step = 1;  // 2 of 2, or 1 to 4 of 1
  bool offset_binary = false;               // true: code - 128, false: the code
  std::int64_t plane = 0;
  char* out = nullptr;  // (blocks, groups * shifts, 16 lanes, 4 bytes)
};

/// One row of outputs: sums over a kernel's taps and their values fl32(fma(a, acc, fma(b, sum, e))). The first tap of
/// pixel p reads column s = first + p * step, in unit s / 2, and the kernel's row goes on `unit_step` bytes further:
/// weights for even s and for odd s put each tap where its column is in a unit.
struct DepthwiseRow {
  const char* const* rows = nullptr;  // (kernel_rows) staged rows
  std::int64_t kernel_rows = 0, units = 0;
  std::int64_t unit_step = 0, plane = 0;  // bytes
  std::int64_t first = 0, step = 1;       // columns
  std::int64_t pixels = 0, channels = 0, lanes = 0;
  bool bytes = false;             // quads, and weights of unsigned bytes
  const char* weights = nullptr;  // (blocks, even and odd, kernel_rows, units, 64 bytes)
  std::int64_t limbs = 1;         // 2: weight = 256 * second + first, the second limb_step bytes behind the first
  std::int64_t limb_step = 0;
  std::int64_t x_limbs = 1;  // 2: code = 256 * second + first, the second's staged rows x_limb_step bytes behind
  std::int64_t x_limb_step = 0;
  const char* ones = nullptr;  // (even and odd, units, 64 bytes) 1 where there is a tap; null: no sums of codes
  const std::int64_t* columns = nullptr;      // (pixels) class of each column, as an offset into the tables below
  const std::int32_t* acc_start = nullptr;    // (classes, lanes), bytes: what sums begin with
  const std::int32_t* codes_start = nullptr;  // (classes, lanes), bytes: the same of the sums of codes
  const double* offset = nullptr;             // (classes, lanes): e
  const double* a = nullptr;                  // (lanes)
  const double* b = nullptr;                  // (lanes)
  float* out = nullptr;                       // (pixels, out_step)
  std::int64_t out_step = 0;
  /// Memory that is needed soon, 64 bytes of each for every output of 16 channels: products leave it time.
  const char* fetch[2] = {nullptr, nullptr};
};

/// sums[tap][lane] += sum over rows and positions of x * g.
struct DepthwiseGradientRows {
  const char* const* x = nullptr;  // kernel row k of output row r is x[r * stride + k]
  const char* const* g = nullptr;  // (rows)
  std::int64_t rows = 0, stride = 1, kh = 0, kw = 0;
  bool bytes = false;
  std::int64_t steps = 0;                   // units of positions in a row
  std::int64_t x_step = 0, g_step = 0;      // bytes from one to the next
  const std::int64_t* x_offsets = nullptr;  // (kw) bytes to what a tap reads
  std::int64_t x_plane = 0, g_plane = 0;    // bytes
  std::int64_t channels = 0, lanes = 0;
  std::int32_t* sums = nullptr;  // (kh, kw, lanes)
};

/// sums[channel] += codes at some rows and columns.
struct CodeSums {
  const std::uint8_t* codes = nullptr;
  std::int64_t rows = 0, row_step = 0, columns = 0, column_step = 0;  // steps in codes
  std::int64_t channels = 0;
  std::int32_t* sums = nullptr;  // (lanes)
};

}  // namespace bitcycle::cpu
