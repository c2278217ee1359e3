// SPDX-License-Identifier: Apache-2.0
// Binary32 products over packed panels (float_kernels.h). Part of elementwise.inl, after ordered_rows.inl.

/// visit(Whole or Part) for the last block of lanes.
template <typename Visit>
inline void with_lanes(std::int64_t count, const Visit& visit) {
  if (count == kLanes) {
    visit(Whole{});
  } else {
    visit(Part{count});
  }
}

/// kBlocks blocks of lanes of a panel that has kWidth.
template <int kPixels, int kBlocks, int kWidth, typename Count>
inline void float_product_tile(const FloatProductPixels& row, const float* panel, std::int64_t pixel, std::int64_t c,
                               Count count) {
  const float* origin[kPixels];
  Floats sum[kPixels][kBlocks];
#pragma GCC unroll 8
  for (int p = 0; p < kPixels; ++p) {
    origin[p] = row.x + row.from[pixel + p];
#pragma GCC unroll 2
    for (int b = 0; b < kBlocks; ++b) sum[p][b] = all(0.0F);
  }
  for (std::int64_t t = 0; t < row.taps; ++t) {
    const float* x[kPixels];
#pragma GCC unroll 8
    for (int p = 0; p < kPixels; ++p) x[p] = origin[p] + row.offsets[t];
    const float* w = panel + row.weight_rows[t] * kWidth * kLanes;
    for (std::int64_t i = 0; i < row.channels; ++i, w += kWidth * kLanes) {
      Floats weight[kBlocks];
#pragma GCC unroll 2
      for (int b = 0; b < kBlocks; ++b) weight[b] = load(w + b * kLanes);
#pragma GCC unroll 8
      for (int p = 0; p < kPixels; ++p) {
        const Floats element = all(x[p][i]);
#pragma GCC unroll 2
        for (int b = 0; b < kBlocks; ++b) sum[p][b] = fused(element, weight[b], sum[p][b]);
      }
    }
  }
#pragma GCC unroll 8
  for (int p = 0; p < kPixels; ++p) {
    float* out = row.out + row.to[pixel + p] + c;
#pragma GCC unroll 2
    for (int b = 0; b + 1 < kBlocks; ++b) store(out + b * kLanes, sum[p][b]);
    store_lanes(out + (kBlocks - 1) * kLanes, sum[p][kBlocks - 1], count);
  }
}

/// All pixels of kBlocks blocks of lanes, in tiles as alike as possible: a small last one would wait for its sums.
template <int kBlocks, int kWidth, typename Count>
inline void float_product_panel(const FloatProductPixels& row, const float* panel, std::int64_t c, Count count) {
  constexpr int kMost = kFloatAccumulators;
  std::int64_t tiles = (row.pixels + kMost - 1) / kMost;
  for (std::int64_t p = 0; p < row.pixels; --tiles) {
    const std::int64_t some = (row.pixels - p + tiles - 1) / tiles;
    with_rest<kMost + 1>(some, [&](auto pixels) {
      float_product_tile<decltype(pixels)::value, kBlocks, kWidth>(row, panel, p, c, count);
    });
    p += some;
  }
}

void float_product(const FloatProductPixels& row) {
  for (std::int64_t c = 0; c < row.lanes; c += kPanelLanes) {
    const float* panel = row.weights + c * row.rows;
    const std::int64_t here = row.lanes - c, last = here < kPanelLanes ? here - kLanes : kLanes;
    if (here <= kLanes) {
      with_lanes(here, [&](auto count) { float_product_panel<1, 1>(row, panel, c, count); });
    } else if constexpr (kFloatLaneBlocks == 2) {
      with_lanes(last, [&](auto count) { float_product_panel<2, 2>(row, panel, c, count); });
    } else {
      float_product_panel<1, 2>(row, panel, c, Whole{});
      with_lanes(last, [&](auto count) { float_product_panel<1, 2>(row, panel + kLanes, c + kLanes, count); });
    }
  }
}

