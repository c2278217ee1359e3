// SPDX-License-Identifier: Apache-2.0
// Products of depthwise convolutions, written once over 16-lane vectors and units of neighbouring columns
// (depthwise_kernels.h), compiled for each instruction set. Included inside an unnamed namespace, after elementwise.inl
// and byte_quads_*.inl.

inline void store_rescaled(float* out, const Doubles& a, const Doubles& acc, const Doubles& b, const Doubles& sum,
                           const Doubles& e, Part part) {
  store_lanes(out, rescaled(a, acc, b, sum, e), part);
}
inline void store_rescaled(float* out, const Doubles& a, const Doubles& acc, const Doubles& e, Part part) {
  store_lanes(out, rescaled(a, acc, e), part);
}
inline void store_rescaled(float* out, const Doubles& a, const Doubles& acc, const Doubles& b, const Doubles& sum,
                           const Doubles& e, Whole) {
  store_rescaled(out, a, acc, b, sum, e);
}
inline void store_rescaled(float* out, const Doubles& a, const Doubles& acc, const Doubles& e, Whole) {
  store_rescaled(out, a, acc, e);
}

/// kRows x kUnits units of taps; 0: any number of either.
template <int kRows, int kUnits, bool kBytes, bool kSums, int kLimbs, int kXLimbs, typename Count>
inline void depthwise_block(const DepthwiseRow& row, std::int64_t c, Count count) {
  const std::int64_t rows = kRows != 0 ? kRows : row.kernel_rows, units = kUnits != 0 ? kUnits : row.units;
  const std::int64_t block = c / kLanes, taps = rows * units;
  const char* const weights = row.weights + block * 2 * taps * kBlockBytes;
  const Doubles a = load(row.a + c), b = load(row.b + c), zero = all(0.0), base = all(256.0);
  // Copies, since the compiler must assume that a store changes the record.
  const std::int64_t pixels = row.pixels, out_step = row.out_step, limb = row.limb_step, unit_step = row.unit_step;
  const std::int64_t x_limb = row.x_limb_step, step = row.step;
  const std::int64_t* const columns = row.columns;
  const double* const offset = row.offset + c;
  const std::int32_t *const acc_start = row.acc_start + c, *const codes_start = row.codes_start + c;
  const char* const ones = row.ones;
  const char* fetch0 = row.fetch[0] + block * pixels * kBlockBytes;
  const std::int64_t fetch1 = row.fetch[1] - row.fetch[0];
  const char* from[kRows == 0 ? 1 : kRows];
  for (int r = 0; r < kRows; ++r) from[r] = row.rows[r] + block * row.plane;
  float* out = row.out + c;
  std::int64_t s = row.first;
  for (std::int64_t p = 0; p < pixels; ++p, s += step, out += out_step, fetch0 += kBlockBytes) {
    Ints acc[kXLimbs][kLimbs], codes[kXLimbs];
    for (int i = 0; i < kXLimbs; ++i) {
      codes[i] = kBytes && kSums ? load(codes_start + columns[p]) : all_ints(0);
      for (int j = 0; j < kLimbs; ++j) acc[i][j] = kBytes ? load(acc_start + columns[p]) : all_ints(0);
    }
    const std::int64_t odd = s % 2, at = s / 2 * kBlockBytes;
    const char* const of_column = weights + odd * taps * kBlockBytes;
    const char* const ones_of_column = ones + odd * units * kBlockBytes;
    const auto add_unit = [&](std::int64_t r, std::int64_t u) {
      const char* const source = kRows == 0 ? row.rows[r] + block * row.plane : from[r];
      const char* const unit = source + at + u * unit_step;
      const char* const w = of_column + (r * units + u) * kBlockBytes;
#pragma GCC unroll 2
      for (int i = 0; i < kXLimbs; ++i) {
        const Ints x = load_unit(unit + i * x_limb);
#pragma GCC unroll 2
        for (int j = 0; j < kLimbs; ++j) acc[i][j] = dot_unit<kBytes>(acc[i][j], load_unit(w + j * limb), x);
        if (kSums) codes[i] = dot_unit<kBytes>(codes[i], load_unit(ones_of_column + u * kBlockBytes), x);
      }
    };
    if constexpr (kRows != 0) {
#pragma GCC unroll 4
      for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
        for (int u = 0; u < kUnits; ++u) add_unit(r, u);
      }
    } else {
      for (std::int64_t r = 0; r < rows; ++r) {
        for (std::int64_t u = 0; u < units; ++u) add_unit(r, u);
      }
    }
    // Below 2^47, so that each of these is exact.
    Doubles exact = zero, sums = zero;
#pragma GCC unroll 2
    for (int i = kXLimbs - 1; i >= 0; --i) {
      Doubles of_limb = to_doubles_by_memory(acc[i][kLimbs - 1]);
      if (kLimbs == 2) of_limb = fused_integers(base, of_limb, to_doubles_by_memory(acc[i][0]));
      exact = i == kXLimbs - 1 ? of_limb : fused_integers(base, exact, of_limb);
      if (!kSums) continue;
      const Doubles of_codes = to_doubles_by_memory(codes[i]);
      sums = i == kXLimbs - 1 ? of_codes : fused_integers(base, sums, of_codes);
    }
    const Doubles e = load(offset + columns[p]);
    if constexpr (kSums) {
      store_rescaled(out, a, exact, b, sums, e, count);
    } else {
      store_rescaled(out, a, exact, e, count);
    }
    __builtin_prefetch(fetch0, 1);
    __builtin_prefetch(fetch0 + fetch1, 0, 2);
  }
}

template <int kRows, int kUnits, bool kBytes, int kXLimbs>
inline void depthwise_rows(const DepthwiseRow& row) {
  for_each_block(row.channels, [&](std::int64_t c, auto count) {
    if constexpr (kBytes) {  // weights of one limb, and sums of codes
      depthwise_block<kRows, kUnits, true, true, 1, kXLimbs>(row, c, count);
    } else {
      if (row.ones != nullptr && row.limbs == 1) {
        depthwise_block<kRows, kUnits, false, true, 1, kXLimbs>(row, c, count);
      } else if (row.limbs == 1) {
        depthwise_block<kRows, kUnits, false, false, 1, kXLimbs>(row, c, count);
      } else if (row.ones != nullptr) {
        depthwise_block<kRows, kUnits, false, true, 2, kXLimbs>(row, c, count);
      } else {
        depthwise_block<kRows, kUnits, false, false, 2, kXLimbs>(row, c, count);
      }
    }
  });
}

template <bool kBytes, int kXLimbs>
inline void depthwise_row_of(const DepthwiseRow& row) {
  constexpr int kUnitsOfThree = kBytes ? 1 : 2;
  if (row.kernel_rows == 3 && row.units == kUnitsOfThree) return depthwise_rows<3, kUnitsOfThree, kBytes, kXLimbs>(row);
  if (row.kernel_rows == 2 && row.units == 1) return depthwise_rows<2, 1, kBytes, kXLimbs>(row);
  if (row.kernel_rows == 1 && row.units == 1) return depthwise_rows<1, 1, kBytes, kXLimbs>(row);
  depthwise_rows<0, 0, kBytes, kXLimbs>(row);
}

/// Any taps and limbs.
inline void depthwise_row_of_any(const DepthwiseRow& row) {
  if constexpr (kByteQuads) {
    if (row.bytes) return row.x_limbs == 1 ? depthwise_row_of<true, 1>(row) : depthwise_row_of<true, 2>(row);
  }
  row.x_limbs == 1 ? depthwise_row_of<false, 1>(row) : depthwise_row_of<false, 2>(row);
}
