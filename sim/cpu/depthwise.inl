// SPDX-License-Identifier: Apache-2.0
// Depthwise convolutions, written once over 16-lane vectors and pairs of words (word_pairs_*.inl), compiled for each
// instruction set. Included inside an unnamed namespace, after elementwise.inl.

inline Ints lanes_of_codes(const std::uint8_t* p, Whole) { return load_codes(p); }
inline Ints lanes_of_codes(const std::uint8_t* p, Part part) { return load_codes(p, part.count); }
inline Ints load_words(const char* p) { return load(reinterpret_cast<const std::int32_t*>(p)); }

void stage_words(const StageWords& row) {
  // The next row, since blocks of channels walk over a row with a step that a processor does not follow.
  const std::uint8_t* const next = row.row + row.pixels * row.channels;
  for (std::int64_t i = 0; i < row.pixels * row.channels; i += 64) __builtin_prefetch(next + i);
  for_each_block(row.channels, [&](std::int64_t c, auto count) {
    char* out = row.out + c / kLanes * row.plane;
    const auto pixel = [&](std::int64_t p) {
      return p >= 0 && p < row.pixels ? lanes_of_codes(row.row + p * row.channels + c, count) : all_ints(0);
    };
    const auto put = [&](std::int64_t j, const Ints& low, const Ints& high) {
      store(reinterpret_cast<std::int32_t*>(out + j * kBlockBytes), pair_words(low, high));
    };
    // Columns whose two pixels are both there, between those at the edges.
    const std::int64_t whole = row.margin + row.pixels - row.distance;
    std::int64_t j = 0;
    for (; j < row.margin && j < row.columns; ++j) put(j, all_ints(0), pixel(j - row.margin + row.distance));
    const std::uint8_t* low = row.row + (j - row.margin) * row.channels + c;
    const std::uint8_t* high = low + row.distance * row.channels;
    for (; j < whole && j < row.columns; ++j, low += row.channels, high += row.channels) {
      put(j, lanes_of_codes(low, count), lanes_of_codes(high, count));
    }
    for (; j < row.columns; ++j) put(j, pixel(j - row.margin), all_ints(0));
  });
}

/// kRows x kPairs pairs of taps, their weights in registers; 0: any number of either.
template <int kRows, int kPairs, bool kSums, int kLimbs, int kXLimbs, typename Count>
inline void depthwise_block(const DepthwiseRow& row, std::int64_t c, Count count) {
  const std::int64_t rows = kRows != 0 ? kRows : row.kernel_rows, pairs = kPairs != 0 ? kPairs : row.pairs;
  const std::int64_t block = c / kLanes, taps = rows * pairs;
  const char* weights = row.weights + block * taps * kBlockBytes;
  const Doubles a = load(row.a + c), b = load(row.b + c), zero = all(0.0), base = all(256.0);
  // Copies, since the compiler must assume that a store changes the record.
  const std::int64_t pixels = row.pixels, pixel_step = row.pixel_step, out_step = row.out_step, limb = row.limb_step;
  const std::int64_t x_limb = row.x_limb_step;
  const std::int64_t* const columns = row.columns;
  const std::int64_t* const offsets = row.offsets;
  const double* const offset = row.offset + c;
  const char* const ones = row.ones;
  const char* from[kRows == 0 ? 1 : kRows];
  for (int r = 0; r < kRows; ++r) from[r] = row.rows[r] + block * row.plane;
  float* out = row.out + c;
  for (std::int64_t p = 0; p < pixels; ++p, out += out_step) {
    Ints acc[kXLimbs][kLimbs], sum[kXLimbs];
    for (int i = 0; i < kXLimbs; ++i) {
      sum[i] = all_ints(0);
      for (int j = 0; j < kLimbs; ++j) acc[i][j] = all_ints(0);
    }
    const auto add_pair = [&](std::int64_t r, std::int64_t k) {
      const char* const source = kRows == 0 ? row.rows[r] + block * row.plane : from[r];
      const char* const at = source + p * pixel_step + offsets[k];
      const char* w = weights + (r * pairs + k) * kBlockBytes;
#pragma GCC unroll 2
      for (int i = 0; i < kXLimbs; ++i) {
        const Ints x = load_words(at + i * x_limb);
#pragma GCC unroll 2
        for (int j = 0; j < kLimbs; ++j) acc[i][j] = dot_words(acc[i][j], x, load_words(w + j * limb));
        if (kSums) sum[i] = dot_words(sum[i], x, load_words(ones + k * kBlockBytes));
      }
    };
    if constexpr (kRows != 0) {
#pragma GCC unroll 4
      for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
        for (int k = 0; k < kPairs; ++k) add_pair(r, k);
      }
    } else {
      for (std::int64_t r = 0; r < rows; ++r) {
        for (std::int64_t k = 0; k < pairs; ++k) add_pair(r, k);
      }
    }
    // Below 2^47, so that each of these is exact.
    Doubles exact = zero, sums = zero;
#pragma GCC unroll 2
    for (int i = kXLimbs - 1; i >= 0; --i) {
      Doubles of_limb = to_doubles(acc[i][kLimbs - 1]);
      if (kLimbs == 2) of_limb = fused_integers(base, of_limb, to_doubles(acc[i][0]));
      exact = i == kXLimbs - 1 ? of_limb : fused_integers(base, exact, of_limb);
      if (!kSums) continue;
      sums = i == kXLimbs - 1 ? to_doubles(sum[i]) : fused_integers(base, sums, to_doubles(sum[i]));
    }
    store_lanes(out, rescaled(a, exact, b, sums, load(offset + columns[p])), count);
    __builtin_prefetch(out + pixels * out_step, 1);  // the next row
  }
}