template <int kChannels, int kBlocks>
inline void float_gradient_tile(const FloatGradientBlock& block, const float* x, const float* g, std::int64_t i,
                                std::int64_t c) {
  Floats sum[kChannels][kBlocks];
#pragma GCC unroll 8
  for (int j = 0; j < kChannels; ++j) {
#pragma GCC unroll 2
    for (int b = 0; b < kBlocks; ++b) sum[j][b] = all(0.0F);
  }
  for (std::int64_t p = 0; p < block.rows * block.pixels; ++p, x += kChannels, g += kBlocks * kLanes) {
    Floats gradient[kBlocks];
#pragma GCC unroll 2
    for (int b = 0; b < kBlocks; ++b) gradient[b] = load(g + b * kLanes);
#pragma GCC unroll 8
    for (int j = 0; j < kChannels; ++j) {
      const Floats element = all(x[j]);
#pragma GCC unroll 2
      for (int b = 0; b < kBlocks; ++b) sum[j][b] = fused(element, gradient[b], sum[j][b]);
    }
  }
  const Floats scale = all(block.scale);
  const std::int64_t lanes = (block.lanes + kLanes - 1) / kLanes * kLanes;
#pragma GCC unroll 8
  for (int j = 0; j < kChannels; ++j) {
#pragma GCC unroll 2
    for (int b = 0; b < kBlocks; ++b) {
      std::int64_t* sums = block.sums + (i + j) * lanes + c + b * kLanes;
      store(sums, add(load(sums), rounded_long(mul(sum[j][b], scale))));
    }
  }
}

/// Positions row by row, `width` neighbouring elements each: from (rows, pixels, step) without gaps.
template <typename Copy>
inline void each_position(std::int64_t rows, std::int64_t pixels, const float* from, std::int64_t row_step,
                          std::int64_t step, const Copy& copy) {
  for (std::int64_t r = 0; r < rows; ++r) {
    const float* at = from + r * row_step;
    for (std::int64_t p = 0; p < pixels; ++p, at += step) copy(at, r * pixels + p);
  }
}

void float_gradient(const FloatGradientBlock& block) {
  constexpr int kMost = kFloatAccumulators, kBlocks = kFloatLaneBlocks;
  const std::int64_t positions = block.rows * block.pixels;
  // x: (tiles of channels, positions, kMost or what is left); g: (tiles of lanes, positions, kBlocks * 16 or 16).
  float* const x = block.packed;
  float* const g = x + positions * ((block.channels + kPanelLanes - 1) / kLanes * kLanes);
  each_position(block.rows, block.pixels, block.x, block.x_row, block.x_step, [&](const float* at, std::int64_t p) {
    std::int64_t i = 0;
    for (; i + kMost <= block.channels; i += kMost) {
      __builtin_memcpy(x + i * positions + p * kMost, at + i, kMost * sizeof(float));
    }
    const std::int64_t rest = block.channels - i;
    for (std::int64_t j = 0; j < rest; ++j) x[i * positions + p * rest + j] = at[i + j];
  });
  const std::int64_t lanes = (block.lanes + kLanes - 1) / kLanes * kLanes;
  each_position(block.rows, block.pixels, block.g, block.g_row, block.g_step, [&](const float* at, std::int64_t p) {
    for_each_block(block.lanes, [&](std::int64_t c, auto count) {
      const std::int64_t first = c / (kBlocks * kLanes) * (kBlocks * kLanes);
      const std::int64_t width = lanes - first < kBlocks * kLanes ? lanes - first : kBlocks * kLanes;
      store(g + first * positions + p * width + (c - first), load_lanes(at + c, count));
    });
  });
  const auto panel = [&](std::int64_t c, auto blocks) {
    constexpr int kWide = decltype(blocks)::value;
    std::int64_t i = 0;
    for (; i + kMost <= block.channels; i += kMost) {
      float_gradient_tile<kMost, kWide>(block, x + i * positions, g + c * positions, i, c);
    }
    with_rest<kMost>(block.channels - i, [&](auto rest) {
      float_gradient_tile<decltype(rest)::value, kWide>(block, x + i * positions, g + c * positions, i, c);
    });
  };
  std::int64_t c = 0;
  for (; c + kBlocks * kLanes <= lanes; c += kBlocks * kLanes) panel(c, Number<kBlocks>{});
  if (c < lanes) panel(c, Number<1>{});
}
