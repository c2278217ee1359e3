// SPDX-License-Identifier: Apache-2.0
// Products of codes in binary32, in runs so short that no sum rounds, added up as 32-bit integers. Included inside an
// unnamed namespace of kernels_portable.cpp.

/// Sums of 16 lanes for kCount elements of the other operand: exact runs in binary32, then integers.
template <int kCount>
struct Sums {
  Four run[kCount][kFours];
  std::int64_t terms = 0;
  std::int32_t* out[kCount];

  void begin() {
    for (auto& lanes : run) {
      for (Four& four : lanes) four = everywhere(0.0F);
    }
    terms = 0;
  }
  void end() {
    for (int i = 0; i < kCount; ++i) {
      for (int j = 0; j < kFours; ++j) {
        FourInts sum;
        __builtin_memcpy(&sum, out[i] + 4 * j, sizeof sum);
        sum += __builtin_convertvector(run[i][j], FourInts);
        __builtin_memcpy(out[i] + 4 * j, &sum, sizeof sum);
      }
    }
    begin();
  }
  /// `count` terms: lanes at `lanes`, kBlockBytes or `lanes_step` apart; elements at `x`, neighbours 4 bytes apart.
  void add(const char* lanes, std::int64_t lanes_step, const char* x, std::int64_t x_step, std::int64_t count) {
    while (count > 0) {
      const std::int64_t now = count < kExactTerms - terms ? count : kExactTerms - terms;
      for (std::int64_t t = 0; t < now; ++t, lanes += lanes_step, x += x_step) {
        Four w[kFours];
#pragma GCC unroll 4
        for (int j = 0; j < kFours; ++j) w[j] = load_four(lanes + 16 * j);
#pragma GCC unroll 4
        for (int i = 0; i < kCount; ++i) {
          const Four element = everywhere(float_at(x + 4 * i));
#pragma GCC unroll 4
          for (int j = 0; j < kFours; ++j) run[i][j] += w[j] * element;
        }
      }
      terms += now;
      count -= now;
      if (terms == kExactTerms) end();
    }
  }
};

template <int kPixels>
inline void product_tile(const RowProduct& row, std::int64_t b, std::int64_t p) {
  Sums<kPixels> sums;
  for (int i = 0; i < kPixels; ++i) {
    sums.out[i] = row.sums + ((p + i) * row.blocks + b) * kLanes;
    for (std::int64_t lane = 0; lane < kLanes; ++lane) sums.out[i][lane] = 0;
  }
  sums.begin();
  const char* w = row.weights + b * row.block_stride;
  for (std::int64_t t = 0; t < row.taps; ++t, w += row.groups * kBlockBytes) {
    sums.add(w, kBlockBytes, row.x + row.offsets[t] + 4 * p, row.plane, row.groups);
  }
  sums.end();
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
      Sums<kChannels> sums;
      for (int i = 0; i < kChannels; ++i) sums.out[i] = tap.sums + (b * tap.x_lanes + c + i) * kLanes;
      sums.begin();
      for (std::int64_t n = 0; n < tap.images; ++n) {
        for (std::int64_t r = 0; r < tap.rows; ++r) {
          sums.add(tap.g + n * tap.g_image + r * tap.g_row + b * kBlockBytes, 4 * tap.g_lanes,
                   tap.x + n * tap.x_image + r * tap.x_row + 4 * c, 4 * tap.x_lanes, tap.steps);
        }
      }
      sums.end();
    }
  }
}
