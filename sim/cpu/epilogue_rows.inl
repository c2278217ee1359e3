// SPDX-License-Identifier: Apache-2.0
// Epilogues of products: sums to values, and their statistics. Part of elementwise.inl.

void rescale_narrow(const RescaleRow& row) {
  for_each_block(row.channels, [&](std::int64_t c, auto count) {
    const Doubles a = load(row.a + c), b = load(row.b + c);
    for (std::int64_t p = 0; p < row.pixels; ++p) {
      const std::int64_t at = row.columns[p] + c;
      const Ints acc = add(load(row.sums + p * row.lanes + c), load(row.correction32 + at));
      const Doubles sum = all(static_cast<double>(row.position_sums[p]));
      const Floats value = rescaled(a, to_doubles(acc), b, sum, load(row.offset + at));
      store_lanes(row.out + p * row.out_step + c, value, count);
    }
  });
}

/// All integers stay below 2^53, so that every step before the last two is exact.
void rescale_limbs(const RescaleRow& row) {
  const std::int64_t pitch = row.w_limbs * row.lanes;
  for_each_block(row.channels, [&](std::int64_t c, auto count) {
    const Doubles a = load(row.a + c), b = load(row.b + c);
    const Doubles minus_offset = all(-row.weight_offset);
    for (std::int64_t p = 0; p < row.pixels; ++p) {
      const std::int64_t at = row.columns[p] + c;
      const Doubles sum = all(static_cast<double>(row.position_sums[p]));
      const Doubles correction = load(row.correction + at);
      Doubles acc = fused_integers(minus_offset, sum, correction);
      if (row.high_sums != nullptr) acc = fused_integers(all(256.0), correction, acc);
      double weight = 1.0;
      for (std::int64_t j = 0; j < row.w_limbs; ++j, weight *= 256.0) {
        const std::int64_t from = p * pitch + j * row.lanes + c;
        acc = fused_integers(all(weight), to_doubles(load(row.sums + from)), acc);
        if (row.high_sums != nullptr) {
          acc = fused_integers(all(256.0 * weight), to_doubles(load(row.high_sums + from)), acc);
        }
      }
      store_lanes(row.out + p * row.out_step + c, rescaled(a, acc, b, sum, load(row.offset + at)), count);
    }
  });
}

void statistics(const StatisticsRow& row) {
  constexpr std::int64_t kFlush = 256;  // |q| <= 2^22: this many fit an int32
  for_each_block(row.channels, [&](std::int64_t c, auto count) {
    const Floats scale = load(row.scale + c);
    Longs s1 = load(row.s1 + c), s2 = no_longs();
    Ints lo = load(row.lo + c), hi = load(row.hi + c);
    for (std::int64_t begin = 0; begin < row.pixels; begin += kFlush) {
      const std::int64_t end = begin + kFlush < row.pixels ? begin + kFlush : row.pixels;
      Ints some = all_ints(0);
      for (std::int64_t p = begin; p < end; ++p) {
        const Floats y = load_lanes(row.y + p * row.step + c, count);
        const Ints q = rounded(mul(y, scale));
        some = add(some, q);
        s2 = add_squares(s2, q);
        const Ints key = key_of(y);
        lo = smaller(lo, key);
        hi = larger(hi, key);
      }
      s1 = add(s1, to_longs(some));
    }
    store(row.s1 + c, s1);
    store(row.s2 + c, add(load(row.s2 + c), squares_in_order(s2)));
    store(row.lo + c, lo);
    store(row.hi + c, hi);
  });
}

/// Every sum is an integer below 2^53, so that binary64 holds it whatever the order.
void gradient_values(const GradientValues& values) {
  const Doubles a = all(values.a), b = all(values.b), g = load(values.g_sums);
  const Doubles shifted = fused_integers(all(128.0), g, all(0.0));
  for (std::int64_t first = 0; first < values.channels; first += kLanes) {
    const std::int64_t count = values.channels - first < kLanes ? values.channels - first : kLanes;
    double sum_x[kLanes] = {}, rest[kLanes];
    for (std::int64_t j = 0; j < count; ++j) {
      sum_x[j] = values.x_offset;
      for (std::int64_t set = 0; set < values.sets; ++set) {
        sum_x[j] += static_cast<double>(values.x_sums[set][values.x_at + (first + j) * values.x_step]);
      }
    }
    store(rest, fused(all(values.c), load(sum_x), all(values.rest)));
    float made[kLanes][kLanes];
    for (std::int64_t j = 0; j < count; ++j) {
      Doubles acc = shifted;
      for (std::int64_t set = 0; set < values.sets; ++set) {
        acc = add(acc, to_doubles(load(values.sums[set] + values.sums_at + (first + j) * kLanes)));
      }
      store(made[j], rescaled(a, acc, b, g, all(rest[j])));
    }
    for (std::int64_t lane = 0; lane < values.lanes; ++lane) {
      float* out = values.out + lane * values.out_step + first;
      for (std::int64_t j = 0; j < count; ++j) out[j] = made[j][lane];
    }
  }
}