template <int kRows, int kPairs, int kXLimbs>
inline void depthwise_rows(const DepthwiseRow& row) {
  for_each_block(row.channels, [&](std::int64_t c, auto count) {
    if (row.ones != nullptr && row.limbs == 1) {
      depthwise_block<kRows, kPairs, true, 1, kXLimbs>(row, c, count);
    } else if (row.ones != nullptr) {
      depthwise_block<kRows, kPairs, true, 2, kXLimbs>(row, c, count);
    } else if (row.limbs == 1) {
      depthwise_block<kRows, kPairs, false, 1, kXLimbs>(row, c, count);
    } else {
      depthwise_block<kRows, kPairs, false, 2, kXLimbs>(row, c, count);
    }
  });
}

template <int kXLimbs>
inline void depthwise_row_of(const DepthwiseRow& row) {
  if (row.kernel_rows == 3 && row.pairs == 2) return depthwise_rows<3, 2, kXLimbs>(row);
  if (row.kernel_rows == 2 && row.pairs == 1) return depthwise_rows<2, 1, kXLimbs>(row);
  if (row.kernel_rows == 1 && row.pairs == 1) return depthwise_rows<1, 1, kXLimbs>(row);
  depthwise_rows<0, 0, kXLimbs>(row);
}

void depthwise_row(const DepthwiseRow& row) {
  if (row.x_limbs == 1) return depthwise_row_of<1>(row);
  depthwise_row_of<2>(row);
}

/// Kernel rows k.., kColumns taps of each from column j on, of one block of channels.
template <int kRows, int kColumns>
inline void gradient_taps(const DepthwiseGradientRows& row, std::int64_t block, std::int64_t k, std::int64_t j) {
  Ints sums[kRows][kColumns];
  std::int32_t* out = row.sums + (k * row.kw + j) * row.lanes + block * kLanes;
#pragma GCC unroll 4
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
    for (int i = 0; i < kColumns; ++i) sums[r][i] = load(out + (r * row.kw + i) * row.lanes);
  }
  const std::int64_t x_step = 2 * row.stride * kBlockBytes;
  for (std::int64_t n = 0; n < row.rows; ++n) {
    const char* g = row.g[n] + block * row.g_plane;
    const char* x[kRows];
    for (int r = 0; r < kRows; ++r) x[r] = row.x[n * row.stride + k + r] + block * row.x_plane + j * kBlockBytes;
    for (std::int64_t p = 0; p < row.pairs; ++p) {
      const Ints gradient = load_words(g + 2 * p * kBlockBytes);
#pragma GCC unroll 4
      for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
        for (int i = 0; i < kColumns; ++i) {
          sums[r][i] = dot_words(sums[r][i], load_words(x[r] + p * x_step + i * kBlockBytes), gradient);
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

void depthwise_gradient(const DepthwiseGradientRows& row) {
  for (std::int64_t block = 0; block < row.lanes / kLanes; ++block) {
    std::int64_t k = 0;
    for (; row.kw == 3 && k + kKernelRowsAtOnce <= row.kh; k += kKernelRowsAtOnce) {
      gradient_taps<kKernelRowsAtOnce, 3>(row, block, k, 0);
    }
    for (; k < row.kh; ++k) {
      for (std::int64_t j = 0; j < row.kw; ++j) gradient_taps<1, 1>(row, block, k, j);
    }
  }
}

void code_sums(const CodeSums& area) {
  for_each_block(area.channels, [&](std::int64_t c, auto count) {
    Ints sum = load(area.sums + c);
    for (std::int64_t r = 0; r < area.rows; ++r) {
      const std::uint8_t* codes = area.codes + r * area.row_step + c;
      for (std::int64_t p = 0; p < area.columns; ++p, codes += area.column_step) {
        sum = add(sum, lanes_of_codes(codes, count));
      }
    }
    store(area.sums + c, sum);
  });
}
