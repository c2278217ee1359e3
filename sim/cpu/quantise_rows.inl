// SPDX-License-Identifier: Apache-2.0
// Quantisers: codes, ranges of columns, and grids. Part of elementwise.inl.

/// Codes up to 16 bits of values on one scale: rint(clamp(fl(fl(fl(x - lo) / step) + noise), 0, max_code)).
/// integers(): the same, where they are clamped afterwards, as signed numbers of 32 bits.
struct DividingQuantiser {
  Floats lo, step, max_code;
  Ints clamped(Floats v) const { return rounded(smaller(larger(v, all(0.0F)), max_code)); }
  Ints codes(Floats x) const { return clamped(div(sub(x, lo), step)); }
  Ints codes(Floats x, Floats noise) const { return clamped(add(div(sub(x, lo), step), noise)); }
  Ints integers(Floats x) const { return codes(x); }
  Ints integers(Floats x, Floats noise) const { return codes(x, noise); }
};

/// The same codes without a division, which takes a vector unit as long as ten other instructions. The quotient is
/// rounded correctly (Markstein): `inverse` is fl(1 / step); a * (inverse + rest), off by less than 2^-46 of itself, is
/// rounded to the quotient or a neighbour of it; the remainder is exact, and one more step rounds it right. Values
/// above 2^20 steps count as such, and non-finite ones get the codes that the division gives them. Quotients below
/// 2^-26, whose remainders may underflow, have code 0 whatever the noise, which is at most 1/2.
struct MultiplyingQuantiser {
  Floats lo, most, inverse, rest, minus_step, max_code;
  Floats quotient(Floats x) const {
    const Floats a = smaller(most, sub(x, lo));
    const Floats near = fused(a, inverse, mul(a, rest));
    return fused(fused(near, minus_step, a), inverse, near);
  }
  Ints clamped(Floats v) const { return rounded(smaller(larger(v, all(0.0F)), max_code)); }
  Ints codes(Floats x) const { return clamped(quotient(x)); }
  Ints codes(Floats x, Floats noise) const { return clamped(add(quotient(x), noise)); }
  /// What is no number, and what is far below 0, becomes the least integer.
  Ints integers(Floats x) const { return rounded(quotient(x)); }
  Ints integers(Floats x, Floats noise) const { return rounded(add(quotient(x), noise)); }
};

/// make(quantiser): the one without divisions where fused multiply-add is an instruction and nothing above can leave
/// the range of binary32.
template <typename Make>
inline void with_quantiser(float lo, float step, float max_code, Make make) {
  if constexpr (kFusedIsFast) {
    if (step >= 0x1p-70F && step <= 0x1p70F) {
      const float inverse = 1.0F / step;
      const float rest = __builtin_fmaf(-inverse, step, 1.0F) / step;
      make(MultiplyingQuantiser{all(lo), all(step * 0x1p20F), all(inverse), all(rest), all(-step), all(max_code)});
      return;
    }
  }
  make(DividingQuantiser{all(lo), all(step), all(max_code)});
}

template <typename Quantiser>
inline void quantise_by(const QuantiseRow& row, const Quantiser& quantiser) {
  std::int64_t i = 0;
  for (; i + kLanes <= row.count; i += kLanes) {
    if (row.noise == nullptr) __builtin_prefetch(row.x + i + kReadAhead);  // else while the noise was made
    const Floats x = load(row.x + i);
    const Ints codes = row.noise == nullptr ? quantiser.codes(x) : quantiser.codes(x, load(row.noise + i));
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
  const Floats x = load_some(row.x + i, rest);
  store(codes, row.noise == nullptr ? quantiser.codes(x) : quantiser.codes(x, load_some(row.noise + i, rest)));
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

void quantise(const QuantiseRow& row) {
  with_quantiser(row.lo, row.step, row.max_code, [&](const auto& quantiser) { quantise_by(row, quantiser); });
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
    const DividingQuantiser quantiser{load(table.lo + c), load(table.step + c), all(table.max_code)};
    for (std::int64_t r = 0; r < table.rows; ++r) {
      const std::int64_t e = r * table.channels + c;
      const Ints codes = quantiser.codes(load_lanes(table.x + e, count));
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
