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

/// The order within a sum is kh, kw, channel.
template <int kPixels, typename T>
inline void ordered_tile(const OrderedRow<T>& row, std::int64_t pixel, std::int64_t c) {
  decltype(all(T{0})) sum[kPixels];
#pragma GCC unroll 8
  for (int p = 0; p < kPixels; ++p) sum[p] = all(T{0});
  for (std::int64_t t = 0; t < row.taps; ++t) {
    const T* x = row.x + pixel * row.pixel_step + row.offsets[t];
    const T* w = row.weights + row.weight_offsets[t] + c;
    if (row.depthwise) {
      const auto weight = load(w);
#pragma GCC unroll 8
      for (int p = 0; p < kPixels; ++p) sum[p] = multiply_add(load(x + p * row.pixel_step + c), weight, sum[p]);
      continue;
    }
    for (std::int64_t i = 0; i < row.channels; ++i) {
      const auto weight = load(w + i * row.lanes);
#pragma GCC unroll 8
      for (int p = 0; p < kPixels; ++p) sum[p] = multiply_add(all(x[p * row.pixel_step + i]), weight, sum[p]);
    }
  }
#pragma GCC unroll 8
  for (int p = 0; p < kPixels; ++p) store(row.out + (pixel + p) * row.lanes + c, sum[p]);
}

template <typename T>
void ordered_row(const OrderedRow<T>& row) {
  for (std::int64_t c = 0; c < row.lanes; c += kLanes) {
    std::int64_t p = 0;
    for (; p + kAccumulators<T> <= row.pixels; p += kAccumulators<T>) ordered_tile<kAccumulators<T>>(row, p, c);
    for (; p < row.pixels; ++p) ordered_tile<1>(row, p, c);
  }
}

template <int kChannels, typename T>
inline void ordered_gradient_tile(const OrderedGradientRow<T>& row, std::int64_t i, std::int64_t c) {
  decltype(all(T{0})) sum[kChannels];
#pragma GCC unroll 8
  for (int j = 0; j < kChannels; ++j) sum[j] = load(row.accumulators + (i + j) * row.lanes + c);
  for (std::int64_t p = 0; p < row.pixels; ++p) {
    const auto dy = load(row.dy + p * row.dy_step + c);
    const T* x = row.x + p * row.x_step + i;
#pragma GCC unroll 8
    for (int j = 0; j < kChannels; ++j) sum[j] = multiply_add(row.depthwise ? load(x + c) : all(x[j]), dy, sum[j]);
  }
#pragma GCC unroll 8
  for (int j = 0; j < kChannels; ++j) store(row.accumulators + (i + j) * row.lanes + c, sum[j]);
}

template <typename T>
void ordered_gradient(const OrderedGradientRow<T>& row) {
  for (std::int64_t c = 0; c < row.lanes; c += kLanes) {
    std::int64_t i = 0;
    for (; i + kAccumulators<T> <= row.channels; i += kAccumulators<T>)
      ordered_gradient_tile<kAccumulators<T>>(row, i, c);
    for (; i < row.channels; ++i) ordered_gradient_tile<1>(row, i, c);
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
