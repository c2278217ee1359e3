// SPDX-License-Identifier: Apache-2.0
// Sums of products in the written order (docs/numerics.md, 6.2), and their rescaling. Part of elementwise.inl.

/// Sums that run side by side, so that their latencies overlap and the registers suffice.
template <typename T>
constexpr int kAccumulators = sizeof(T) == 4 ? kFloatAccumulators : kDoubleAccumulators;

/// One product more: of binary32 numbers by fma, of integers in binary64, where nothing rounds, in any manner.
inline Floats multiply_add(const Floats& x, const Floats& w, const Floats& sum) { return fused(x, w, sum); }
inline Doubles multiply_add(const Doubles& x, const Doubles& w, const Doubles& sum) {
  return fused_integers(x, w, sum);
}

/// Blocks of 16 lanes beside one another, which use a broadcast element that often.
template <typename T>
constexpr int kLaneBlocks = sizeof(T) == 4 ? kFloatLaneBlocks : 1;

/// visit(Number<rest>) where rest is 1..kMost - 1, nothing where it is 0.
template <int kCount>
struct Number {
  static constexpr int value = kCount;
};
template <int kMost, typename Visit>
inline void with_rest(std::int64_t rest, const Visit& visit) {
  if constexpr (kMost > 1) {
    if (rest == kMost - 1) {
      visit(Number<kMost - 1>{});
    } else {
      with_rest<kMost - 1>(rest, visit);
    }
  }
}

/// The order within a sum is kh, kw, channel.
template <int kPixels, int kBlocks, typename T>
inline void ordered_tile(const OrderedRow<T>& row, std::int64_t pixel, std::int64_t c) {
  decltype(all(T{0})) sum[kPixels][kBlocks];
#pragma GCC unroll 8
  for (int p = 0; p < kPixels; ++p) {
#pragma GCC unroll 2
    for (int b = 0; b < kBlocks; ++b) sum[p][b] = all(T{0});
  }
  for (std::int64_t t = 0; t < row.taps; ++t) {
    const T* x = row.x + pixel * row.pixel_step + row.offsets[t];
    const T* w = row.weights + row.weight_offsets[t] + c;
    if (row.depthwise) {
#pragma GCC unroll 2
      for (int b = 0; b < kBlocks; ++b) {
        const auto weight = load(w + b * kLanes);
#pragma GCC unroll 8
        for (int p = 0; p < kPixels; ++p) {
          sum[p][b] = multiply_add(load(x + p * row.pixel_step + c + b * kLanes), weight, sum[p][b]);
        }
      }
      continue;
    }
    for (std::int64_t i = 0; i < row.channels; ++i, w += row.lanes) {
      decltype(all(T{0})) weight[kBlocks];
#pragma GCC unroll 2
      for (int b = 0; b < kBlocks; ++b) weight[b] = load(w + b * kLanes);
#pragma GCC unroll 8
      for (int p = 0; p < kPixels; ++p) {
        const auto element = all(x[p * row.pixel_step + i]);
#pragma GCC unroll 2
        for (int b = 0; b < kBlocks; ++b) sum[p][b] = multiply_add(element, weight[b], sum[p][b]);
      }
    }
  }
#pragma GCC unroll 8
  for (int p = 0; p < kPixels; ++p) {
#pragma GCC unroll 2
    for (int b = 0; b < kBlocks; ++b) store(row.out + (pixel + p) * row.out_step + c + b * kLanes, sum[p][b]);
  }
}

template <int kBlocks, typename T>
inline void ordered_lanes(const OrderedRow<T>& row, std::int64_t c) {
  constexpr int kMost = kAccumulators<T>;
  std::int64_t p = 0;
  for (; p + kMost <= row.pixels; p += kMost) ordered_tile<kMost, kBlocks>(row, p, c);
  with_rest<kMost>(row.pixels - p, [&](auto rest) { ordered_tile<decltype(rest)::value, kBlocks>(row, p, c); });
}

template <typename T>
void ordered_row(const OrderedRow<T>& row) {
  std::int64_t c = 0;
  for (; c + kLaneBlocks<T> * kLanes <= row.lanes; c += kLaneBlocks<T> * kLanes) ordered_lanes<kLaneBlocks<T>>(row, c);
  if constexpr (kLaneBlocks<T> != 1) {
    if (c < row.lanes) ordered_lanes<1>(row, c);
  }
}

template <int kChannels, int kBlocks, typename T>
inline void ordered_gradient_tile(const OrderedGradientRow<T>& row, std::int64_t i, std::int64_t c) {
  decltype(all(T{0})) sum[kChannels][kBlocks];
#pragma GCC unroll 8
  for (int j = 0; j < kChannels; ++j) {
#pragma GCC unroll 2
    for (int b = 0; b < kBlocks; ++b) sum[j][b] = load(row.accumulators + (i + j) * row.lanes + c + b * kLanes);
  }
  for (std::int64_t r = 0; r < row.rows; ++r) {
    const T* x = row.x + r * row.x_row + i;
    const T* dy = row.dy + r * row.dy_row + c;
    for (std::int64_t p = 0; p < row.pixels; ++p, x += row.x_step, dy += row.dy_step) {
      decltype(all(T{0})) gradient[kBlocks];
#pragma GCC unroll 2
      for (int b = 0; b < kBlocks; ++b) gradient[b] = load(dy + b * kLanes);
#pragma GCC unroll 8
      for (int j = 0; j < kChannels; ++j) {
#pragma GCC unroll 2
        for (int b = 0; b < kBlocks; ++b) {
          const auto element = row.depthwise ? load(x + c + b * kLanes) : all(x[j]);
          sum[j][b] = multiply_add(element, gradient[b], sum[j][b]);
        }
      }
    }
  }
#pragma GCC unroll 8
  for (int j = 0; j < kChannels; ++j) {
#pragma GCC unroll 2
    for (int b = 0; b < kBlocks; ++b) store(row.accumulators + (i + j) * row.lanes + c + b * kLanes, sum[j][b]);
  }
}

template <int kBlocks, typename T>
inline void ordered_gradient_lanes(const OrderedGradientRow<T>& row, std::int64_t c) {
  constexpr int kMost = kAccumulators<T>;
  std::int64_t i = 0;
  for (; i + kMost <= row.channels; i += kMost) ordered_gradient_tile<kMost, kBlocks>(row, i, c);
  with_rest<kMost>(row.channels - i,
                   [&](auto rest) { ordered_gradient_tile<decltype(rest)::value, kBlocks>(row, i, c); });
}

template <typename T>
void ordered_gradient(const OrderedGradientRow<T>& row) {
  std::int64_t c = 0;
  for (; c + kLaneBlocks<T> * kLanes <= row.lanes; c += kLaneBlocks<T> * kLanes) {
    ordered_gradient_lanes<kLaneBlocks<T>>(row, c);
  }
  if constexpr (kLaneBlocks<T> != 1) {
    if (c < row.lanes) ordered_gradient_lanes<1>(row, c);
  }
}

void rescale_sums(const RescaleSums& row) {
  for_each_block(row.channels, [&](std::int64_t c, auto count) {
    const Doubles a = load(row.a + c), b = load(row.b + c), offset = load(row.offset + c);
    for (std::int64_t p = 0; p < row.pixels; ++p) {
      const Doubles sum =
          row.lane_sums == nullptr ? all(row.position_sums[p]) : load(row.lane_sums + p * row.lanes + c);
      const Floats value = rescaled(a, load(row.sums + p * row.lanes + c), b, sum, offset);
      store_lanes(row.out + p * row.out_step + c, value, count);
    }
  });
}
