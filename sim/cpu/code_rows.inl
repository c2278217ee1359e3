// SPDX-License-Identifier: Apache-2.0
// Codes in one go with what comes before them (code_rows.h). Included inside an unnamed namespace, after
// elementwise.inl.

/// each(element, channel) in the order of memory, as a processor fetches ahead; its values become codes.
template <typename Each>
inline void code_rows(const CodeTarget& to, std::int64_t pixels, std::int64_t channels, const float* noise, Each each) {
  const std::int64_t size = pixels * channels;
  std::uint8_t* const codes8 = to.codes8;
  std::uint16_t* const codes16 = to.codes16;
  const auto most = static_cast<std::int32_t>(to.max_code);
  with_quantiser(to.lo, to.step, to.max_code, [&](const auto& quantiser) {
    std::int64_t e = 0, c = 0;
    const auto step = [&] {
      e += kLanes;
      c = c + kLanes == channels ? 0 : c + kLanes;
    };
    // Four blocks at a time, since clamping bytes is cheaper than clamping values.
    while (codes8 != nullptr && e + 4 * kLanes <= size) {
      Ints integers[4];
      std::uint8_t* const out = codes8 + e;
#pragma GCC unroll 4
      for (int i = 0; i < 4; ++i, step()) {
        const Floats x = each(e, c);
        integers[i] = noise == nullptr ? quantiser.integers(x) : quantiser.integers(x, load(noise + e));
      }
      store_clamped_bytes(out, integers, most);
    }
    for (; e < size; step()) {
      const Floats x = each(e, c);
      const Ints codes = noise == nullptr ? quantiser.codes(x) : quantiser.codes(x, load(noise + e));
      if (codes8 != nullptr) {
        store_bytes(codes8 + e, codes);
      } else {
        store_words(codes16 + e, codes);
      }
    }
  });
}

constexpr std::int64_t kFetchAhead = 1024;  // elements

void norm_codes(const NormCodes& row) {
  const float *const y = row.y, *const mean = row.mean, *const a = row.a, *const beta = row.beta;
  const Floats zero = all(0.0F);
  code_rows(row.to, row.pixels, row.channels, nullptr, [&](std::int64_t e, std::int64_t c) {
    __builtin_prefetch(y + e + kFetchAhead);
    return larger(apply_norm(load(y + e), load(mean + c), load(a + c), load(beta + c)), zero);
  });
}

void gradient_codes(const GradientCodes& row) {
  const float *const y = row.y, *const u = row.u, *const mean = row.mean, *const a = row.a, *const k = row.k,
                     *const shift = row.c;
  const auto value = [&](std::int64_t e, std::int64_t c) {
    const Floats t = sub(load(y + e), load(mean + c));
    return fused(load(a + c), load(u + e), fused(load(k + c), t, load(shift + c)));
  };
  if (row.fetched) return code_rows(row.to, row.pixels, row.channels, row.noise, value);
  code_rows(row.to, row.pixels, row.channels, row.noise, [&](std::int64_t e, std::int64_t c) {
    __builtin_prefetch(y + e + kFetchAhead);
    __builtin_prefetch(u + e + kFetchAhead);
    return value(e, c);
  });
}
