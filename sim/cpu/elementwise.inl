// SPDX-License-Identifier: Apache-2.0
// Rows of elementwise work, written once over 16-lane vectors (simd_*.inl) and compiled for each instruction set.
// Included inside an unnamed namespace. Formulas: sim/ops and docs/numerics.md; every function does the same IEEE
// operations in the same order.

/// Blocks of 16 channels: whole, or the last one's part.
struct Whole {};
struct Part {
  std::int64_t count;
};

/// visit(first channel, Whole or Part) for each block.
template <typename Visit>
inline void for_each_block(std::int64_t channels, Visit visit) {
  std::int64_t c = 0;
  for (; c + kLanes <= channels; c += kLanes) visit(c, Whole{});
  if (c < channels) visit(c, Part{channels - c});
}

inline Floats load_lanes(const float* p, Whole) { return load(p); }
inline Floats load_lanes(const float* p, Part part) { return load_some(p, part.count); }
/// Idle lanes repeat the block's first, so that they change no extreme.
inline Floats present_lanes(Floats x, Whole) { return x; }
inline Floats present_lanes(Floats x, Part part) {
  float lanes[kLanes];
  store(lanes, x);
  for (std::int64_t i = part.count; i < kLanes; ++i) lanes[i] = lanes[0];
  return load(lanes);
}
inline void store_lanes(float* p, Floats x, Whole) { store(p, x); }
inline void store_lanes(float* p, Floats x, Part part) { store_some(p, x, part.count); }

/// Key of the same order as the number, -0 one below +0, NaN at the ends.
inline Ints key_of(Floats x) {
  const Ints bits = bits_of(x);
  return exclusive_or(bits, both(sign_of(bits), all_ints(INT32_MAX)));
}

inline Floats apply_norm(Floats y, Floats mean, Floats a, Floats beta) { return fused(sub(y, mean), a, beta); }

// ---- Epilogues of products -----------------------------------------------------------------------------------------

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
    Longs s1 = load(row.s1 + c), s2 = load(row.s2 + c);
    Ints lo = load(row.lo + c), hi = load(row.hi + c);
    for (std::int64_t begin = 0; begin < row.pixels; begin += kFlush) {
      const std::int64_t end = begin + kFlush < row.pixels ? begin + kFlush : row.pixels;
      Ints some = all_ints(0);
      for (std::int64_t p = begin; p < end; ++p) {
        const Floats y = load_lanes(row.y + p * row.step + c, count);
        const Ints q = rounded(mul(y, scale));
        some = add(some, q);
        s2 = add(s2, squares(q));
        const Ints key = key_of(y);
        lo = smaller(lo, key);
        hi = larger(hi, key);
      }
      s1 = add(s1, to_longs(some));
    }
    store(row.s1 + c, s1);
    store(row.s2 + c, s2);
    store(row.lo + c, lo);
    store(row.hi + c, hi);
  });
}

// ---- Batch norm ----------------------------------------------------------------------------------------------------

/// z = [relu](norm(y) [+ shortcut]). Elements in the order of memory, as a processor fetches them ahead.
void norm_rows(const NormRows& row) {
  const Floats zero = all(0.0F);
  const NormVectors& norm = row.norm;
  const auto each = [&](auto shortcut) {
    for (std::int64_t e = 0; e < row.pixels * row.channels; e += row.channels) {
      for_each_block(row.channels, [&](std::int64_t c, auto count) {
        Floats z =
            apply_norm(load_lanes(row.y + e + c, count), load(norm.mean + c), load(norm.a + c), load(norm.beta + c));
        z = shortcut(z, e, c, count);
        store_lanes(row.z + e + c, row.relu ? larger(z, zero) : z, count);
      });
    }
  };
  if (row.shortcut == nullptr) {
    each([](const Floats& z, std::int64_t, std::int64_t, auto) { return z; });
  } else if (row.shortcut_norm == nullptr) {
    each([&](const Floats& z, std::int64_t e, std::int64_t c, auto count) {
      return add(z, load_lanes(row.shortcut + e + c, count));
    });
  } else {
    const NormVectors& other = *row.shortcut_norm;
    each([&](const Floats& z, std::int64_t e, std::int64_t c, auto count) {
      return add(z, apply_norm(load_lanes(row.shortcut + e + c, count), load(other.mean + c), load(other.a + c),
                               load(other.beta + c)));
    });
  }
}

