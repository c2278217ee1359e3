// SPDX-License-Identifier: Apache-2.0
#include "nn/data/resample.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace bitcycle {
namespace {

constexpr int kBits = 22;
constexpr std::int32_t kHalf = 1 << (kBits - 1);

std::uint8_t rounded(std::int32_t sum) { return static_cast<std::uint8_t>(std::clamp(sum >> kBits, 0, 255)); }

/// Neighbouring bytes, each the sum of `taps` bytes below one another: as many as a compiler makes vectors of.
constexpr std::int64_t kAtOnce = 32;
template <std::int64_t kBytes>
void column_bytes(const std::int32_t* w, std::int64_t taps, const std::uint8_t* from, std::int64_t row_bytes,
                  std::uint8_t* to) {
  std::int32_t sums[kBytes];
  for (std::int64_t x = 0; x < kBytes; ++x) sums[x] = kHalf;
  for (std::int64_t k = 0; k < taps; ++k, from += row_bytes) {
    if (w[k] == 0) continue;
    for (std::int64_t x = 0; x < kBytes; ++x) sums[x] += w[k] * from[x];
  }
  for (std::int64_t x = 0; x < kBytes; ++x) to[x] = rounded(sums[x]);
}

}  // namespace

ResampleAxis resample_axis(std::int64_t in, std::int64_t out, std::int64_t first, std::int64_t count) {
  ResampleAxis axis;
  axis.begin.resize(static_cast<std::size_t>(count));
  axis.identity = in == out;
  const double scale = static_cast<double>(in) / static_cast<double>(out);
  const double support = std::max(scale, 1.0);
  axis.taps = axis.identity ? 1 : static_cast<std::int64_t>(std::ceil(support)) * 2 + 1;
  axis.weights.assign(static_cast<std::size_t>(count * axis.taps), 0);
  axis.lowest = in;
  std::vector<double> weights(static_cast<std::size_t>(axis.taps));
  for (std::int64_t i = 0; i < count; ++i) {
    const double centre = (static_cast<double>(first + i) + 0.5) * scale;
    auto begin = first + i, end = begin + 1;
    if (!axis.identity) {
      begin = std::max<std::int64_t>(static_cast<std::int64_t>(centre - support + 0.5), 0);
      end = std::min<std::int64_t>(static_cast<std::int64_t>(centre + support + 0.5), in);
    }
    axis.begin[static_cast<std::size_t>(i)] = static_cast<std::int32_t>(begin);
    axis.lowest = std::min(axis.lowest, begin);
    axis.end = std::max(axis.end, end);
    if (axis.identity) continue;
    double sum = 0.0;
    const double inverse = 1.0 / support;
    for (std::int64_t k = 0; k < end - begin; ++k) {
      const double distance = std::abs((static_cast<double>(begin + k) - centre + 0.5) * inverse);
      weights[static_cast<std::size_t>(k)] = distance < 1.0 ? 1.0 - distance : 0.0;
      sum += weights[static_cast<std::size_t>(k)];
    }
    for (std::int64_t k = 0; k < end - begin; ++k) {
      double weight = weights[static_cast<std::size_t>(k)];
      if (sum != 0.0) weight = weight / sum;
      axis.weights[static_cast<std::size_t>(i * axis.taps + k)] =
          static_cast<std::int32_t>(0.5 + weight * static_cast<double>(1 << kBits));
    }
  }
  return axis;
}

void resample_row(const ResampleAxis& axis, const std::uint8_t* row, std::uint8_t* out) {
  const std::int64_t count = axis.count();
  if (axis.identity) {
    std::memcpy(out, row, static_cast<std::size_t>(3 * count));
    return;
  }
  const std::int64_t inputs = axis.end - axis.lowest;
  for (std::int64_t i = 0; i < count; ++i) {
    const std::int64_t begin = axis.begin[static_cast<std::size_t>(i)] - axis.lowest;
    const std::int64_t taps = std::min(axis.taps, inputs - begin);  // those behind have the weight 0
    const std::uint8_t* p = row + 3 * begin;
    const std::int32_t* w = axis.weights.data() + i * axis.taps;
    std::int32_t r = kHalf, g = kHalf, b = kHalf;
    for (std::int64_t k = 0; k < taps; ++k, p += 3) {
      r += w[k] * p[0];
      g += w[k] * p[1];
      b += w[k] * p[2];
    }
    out[3 * i] = rounded(r);
    out[3 * i + 1] = rounded(g);
    out[3 * i + 2] = rounded(b);
  }
}

void resample_columns(const ResampleAxis& axis, const std::uint8_t* rows, std::int64_t row_bytes, std::uint8_t* out) {
  const std::int64_t count = axis.count();
  if (axis.identity) {
    std::memcpy(out, rows, static_cast<std::size_t>(row_bytes * count));
    return;
  }
  const std::int64_t inputs = axis.end - axis.lowest;
  for (std::int64_t i = 0; i < count; ++i) {
    const std::int64_t begin = axis.begin[static_cast<std::size_t>(i)] - axis.lowest;
    const std::int64_t taps = std::min(axis.taps, inputs - begin);
    const std::int32_t* w = axis.weights.data() + i * axis.taps;
    const std::uint8_t* from = rows + begin * row_bytes;
    std::uint8_t* to = out + i * row_bytes;
    std::int64_t x = 0;
    for (; x + kAtOnce <= row_bytes; x += kAtOnce) column_bytes<kAtOnce>(w, taps, from + x, row_bytes, to + x);
    for (; x < row_bytes; ++x) column_bytes<1>(w, taps, from + x, row_bytes, to + x);
  }
}

}  // namespace bitcycle
