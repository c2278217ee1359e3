// SPDX-License-Identifier: Apache-2.0
// Products of pairs of 16-bit words by pmaddwd, which is exact, and 32-bit sums. Included inside an unnamed namespace
// of kernels_portable.cpp.

inline __m128i pair_everywhere(const char* p) {
  std::int32_t pair = 0;
  __builtin_memcpy(&pair, p, sizeof pair);
  return _mm_shuffle_epi32(_mm_cvtsi32_si128(pair), 0);
}

/// 16 lanes against kCount neighbouring elements, which is as much as the registers hold.
template <int kCount>
struct Sums {
  __m128i acc[kCount][4];

  void add(const char* lanes, const char* x) {
    __m128i w[4];
#pragma GCC unroll 4
    for (int j = 0; j < 4; ++j) w[j] = load128(lanes + 16 * j);
#pragma GCC unroll 4
    for (int i = 0; i < kCount; ++i) {
      const __m128i pair = pair_everywhere(x + 4 * i);
#pragma GCC unroll 4
      for (int j = 0; j < 4; ++j) acc[i][j] = _mm_add_epi32(acc[i][j], _mm_madd_epi16(w[j], pair));
    }
  }
};

template <int kPixels>
inline void product_tile(const RowProduct& row, std::int64_t b, std::int64_t p) {
  Sums<kPixels> sums;
#pragma GCC unroll 4
  for (int i = 0; i < kPixels; ++i) {
#pragma GCC unroll 4
    for (int j = 0; j < 4; ++j) sums.acc[i][j] = _mm_setzero_si128();
  }
  const char* w = row.weights + b * row.block_stride;
  for (std::int64_t t = 0; t < row.taps; ++t) {
    const char* x = row.x + row.offsets[t] + 4 * p;
    for (std::int64_t g = 0; g < row.groups; ++g, x += row.plane, w += kBlockBytes) sums.add(w, x);
  }
#pragma GCC unroll 4
  for (int i = 0; i < kPixels; ++i) {
#pragma GCC unroll 4
    for (int j = 0; j < 4; ++j) {
      store128(row.sums + ((p + i) * row.blocks + b) * kLanes + 4 * j, sums.acc[i][j]);
    }
  }
}

void row_product(const RowProduct& row) {
  for (std::int64_t b = 0; b < row.blocks; ++b) {
    std::int64_t p = 0;
    for (; p + 2 <= row.pixels; p += 2) product_tile<2>(row, b, p);
    for (; p < row.pixels; ++p) product_tile<1>(row, b, p);
  }
}

void tap_gradient(const TapGradient& tap) {
  constexpr int kChannels = 2;  // x_lanes is a multiple of 4
  for (std::int64_t b = 0; b < tap.g_lanes / kLanes; ++b) {
    for (std::int64_t c = 0; c < tap.x_lanes; c += kChannels) {
      std::int32_t* out = tap.sums + (b * tap.x_lanes + c) * kLanes;
      Sums<kChannels> sums;
#pragma GCC unroll 8
      for (int i = 0; i < 4 * kChannels; ++i) sums.acc[i / 4][i % 4] = load128(out + 4 * i);
      for (std::int64_t n = 0; n < tap.images; ++n) {
        for (std::int64_t r = 0; r < tap.rows; ++r) {
          const char* x = tap.x + n * tap.x_image + r * tap.x_row + 4 * c;
          const char* g = tap.g + n * tap.g_image + r * tap.g_row + b * kBlockBytes;
          for (std::int64_t s = 0; s < tap.steps; ++s, x += 4 * tap.x_lanes, g += 4 * tap.g_lanes) sums.add(g, x);
        }
      }
#pragma GCC unroll 8
      for (int i = 0; i < 4 * kChannels; ++i) store128(out + 4 * i, sums.acc[i / 4][i % 4]);
    }
  }
}