/// dy = fma(a, u, fma(k, fl(y - mean), c)). Elements in the order of memory.
void gradient_rows(const GradientRows& row) {
  Ints lo = all_ints(INT32_MAX), hi = all_ints(INT32_MIN);
  for (std::int64_t e = 0; e < row.pixels * row.channels; e += row.channels) {
    for_each_block(row.channels, [&](std::int64_t c, auto count) {
      const Floats t = sub(load_lanes(row.y + e + c, count), load(row.mean + c));
      const Floats dy =
          fused(load(row.a + c), load_lanes(row.u + e + c, count), fused(load(row.k + c), t, load(row.c + c)));
      if (row.dy != nullptr) store_lanes(row.dy + e + c, dy, count);
      if (row.lo != nullptr) {
        const Ints key = key_of(present_lanes(dy, count));
        lo = smaller(lo, key);
        hi = larger(hi, key);
      }
    });
  }
  if (row.lo != nullptr && row.pixels > 0) {
    const std::int32_t least = smallest_of(lo), most = largest_of(hi);
    *row.lo = least < *row.lo ? least : *row.lo;
    *row.hi = most > *row.hi ? most : *row.hi;
  }
}

// ---- Sums of gradients ----------------------------------------------------------------------------------------------

template <int kNorms, typename Count>
inline void sum_gradients_block(const GradientSumRows& row, std::int64_t c, Count count, Ints& magnitude) {
  const bool by_norm = row.mask_y != nullptr;
  const Floats mask_mean = by_norm ? load(row.mask_norm.mean + c) : all(0.0F);
  const Floats mask_a = by_norm ? load(row.mask_norm.a + c) : all(0.0F);
  const Floats mask_beta = by_norm ? load(row.mask_norm.beta + c) : all(0.0F);
  constexpr int kStored = kNorms == 0 ? 1 : kNorms;
  Floats mean[kStored], scale_u[kStored], scale_ut[kStored];
  Longs s_u[kStored], s_ut[kStored];
  for (int i = 0; i < kNorms; ++i) {
    mean[i] = load(row.norm[i].mean + c);
    scale_u[i] = all(row.norm[i].scale_u);
    scale_ut[i] = load(row.norm[i].scale_ut + c);
    s_u[i] = load(row.norm[i].s_u + c);
    s_ut[i] = load(row.norm[i].s_ut + c);
  }
  // What the next call will read: memory is slow to answer where channels are far apart.
  const std::int64_t ahead = row.pixels * row.channels;
  for (std::int64_t e = c; e < ahead; e += row.channels) {
    if (by_norm) __builtin_prefetch(row.mask_y + ahead + e);
    if (row.second != nullptr) __builtin_prefetch(row.second + ahead + e);
    __builtin_prefetch(row.u + ahead + e, 1);
    for (int i = 0; i < kNorms; ++i) __builtin_prefetch(row.norm[i].y + ahead + e);
    Floats u = load_lanes(row.first + e, count);
    if (row.second != nullptr) u = add(u, load_lanes(row.second + e, count));
    if (by_norm) {
      u = where(positive(apply_norm(load_lanes(row.mask_y + e, count), mask_mean, mask_a, mask_beta)), u);
    } else if (row.mask_bits != nullptr) {
      const std::int64_t bit = row.mask_begin + e;
      std::uint32_t bits = 0;
      __builtin_memcpy(&bits, row.mask_bits + bit / 8, sizeof bits);
      u = where(mask_of_bits(bits >> (bit % 8)), u);
    }
    store_lanes(row.u + e, u, count);
    magnitude = larger(magnitude, both(bits_of(u), all_ints(INT32_MAX)));
    for (int i = 0; i < kNorms; ++i) {
      const Floats t = sub(load_lanes(row.norm[i].y + e, count), mean[i]);
      s_u[i] = add(s_u[i], rounded_long(mul(u, scale_u[i])));
      s_ut[i] = add(s_ut[i], rounded_long(mul(mul(u, t), scale_ut[i])));
    }
  }
  for (int i = 0; i < kNorms; ++i) {
    store(row.norm[i].s_u + c, s_u[i]);
    store(row.norm[i].s_ut + c, s_ut[i]);
  }
}

void sum_gradients(const GradientSumRows& row) {
  Ints magnitude = all_ints(*row.magnitude);
  for_each_block(row.channels, [&](std::int64_t c, auto count) {
    // Idle lanes of a last block: first, second and y read as 0 there, so that u is 0 and every sum stays.
    if (row.norms == 0) sum_gradients_block<0>(row, c, count, magnitude);
    if (row.norms == 1) sum_gradients_block<1>(row, c, count, magnitude);
    if (row.norms == 2) sum_gradients_block<2>(row, c, count, magnitude);
  });
  *row.magnitude = largest_of(magnitude);
}

