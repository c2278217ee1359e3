// SPDX-License-Identifier: Apache-2.0
// Weight gradients of depthwise convolutions, and sums of codes. Included inside an unnamed namespace, after
// depthwise.inl.

void depthwise_row(const DepthwiseRow& row) {
  if (!depthwise_3x3(row)) depthwise_row_of_any(row);
}

/// Kernel rows k.., kColumns taps of each from column j on, of one block of channels.
template <int kRows, int kColumns, bool kBytes>
inline void gradient_taps(const DepthwiseGradientRows& row, std::int64_t block, std::int64_t k, std::int64_t j) {
  Ints sums[kRows][kColumns];
  std::int32_t* out = row.sums + (k * row.kw + j) * row.lanes + block * kLanes;
#pragma GCC unroll 4
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
    for (int i = 0; i < kColumns; ++i) sums[r][i] = load(out + (r * row.kw + i) * row.lanes);
  }
  const std::int64_t x_step = row.x_step, g_step = row.g_step, steps = row.steps;
  std::int64_t x_at[kColumns];
  for (int i = 0; i < kColumns; ++i) x_at[i] = row.x_offsets[j + i];
  for (std::int64_t n = 0; n < row.rows; ++n) {
    const char* g = row.g[n] + block * row.g_plane;
    const char* x[kRows];
    for (int r = 0; r < kRows; ++r) x[r] = row.x[n * row.stride + k + r] + block * row.x_plane;
    for (std::int64_t p = 0; p < steps; ++p) {
      const Ints gradient = load_unit(g + p * g_step);
#pragma GCC unroll 4
      for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
        for (int i = 0; i < kColumns; ++i) {
          sums[r][i] = dot_unit<kBytes>(sums[r][i], load_unit(x[r] + p * x_step + x_at[i]), gradient);
        }
      }
    }
  }
#pragma GCC unroll 4
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
    for (int i = 0; i < kColumns; ++i) store(out + (r * row.kw + i) * row.lanes, sums[r][i]);
  }
}

template <bool kBytes>
inline void gradient_blocks(const DepthwiseGradientRows& row) {
  for (std::int64_t block = 0; block < row.lanes / kLanes; ++block) {
    std::int64_t k = 0;
    for (; row.kw == 3 && k + kKernelRowsAtOnce <= row.kh; k += kKernelRowsAtOnce) {
      gradient_taps<kKernelRowsAtOnce, 3, kBytes>(row, block, k, 0);
    }
    for (; k < row.kh; ++k) {
      for (std::int64_t j = 0; j < row.kw; ++j) gradient_taps<1, 1, kBytes>(row, block, k, j);
    }
  }
}

void depthwise_gradient(const DepthwiseGradientRows& row) {
  if constexpr (kByteQuads) {
    if (row.bytes) return gradient_blocks<true>(row);
  }
  gradient_blocks<false>(row);
}

void code_sums(const CodeSums& area) {
  const std::int64_t begin = wide_code_sums(area);  // channels that are done
  CodeSums rest = area;
  rest.codes += begin;
  rest.sums += begin;
  rest.channels -= begin;
  for_each_block(rest.channels, [&](std::int64_t c, auto count) {
    Ints sum = load(rest.sums + c);
    for (std::int64_t r = 0; r < rest.rows; ++r) {
      const std::uint8_t* codes = rest.codes + r * rest.row_step + c;
      for (std::int64_t p = 0; p < rest.columns; ++p, codes += rest.column_step) {
        sum = add(sum, lanes_of_codes(codes, count));
      }
    }
    store(rest.sums + c, sum);
  });
}

void add_codes(const std::uint8_t* codes, std::int64_t count, std::uint16_t* sums) {
  std::int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) add_codes_of_block(codes + i, sums + i);
  for (; i < count; ++i) sums[i] = static_cast<std::uint16_t>(sums[i] + codes[i]);
}
