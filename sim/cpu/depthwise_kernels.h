// SPDX-License-Identifier: Apache-2.0
// Records of the depthwise kernels. Bytes of codes are kept as pairs of 16-bit words: a block of 16 channels is 64
// bytes a column, and a lane holds the bytes of two columns, so that one multiplication adds two taps (or two
// positions) of a channel. Codes above 8 bits are two such bytes, each staged by itself. A column outside the image is
// 0, which adds nothing to any sum of codes.
#pragma once

#include <cstdint>

namespace bitcycle::cpu {

/// A row of bytes as pairs: column j holds pixels j - margin and j - margin + distance, 0 where there is none.
struct StageWords {
  const std::uint8_t* row = nullptr;  // (pixels, channels)
  std::int64_t pixels = 0, channels = 0;
  std::int64_t margin = 0, distance = 1, columns = 0;
  std::int64_t plane = 0;  // bytes from one block of 16 channels to the next
  char* out = nullptr;     // (blocks, columns, 16 lanes, 2 words)
};

/// One row of outputs: sums over a kernel's taps, two neighbouring ones a pair, and their values
/// fl32(fma(a, acc, fma(b, sum, e))).
struct DepthwiseRow {
  const char* const* rows = nullptr;      // (kernel_rows) staged rows, at the first pixel's column
  const std::int64_t* offsets = nullptr;  // (pairs) bytes from there
  std::int64_t kernel_rows = 0, pairs = 0;
  std::int64_t plane = 0, pixel_step = 0;  // bytes
  std::int64_t pixels = 0, channels = 0, lanes = 0;
  const char* weights = nullptr;  // (blocks, kernel_rows, pairs, 64 bytes)
  std::int64_t limbs = 1;         // 2: weight = 256 * second + first, the second limb_step bytes behind the first
  std::int64_t limb_step = 0;
  std::int64_t x_limbs = 1;  // 2: code = 256 * second + first, the second's staged rows x_limb_step bytes behind
  std::int64_t x_limb_step = 0;
  const char* ones = nullptr;  // (pairs, 64 bytes) 1 where a pair has a tap; null: sums of codes are not wanted
  const std::int64_t* columns = nullptr;  // (pixels) class of each column, as an offset into the table of e
  const double* offset = nullptr;         // (classes, lanes): e
  const double* a = nullptr;              // (lanes)
  const double* b = nullptr;              // (lanes)
  float* out = nullptr;                   // (pixels, out_step)
  std::int64_t out_step = 0;
};

/// sums[tap][lane] += sum over rows and pairs of neighbouring positions of x * g.
struct DepthwiseGradientRows {
  const char* const* x = nullptr;  // kernel row k of output row r is x[r * stride + k]; pairs `stride` columns apart
  const char* const* g = nullptr;  // (rows); pairs 1 column apart
  std::int64_t rows = 0, stride = 1, kh = 0, kw = 0;
  std::int64_t pairs = 0;                 // of positions in a row
  std::int64_t x_plane = 0, g_plane = 0;  // bytes
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