// ---- Quantisers ----------------------------------------------------------------------------------------------------

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
      store_lanes(reinterpret_cast<std::int32_t*>(table.codes + e), codes, count);
    }
  });
}

void grid_codes(const GridRow& row) {
  const Doubles lo = all(row.lo), step = all(row.step), grid = all(row.grid);
  const auto convert = [&](std::int64_t i, Ints codes, auto count) {
    store_lanes(row.out + i, rounded(div(fused(step, to_doubles(codes), lo), grid)), count);
  };
  std::int64_t i = 0;
  for (; i + kLanes <= row.count; i += kLanes) {
    convert(i, load(reinterpret_cast<const std::int32_t*>(row.codes + i)), Whole{});
  }
  if (i == row.count) return;
  std::int32_t codes[kLanes] = {};
  for (std::int64_t j = i; j < row.count; ++j) codes[j - i] = static_cast<std::int32_t>(row.codes[j]);
  convert(i, load(codes), Part{row.count - i});
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

// ---- Flat rows -----------------------------------------------------------------------------------------------------

void range(const float* x, std::int64_t count, std::int32_t* lo, std::int32_t* hi) {
  if (count == 0) return;
  Ints least = all_ints(*lo), most = all_ints(*hi);
  std::int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    const Ints key = key_of(load(x + i));
    least = smaller(least, key);
    most = larger(most, key);
  }
  if (i < count) {
    float lanes[kLanes];
    for (std::int64_t j = 0; j < kLanes; ++j) lanes[j] = x[i + j < count ? i + j : i];
    const Ints key = key_of(load(lanes));
    least = smaller(least, key);
    most = larger(most, key);
  }
  *lo = smallest_of(least);
  *hi = largest_of(most);
}

void magnitude(const float* x, std::int64_t count, std::int32_t* largest) {
  Ints most = all_ints(*largest);
  std::int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) most = larger(most, both(bits_of(load(x + i)), all_ints(INT32_MAX)));
  if (i < count) most = larger(most, both(bits_of(load_some(x + i, count - i)), all_ints(INT32_MAX)));
  *largest = largest_of(most);
}

void positive_bits(const float* x, std::int64_t count, std::uint8_t* bits) {
  std::int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    const auto word = static_cast<std::uint16_t>(bits_of_mask(positive(load(x + i))));
    __builtin_memcpy(bits + i / 8, &word, sizeof word);
  }
  if (i < count) {
    const std::uint32_t word = bits_of_mask(positive(load_some(x + i, count - i)));
    bits[i / 8] = static_cast<std::uint8_t>(word);
    if (count - i > 8) bits[i / 8 + 1] = static_cast<std::uint8_t>(word >> 8);
  }
}

/// sums[i] += rint(fl(value(x[i]) * scale)).
template <typename Value>
inline void add_values_on_grid(const float* x, std::int64_t count, float scale, std::int64_t* sums,
                               const Value& value) {
  const Floats to_grid = all(scale);
  std::int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    store(sums + i, add(load(sums + i), rounded_long(mul(value(load(x + i)), to_grid))));
  }
  if (i == count) return;
  std::int64_t lanes[kLanes];
  store(lanes, rounded_long(mul(value(load_some(x + i, count - i)), to_grid)));
  // Modulo 2^64, as vectors add: what is not finite is the smallest integer on the grid.
  for (std::int64_t j = 0; i + j < count; ++j) {
    sums[i + j] =
        static_cast<std::int64_t>(static_cast<std::uint64_t>(sums[i + j]) + static_cast<std::uint64_t>(lanes[j]));
  }
}

void add_on_grid(const float* x, std::int64_t count, float scale, std::int64_t* sums) {
  add_values_on_grid(x, count, scale, sums, [](const Floats& v) { return v; });
}

void add_products_on_grid(const float* x, float factor, std::int64_t count, float scale, std::int64_t* sums) {
  const Floats by = all(factor);
  add_values_on_grid(x, count, scale, sums, [&](const Floats& v) { return mul(v, by); });
}

