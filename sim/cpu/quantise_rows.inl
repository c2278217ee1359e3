// SPDX-License-Identifier: Apache-2.0
// Quantisers: codes, ranges of columns, grids, and the noise of stochastic rounding. Part of elementwise.inl.

inline Ints codes_of(Floats x, Floats noise, Floats lo, Floats step, Floats max_code) {
  const Floats v = add(div(sub(x, lo), step), noise);
  return rounded(smaller(larger(v, all(0.0F)), max_code));
}

void quantise(const QuantiseRow& row) {
  const Floats lo = all(row.lo), step = all(row.step), max_code = all(row.max_code), zero = all(0.0F);
  std::int64_t i = 0;
  for (; i + kLanes <= row.count; i += kLanes) {
    const Ints codes = codes_of(load(row.x + i), row.noise == nullptr ? zero : load(row.noise + i), lo, step, max_code);
    if (row.codes8 != nullptr) {
      store_bytes(row.codes8 + i, codes);
    } else if (row.codes16 != nullptr) {
      store_words(row.codes16 + i, codes);
    } else {
      store(reinterpret_cast<std::int32_t*>(row.codes32 + i), codes);
    }
  }
  if (i == row.count) return;
  const std::int64_t rest = row.count - i;
  std::int32_t codes[kLanes];
  store(codes, codes_of(load_some(row.x + i, rest), row.noise == nullptr ? zero : load_some(row.noise + i, rest), lo,
                        step, max_code));
  for (std::int64_t j = 0; j < rest; ++j) {
    if (row.codes8 != nullptr) {
      row.codes8[i + j] = static_cast<std::uint8_t>(codes[j]);
    } else if (row.codes16 != nullptr) {
      row.codes16[i + j] = static_cast<std::uint16_t>(codes[j]);
    } else {
      row.codes32[i + j] = static_cast<std::uint32_t>(codes[j]);
    }
  }
}

inline void store_lanes(std::int32_t* p, Ints x, Whole) { store(p, x); }
inline void store_lanes(std::int32_t* p, Ints x, Part part) {
  std::int32_t lanes[kLanes];
  store(lanes, x);
  for (std::int64_t i = 0; i < part.count; ++i) p[i] = lanes[i];
}

inline void store_byte_lanes(std::uint8_t* p, Ints x, Whole) { store_bytes(p, x); }
inline void store_byte_lanes(std::uint8_t* p, Ints x, Part part) {
  std::int32_t lanes[kLanes];
  store(lanes, x);
  for (std::int64_t i = 0; i < part.count; ++i) p[i] = static_cast<std::uint8_t>(lanes[i]);
}

void column_range(const ColumnRange& table) {
  for_each_block(table.channels, [&](std::int64_t c, auto count) {
    Ints lo = load(table.lo + c), hi = load(table.hi + c);
    for (std::int64_t r = 0; r < table.rows; ++r) {
      const Ints key = key_of(load_lanes(table.x + r * table.channels + c, count));
      lo = smaller(lo, key);
      hi = larger(hi, key);
    }
    store(table.lo + c, lo);
    store(table.hi + c, hi);
  });
}

void quantise_columns(const QuantiseColumns& table) {
  for_each_block(table.channels, [&](std::int64_t c, auto count) {
    const Floats lo = load(table.lo + c), step = load(table.step + c), max_code = all(table.max_code);
    for (std::int64_t r = 0; r < table.rows; ++r) {
      const std::int64_t e = r * table.channels + c;
      const Ints codes = codes_of(load_lanes(table.x + e, count), all(0.0F), lo, step, max_code);
      if (table.codes8 != nullptr) {
        store_byte_lanes(table.codes8 + e, codes, count);
      } else {
        store_lanes(reinterpret_cast<std::int32_t*>(table.codes32 + e), codes, count);
      }
    }
  });
}

void grid_codes(const GridRow& row) {
  const Doubles lo = all(row.lo), step = all(row.step), grid = all(row.grid);
  const auto convert = [&](std::int64_t i, Ints codes, auto count) {
    store_lanes(row.out + i, rounded(div(fused(step, to_doubles(codes), lo), grid)), count);
  };
  const auto codes_at = [&](std::int64_t i, std::int64_t count) {
    std::int32_t codes[kLanes] = {};
    if (row.codes8 != nullptr) {
      for (std::int64_t j = 0; j < count; ++j) codes[j] = row.codes8[i + j];
    } else {
      for (std::int64_t j = 0; j < count; ++j) codes[j] = static_cast<std::int32_t>(row.codes32[i + j]);
    }
    return load(codes);
  };
  std::int64_t i = 0;
  for (; i + kLanes <= row.count; i += kLanes) convert(i, codes_at(i, kLanes), Whole{});
  if (i < row.count) convert(i, codes_at(i, row.count - i), Part{row.count - i});
}

/// Ten rounds of Philox4x32 over blocks first..first + 15: noise of 64 elements. keys: those of each round.
inline void noise_of_blocks(const NoiseRow& row, const std::uint64_t (&keys)[20], std::uint64_t first,
                            Floats (&noise)[4]) {
  const Longs block = add(all_longs(first), load(kBlockOfLane));
  Longs c[4] = {block, high_words(block), all_longs(row.step), all_longs(row.purpose_and_tensor)};
  const Longs m0 = all_longs(0xD2511F53U), m1 = all_longs(0xCD9E8D57U);
#pragma GCC unroll 10
  for (int round = 0; round < 10; ++round) {
    const Longs p0 = multiply_words(c[0], m0), p1 = multiply_words(c[2], m1);
    c[0] = exclusive_or(high_words(p1), c[1], all_longs(keys[2 * round]));
    c[2] = exclusive_or(high_words(p0), c[3], all_longs(keys[2 * round + 1]));
    c[1] = p1;
    c[3] = p0;
  }
  Ints words[4];
  words_of_blocks(c, words);
  const Floats scale = all(0x1p-24F), half = all(-0.5F);
  for (int j = 0; j < 4; ++j) noise[j] = add(mul(to_floats(shift_right<8>(words[j])), scale), half);  // exact
}

void noise(const NoiseRow& row) {
  constexpr std::int64_t kBatch = 4 * kLanes;
  std::uint64_t keys[20];
  std::uint32_t k0 = static_cast<std::uint32_t>(row.seed), k1 = static_cast<std::uint32_t>(row.seed >> 32);
  for (int round = 0; round < 10; ++round, k0 += 0x9E3779B9U, k1 += 0xBB67AE85U) {
    keys[2 * round] = k0;
    keys[2 * round + 1] = k1;
  }
  std::uint64_t block = row.begin / 4;
  for (std::int64_t i = -static_cast<std::int64_t>(row.begin % 4); i < row.count; i += kBatch, block += kLanes) {
    Floats batch[4];
    noise_of_blocks(row, keys, block, batch);
    if (i >= 0 && i + kBatch <= row.count) {
      for (int j = 0; j < 4; ++j) store(row.noise + i + j * kLanes, batch[j]);
    } else {
      float lanes[kBatch];
      for (int j = 0; j < 4; ++j) store(lanes + j * kLanes, batch[j]);
      for (std::int64_t j = i < 0 ? -i : 0; j < kBatch && i + j < row.count; ++j) row.noise[i + j] = lanes[j];
    }
  }
}
