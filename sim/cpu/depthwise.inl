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

/// Sums of one output: of products, by the limbs of codes and weights, and of codes.
template <int kLimbs, int kXLimbs>
struct TapTotals {
  Ints acc[kXLimbs][kLimbs], codes[kXLimbs];
};

/// kRows x kUnits units of taps; 0: any number of either.
template <int kRows, int kUnits, bool kBytes, bool kSums, int kLimbs, int kXLimbs, typename Count>
inline void depthwise_block(const DepthwiseRow& row, std::int64_t c, Count count) {
  using Totals = TapTotals<kLimbs, kXLimbs>;
  // In registers where there are enough of them.
  constexpr bool kKept = kManyRegisters && kRows != 0 && kLimbs == 1;
  const std::int64_t rows = kRows != 0 ? kRows : row.kernel_rows, units = kUnits != 0 ? kUnits : row.units;
  const std::int64_t block = c / kLanes, taps = rows * units;
  const char* weights = row.weights + block * 2 * taps * kBlockBytes;
  const Doubles a = load(row.a + c), b = load(row.b + c), zero = all(0.0), base = all(256.0);
  // Copies, since the compiler must assume that a store changes the record.
  const std::int64_t pixels = row.pixels, step = row.step, out_step = row.out_step, limb = row.limb_step;
  const std::int64_t x_limb = row.x_limb_step, unit_step = row.unit_step;
  const std::int64_t* const columns = row.columns;
  const double* const offset = row.offset + c;
  const std::int32_t *const acc_start = row.acc_start + c, *const codes_start = row.codes_start + c;
  const char* const ones = row.ones;
  const char* from[kRows == 0 ? 1 : kRows];
  for (int r = 0; r < kRows; ++r) from[r] = row.rows[r] + block * row.plane;
  Ints kept[2][kKept ? kRows * kUnits : 1], kept_ones[2][kKept ? kUnits : 1];
  if constexpr (kKept) {
#pragma GCC unroll 2
    for (int odd = 0; odd < 2; ++odd) {
#pragma GCC unroll 8
      for (int i = 0; i < kRows * kUnits; ++i) kept[odd][i] = load_unit(weights + (odd * taps + i) * kBlockBytes);
#pragma GCC unroll 4
      for (int i = 0; kSums && i < kUnits; ++i) kept_ones[odd][i] = load_unit(ones + (odd * units + i) * kBlockBytes);
    }
  }
  const auto begin = [&](std::int64_t p) BITCYCLE_INLINE {
    Totals totals;
    for (int i = 0; i < kXLimbs; ++i) {
      totals.codes[i] = kBytes && kSums ? load(codes_start + columns[p]) : all_ints(0);
      for (int j = 0; j < kLimbs; ++j) totals.acc[i][j] = kBytes ? load(acc_start + columns[p]) : all_ints(0);
    }
    return totals;
  };
  const auto add_unit = [&](Totals& totals, int i, const Ints& x, int odd, std::int64_t r,
                            std::int64_t u) BITCYCLE_INLINE {
    const std::int64_t at = odd * taps + r * units + u;
#pragma GCC unroll 2
    for (int j = 0; j < kLimbs; ++j) {
      const Ints w = kKept ? kept[odd][r * units + u] : load_unit(weights + at * kBlockBytes + j * limb);
      totals.acc[i][j] = dot_unit<kBytes>(totals.acc[i][j], w, x);
    }
    if constexpr (kSums) {
      const Ints one = kKept ? kept_ones[odd][u] : load_unit(ones + (odd * units + u) * kBlockBytes);
      totals.codes[i] = dot_unit<kBytes>(totals.codes[i], one, x);
    }
  };
  /// visit(limb of the codes, unit, row, place in the row) for all units that outputs from column s on read.
  const auto each_unit = [&](std::int64_t s, const auto& visit) BITCYCLE_INLINE {
    const std::int64_t at = s / 2 * kBlockBytes;
    if constexpr (kRows != 0) {
#pragma GCC unroll 4
      for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
        for (int u = 0; u < kUnits; ++u) {
#pragma GCC unroll 2
          for (int i = 0; i < kXLimbs; ++i) visit(i, load_unit(from[r] + at + u * unit_step + i * x_limb), r, u);
        }
      }
    } else {
      for (std::int64_t r = 0; r < rows; ++r) {
        const char* const source = row.rows[r] + block * row.plane + at;
        for (std::int64_t u = 0; u < units; ++u) {
          for (int i = 0; i < kXLimbs; ++i) visit(i, load_unit(source + u * unit_step + i * x_limb), r, u);
        }
      }
    }
  };
  // Below 2^47, so that each of these is exact.
  const auto finish = [&](std::int64_t p, const Totals& totals) BITCYCLE_INLINE {
    Doubles exact = zero, sums = zero;
#pragma GCC unroll 2
    for (int i = kXLimbs - 1; i >= 0; --i) {
      Doubles of_limb = to_doubles_by_memory(totals.acc[i][kLimbs - 1]);
      if (kLimbs == 2) of_limb = fused_integers(base, of_limb, to_doubles_by_memory(totals.acc[i][0]));
      exact = i == kXLimbs - 1 ? of_limb : fused_integers(base, exact, of_limb);
      if (!kSums) continue;
      const Doubles codes = to_doubles_by_memory(totals.codes[i]);
      sums = i == kXLimbs - 1 ? codes : fused_integers(base, sums, codes);
    }
    float* const out = row.out + c + p * out_step;
    const Doubles e = load(offset + columns[p]);
    if constexpr (kSums) {
      store_rescaled(out, a, exact, b, sums, e, count);
    } else {
      store_rescaled(out, a, exact, e, count);
    }
    __builtin_prefetch(out + pixels * out_step, 1);  // the next row
  };
  const auto one = [&](std::int64_t p, std::int64_t s) BITCYCLE_INLINE {
    Totals totals = begin(p);
    if (s % 2 == 0) {
      each_unit(s, [&](int i, const Ints& x, auto r, auto u) BITCYCLE_INLINE { add_unit(totals, i, x, 0, r, u); });
    } else {
      each_unit(s, [&](int i, const Ints& x, auto r, auto u) BITCYCLE_INLINE { add_unit(totals, i, x, 1, r, u); });
    }
    finish(p, totals);
  };
  std::int64_t p = 0, s = row.first;
  if (step == 1) {
    // Two outputs that read the same units.
    if (s % 2 != 0 && p < pixels) one(p++, s++);
    for (; p + 2 <= pixels; p += 2, s += 2) {
      Totals even = begin(p), odd = begin(p + 1);
      each_unit(s, [&](int i, const Ints& x, auto r, auto u) BITCYCLE_INLINE {
        add_unit(even, i, x, 0, r, u);
        add_unit(odd, i, x, 1, r, u);
      });
      finish(p, even);
      finish(p + 1, odd);
    }
  }
  for (; p < pixels; ++p, s += step) one(p, s);
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