/// exp_f64 of sim/number/elementary.h, a lane a value, for arguments from -104, whose result rounds to 0 in binary32,
/// to 0: there 2^k is a normal number, so that ldexp is an exact product.
void exponentials(const float* z, float m, std::int64_t count, float* e, float (*plain)(float)) {
  for (std::int64_t i = 0; i < count; i += kLanes) {
    const std::int64_t lanes = count - i < kLanes ? count - i : kLanes;
    float x32[kLanes];
    int usual = 1;
    for (std::int64_t j = 0; j < kLanes; ++j) {
      x32[j] = z[i + (j < lanes ? j : 0)] - m;
      usual &= x32[j] <= 0.0F ? 1 : 0;
    }
    if (usual == 0) {
      for (std::int64_t j = 0; j < lanes; ++j) e[i + j] = plain(x32[j]);
      continue;
    }
    double x[kLanes];
    for (std::int64_t j = 0; j < kLanes; ++j) x[j] = static_cast<double>(x32[j] < -104.0F ? -104.0F : x32[j]);
    const Doubles at = load(x);
    double product[kLanes], k[kLanes];
    for (std::int64_t j = 0; j < kLanes; ++j) product[j] = x[j] * 0x1.71547652b82fep+0;
    const Ints whole = rounded(load(product));
    const Doubles wholes = to_doubles(whole);
    store(k, wholes);
    double low[kLanes], minus_k[kLanes];
    for (std::int64_t j = 0; j < kLanes; ++j) {
      low[j] = k[j] * 0x1.a39ef35793c76p-33;
      minus_k[j] = -k[j];
    }
    double high[kLanes], r[kLanes], tail[kLanes], square[kLanes];
    store(high, fused(load(minus_k), all(0x1.62e42fee00000p-1), at));
    for (std::int64_t j = 0; j < kLanes; ++j) {
      r[j] = high[j] - low[j];
      tail[j] = (high[j] - r[j]) - low[j];
      square[j] = r[j] * r[j];
    }
    const Doubles rest_of = load(r), tails = load(tail);
    Doubles p = all(0x1.93974a8c07c9dp-37);
    p = fused(p, rest_of, all(0x1.6124613a86d09p-33));
    p = fused(p, rest_of, all(0x1.1eed8eff8d898p-29));
    p = fused(p, rest_of, all(0x1.ae64567f544e4p-26));
    p = fused(p, rest_of, all(0x1.27e4fb7789f5cp-22));
    p = fused(p, rest_of, all(0x1.71de3a556c734p-19));
    p = fused(p, rest_of, all(0x1.a01a01a01a01ap-16));
    p = fused(p, rest_of, all(0x1.a01a01a01a01ap-13));
    p = fused(p, rest_of, all(0x1.6c16c16c16c17p-10));
    p = fused(p, rest_of, all(0x1.1111111111111p-7));
    p = fused(p, rest_of, all(0x1.5555555555555p-5));
    p = fused(p, rest_of, all(0x1.5555555555555p-3));
    p = fused(p, rest_of, all(0.5));
    double rest[kLanes];
    store(rest, fused(load(square), p, fused(tails, rest_of, tails)));
    float values[kLanes];
    for (std::int64_t j = 0; j < kLanes; ++j) {
      const auto bits = static_cast<std::uint64_t>(static_cast<std::int64_t>(k[j]) + 1023) << 52;
      double power = 0.0;
      __builtin_memcpy(&power, &bits, sizeof power);
      values[j] = static_cast<float>((1.0 + (r[j] + rest[j])) * power);
    }
    __builtin_memcpy(e + i, values, static_cast<std::size_t>(lanes) * sizeof(float));
  }
}

void softmax_gradients(float* e, std::int64_t count, float sum, float inverse_n) {
  for (std::int64_t i = 0; i < count; ++i) e[i] = e[i] / sum * inverse_n;
}

void sgd(const float* g, float* m, float* w, std::int64_t count, float lr, float mu, float wd) {
  const auto update = [&](std::int64_t i, auto lanes) {
    const Floats weight = load_lanes(w + i, lanes);
    const Floats d = add(load_lanes(g + i, lanes), mul(all(wd), weight));
    const Floats momentum = add(mul(all(mu), load_lanes(m + i, lanes)), d);
    store_lanes(m + i, momentum, lanes);
    store_lanes(w + i, sub(weight, mul(all(lr), momentum)), lanes);
  };
  for_each_block(count, update);
}

bool non_finite(const float* x, std::int64_t count) {
  std::int32_t largest = 0;
  magnitude(x, count, &largest);
  return largest >= 0x7F800000;
}

// ---- Sums in the written order --------------------------------------------------------------------------------------

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
