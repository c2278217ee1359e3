// SPDX-License-Identifier: Apache-2.0
// Vectors of 16 lanes on SSE2, which every x86-64 processor has: the small vocabulary that the elementwise rows are
// written in. Included inside an unnamed namespace of kernels_portable.cpp. SSE2 has no fused multiply-add:
// fused_sse2.inl makes one, to the bit, of binary64 arithmetic.

constexpr int kFloatAccumulators = 2, kDoubleAccumulators = 1;  // as many as the registers hold
constexpr int kFloatLaneBlocks = 1;                             // of 16 lanes beside one another, for each of them
constexpr bool kFusedIsFast = false;                            // fused multiply-add of binary32 is an instruction
constexpr int kNoiseSets = 1;                                   // of 16 Philox blocks that are made together

struct Floats {
  __m128 v[4];
};
struct Ints {
  __m128i v[4];
};
struct Doubles {
  __m128d v[8];
};
struct Longs {
  __m128i v[8];
};
struct Mask {
  __m128 v[4];
};

template <typename Function>
inline Floats each_floats(Function function) {
  return {{function(0), function(1), function(2), function(3)}};
}
template <typename Function>
inline Ints each_ints(Function function) {
  return {{function(0), function(1), function(2), function(3)}};
}
template <typename Function>
inline Doubles each_doubles(Function function) {
  return {{function(0), function(1), function(2), function(3), function(4), function(5), function(6), function(7)}};
}
template <typename Function>
inline Longs each_longs(Function function) {
  return {{function(0), function(1), function(2), function(3), function(4), function(5), function(6), function(7)}};
}

inline __m128i load128(const void* p) { return _mm_loadu_si128(static_cast<const __m128i*>(p)); }
inline void store128(void* p, __m128i x) { _mm_storeu_si128(static_cast<__m128i*>(p), x); }

inline Floats load(const float* p) {
  return each_floats([&](int i) { return _mm_loadu_ps(p + 4 * i); });
}
inline Floats load_some(const float* p, std::int64_t count) {
  alignas(16) float lanes[kLanes] = {};
  for (std::int64_t i = 0; i < count; ++i) lanes[i] = p[i];
  return load(lanes);
}
inline void store(float* p, const Floats& x) {
  for (int i = 0; i < 4; ++i) _mm_storeu_ps(p + 4 * i, x.v[i]);
}
inline void store_some(float* p, const Floats& x, std::int64_t count) {
  alignas(16) float lanes[kLanes];
  store(lanes, x);
  for (std::int64_t i = 0; i < count; ++i) p[i] = lanes[i];
}
inline Floats all(float x) {
  const __m128 v = _mm_set1_ps(x);
  return {{v, v, v, v}};
}
inline Floats add(const Floats& x, const Floats& y) {
  return each_floats([&](int i) { return _mm_add_ps(x.v[i], y.v[i]); });
}
inline Floats sub(const Floats& x, const Floats& y) {
  return each_floats([&](int i) { return _mm_sub_ps(x.v[i], y.v[i]); });
}
inline Floats mul(const Floats& x, const Floats& y) {
  return each_floats([&](int i) { return _mm_mul_ps(x.v[i], y.v[i]); });
}
inline Floats div(const Floats& x, const Floats& y) {
  return each_floats([&](int i) { return _mm_div_ps(x.v[i], y.v[i]); });
}
/// x > y ? x : y, y where either is NaN.
inline Floats larger(const Floats& x, const Floats& y) {
  return each_floats([&](int i) { return _mm_max_ps(x.v[i], y.v[i]); });
}
inline Floats smaller(const Floats& x, const Floats& y) {
  return each_floats([&](int i) { return _mm_min_ps(x.v[i], y.v[i]); });
}
inline Mask positive(const Floats& x) {
  const __m128 zero = _mm_setzero_ps();
  return {
      {_mm_cmpgt_ps(x.v[0], zero), _mm_cmpgt_ps(x.v[1], zero), _mm_cmpgt_ps(x.v[2], zero), _mm_cmpgt_ps(x.v[3], zero)}};
}
inline Mask mask_of_bits(std::uint32_t bits) {
  const __m128i lane = _mm_setr_epi32(1, 2, 4, 8);
  const auto four = [&](int i) {
    const __m128i spread = _mm_set1_epi32(static_cast<int>(bits >> (4 * i)));
    return _mm_castsi128_ps(_mm_cmpeq_epi32(_mm_and_si128(spread, lane), lane));
  };
  return {{four(0), four(1), four(2), four(3)}};
}
inline std::uint32_t bits_of_mask(const Mask& m) {
  const auto four = [&](int i) { return static_cast<std::uint32_t>(_mm_movemask_ps(m.v[i])) << (4 * i); };
  return four(0) | four(1) | four(2) | four(3);
}
inline Floats where(const Mask& m, const Floats& x) {
  return each_floats([&](int i) { return _mm_and_ps(m.v[i], x.v[i]); });
}

inline Ints load(const std::int32_t* p) {
  return each_ints([&](int i) { return load128(p + 4 * i); });
}
inline void store(std::int32_t* p, const Ints& x) {
  for (int i = 0; i < 4; ++i) store128(p + 4 * i, x.v[i]);
}
inline Ints all_ints(std::int32_t x) {
  const __m128i v = _mm_set1_epi32(x);
  return {{v, v, v, v}};
}
inline Ints add(const Ints& x, const Ints& y) {
  return each_ints([&](int i) { return _mm_add_epi32(x.v[i], y.v[i]); });
}
inline Ints exclusive_or(const Ints& x, const Ints& y) {
  return each_ints([&](int i) { return _mm_xor_si128(x.v[i], y.v[i]); });
}
inline Ints both(const Ints& x, const Ints& y) {
  return each_ints([&](int i) { return _mm_and_si128(x.v[i], y.v[i]); });
}
/// x ^ (y & z).
inline Ints exclusive_or_both(const Ints& x, const Ints& y, const Ints& z) { return exclusive_or(x, both(y, z)); }
/// Lanes of x where the mask is all ones, of y where it is 0.
inline __m128i chosen(__m128i mask, __m128i x, __m128i y) {
  return _mm_or_si128(_mm_and_si128(mask, x), _mm_andnot_si128(mask, y));
}
inline __m128i larger128(__m128i x, __m128i y) { return chosen(_mm_cmpgt_epi32(x, y), x, y); }
inline __m128i smaller128(__m128i x, __m128i y) { return chosen(_mm_cmpgt_epi32(x, y), y, x); }
inline Ints larger(const Ints& x, const Ints& y) {
  return each_ints([&](int i) { return larger128(x.v[i], y.v[i]); });
}
inline Ints smaller(const Ints& x, const Ints& y) {
  return each_ints([&](int i) { return smaller128(x.v[i], y.v[i]); });
}
template <int kBits>
inline Ints shift_right(const Ints& x) {
  return each_ints([&](int i) { return _mm_srli_epi32(x.v[i], kBits); });
}
inline Ints sign_of(const Ints& x) {
  return each_ints([&](int i) { return _mm_srai_epi32(x.v[i], 31); });
}
inline Ints bits_of(const Floats& x) {
  return each_ints([&](int i) { return _mm_castps_si128(x.v[i]); });
}
inline Floats floats_of(const Ints& x) {
  return each_floats([&](int i) { return _mm_castsi128_ps(x.v[i]); });
}
/// All ones where equal.
inline Ints equal_lanes(const Ints& x, const Ints& y) {
  return each_ints([&](int i) { return _mm_cmpeq_epi32(x.v[i], y.v[i]); });
}
inline Ints rounded(const Floats& x) {
  return each_ints([&](int i) { return _mm_cvtps_epi32(x.v[i]); });
}
inline Floats to_floats(const Ints& x) {
  return each_floats([&](int i) { return _mm_cvtepi32_ps(x.v[i]); });
}
inline std::int32_t largest_of(const Ints& x) {
  alignas(16) std::int32_t lanes[4];
  store128(lanes, larger128(larger128(x.v[0], x.v[1]), larger128(x.v[2], x.v[3])));
  std::int32_t largest = lanes[0];
  for (const std::int32_t lane : lanes) largest = lane > largest ? lane : largest;
  return largest;
}
inline std::int32_t smallest_of(const Ints& x) {
  alignas(16) std::int32_t lanes[4];
  store128(lanes, smaller128(smaller128(x.v[0], x.v[1]), smaller128(x.v[2], x.v[3])));
  std::int32_t smallest = lanes[0];
  for (const std::int32_t lane : lanes) smallest = lane < smallest ? lane : smallest;
  return smallest;
}
/// Codes 0..65535 as words: SSE2 packs signed words only, so they are moved down and up again.
inline void store_words(std::uint16_t* p, const Ints& x) {
  const __m128i down = _mm_set1_epi32(32768), up = _mm_set1_epi16(static_cast<short>(-32768));
  for (int i = 0; i < 2; ++i) {
    const __m128i low = _mm_sub_epi32(x.v[2 * i], down), high = _mm_sub_epi32(x.v[2 * i + 1], down);
    store128(p + 8 * i, _mm_xor_si128(_mm_packs_epi32(low, high), up));
  }
}
inline void store_bytes(std::uint8_t* p, const Ints& x) {
  store128(p, _mm_packus_epi16(_mm_packs_epi32(x.v[0], x.v[1]), _mm_packs_epi32(x.v[2], x.v[3])));
}
/// 64 signed numbers, in order, clamped to 0..most, which is at most 255.
inline void store_clamped_bytes(std::uint8_t* p, const Ints (&x)[4], std::int32_t most) {
  for (int i = 0; i < 4; ++i) {
    store_bytes(p + i * kLanes, x[i]);
    store128(p + i * kLanes, _mm_min_epu8(load128(p + i * kLanes), _mm_set1_epi8(static_cast<char>(most))));
  }
}

inline Doubles load(const double* p) {
  return each_doubles([&](int i) { return _mm_loadu_pd(p + 2 * i); });
}
inline void store(double* p, const Doubles& x) {
  for (int i = 0; i < 8; ++i) _mm_storeu_pd(p + 2 * i, x.v[i]);
}
inline Doubles all(double x) {
  const __m128d v = _mm_set1_pd(x);
  return {{v, v, v, v, v, v, v, v}};
}
inline Doubles add(const Doubles& x, const Doubles& y) {
  return each_doubles([&](int i) { return _mm_add_pd(x.v[i], y.v[i]); });
}
inline Doubles div(const Doubles& x, const Doubles& y) {
  return each_doubles([&](int i) { return _mm_div_pd(x.v[i], y.v[i]); });
}
inline __m128d low_doubles(__m128i x) { return _mm_cvtepi32_pd(x); }
inline __m128d high_doubles(__m128i x) { return _mm_cvtepi32_pd(_mm_unpackhi_epi64(x, x)); }
inline __m128d low_doubles(__m128 x) { return _mm_cvtps_pd(x); }
inline __m128d high_doubles(__m128 x) { return _mm_cvtps_pd(_mm_movehl_ps(x, x)); }
inline Doubles to_doubles(const Ints& x) {
  return each_doubles([&](int i) { return i % 2 == 0 ? low_doubles(x.v[i / 2]) : high_doubles(x.v[i / 2]); });
}
inline Ints rounded(const Doubles& x) {
  return each_ints(
      [&](int i) { return _mm_unpacklo_epi64(_mm_cvtpd_epi32(x.v[2 * i]), _mm_cvtpd_epi32(x.v[2 * i + 1])); });
}
inline __m128 floats_of(__m128d low, __m128d high) { return _mm_movelh_ps(_mm_cvtpd_ps(low), _mm_cvtpd_ps(high)); }

inline Longs load(const std::int64_t* p) {
  return each_longs([&](int i) { return load128(p + 2 * i); });
}
inline void store(std::int64_t* p, const Longs& x) {
  for (int i = 0; i < 8; ++i) store128(p + 2 * i, x.v[i]);
}
inline Longs add(const Longs& x, const Longs& y) {
  return each_longs([&](int i) { return _mm_add_epi64(x.v[i], y.v[i]); });
}
/// Lanes of x, each followed by a lane of high: as 64-bit numbers of these two words.
inline Longs with_high_words(const Ints& x, const Ints& high) {
  return each_longs([&](int i) {
    const int j = i / 2;
    return i % 2 == 0 ? _mm_unpacklo_epi32(x.v[j], high.v[j]) : _mm_unpackhi_epi32(x.v[j], high.v[j]);
  });
}
inline Longs to_longs(const Ints& x) { return with_high_words(x, sign_of(x)); }
/// Squares of signed 32-bit numbers: SSE2 multiplies unsigned ones.
inline Longs squares(const Ints& x) {
  const Ints sign = sign_of(x);
  const Ints magnitude = each_ints([&](int i) { return _mm_sub_epi32(_mm_xor_si128(x.v[i], sign.v[i]), sign.v[i]); });
  const Longs wide = with_high_words(magnitude, all_ints(0));
  return each_longs([&](int i) { return _mm_mul_epu32(wide.v[i], wide.v[i]); });
}
inline Longs no_longs() {
  return each_longs([](int) { return _mm_setzero_si128(); });
}
/// Adds squares of signed 32-bit numbers to sums, which are in order here.
inline Longs add_squares(const Longs& sums, const Ints& x) { return add(sums, squares(x)); }
inline Longs squares_in_order(const Longs& sums) { return sums; }
/// rint of binary32 numbers below 2^51 in magnitude: added to 1.5 * 2^52 in binary64, the low bits are the integer.
inline Longs rounded_long(const Floats& x) {
  const __m128d magic = _mm_set1_pd(0x1.8p52);
  return each_longs([&](int i) {
    const __m128d two = i % 2 == 0 ? low_doubles(x.v[i / 2]) : high_doubles(x.v[i / 2]);
    return _mm_sub_epi64(_mm_castpd_si128(_mm_add_pd(two, magic)), _mm_castpd_si128(magic));
  });
}

// Philox words, one block a 64-bit lane: the low 32 bits of a lane count, the others are left over.
inline Longs all_longs(std::uint64_t x) {
  const __m128i v = _mm_set1_epi64x(static_cast<std::int64_t>(x));
  return {{v, v, v, v, v, v, v, v}};
}
inline Longs multiply_words(const Longs& x, const Longs& y) {
  return each_longs([&](int i) { return _mm_mul_epu32(x.v[i], y.v[i]); });
}
inline Longs high_words(const Longs& x) {
  return each_longs([&](int i) { return _mm_srli_epi64(x.v[i], 32); });
}
inline Longs exclusive_or(const Longs& x, const Longs& y, const Longs& z) {
  return each_longs([&](int i) { return _mm_xor_si128(_mm_xor_si128(x.v[i], y.v[i]), z.v[i]); });
}
inline Longs exclusive_or(const Longs& x, const Longs& y) {
  return each_longs([&](int i) { return _mm_xor_si128(x.v[i], y.v[i]); });
}
/// Two words of a block after its last round, in order: the high word of a product exclusive-ored with two others, and
/// the product's low word.
inline Longs last_words(const Longs& product, const Longs& other, const Longs& key) {
  const Longs first = exclusive_or(high_words(product), other, key);
  const __m128i low_word = _mm_set1_epi64x(0xFFFFFFFF);
  return each_longs(
      [&](int i) { return _mm_or_si128(_mm_and_si128(first.v[i], low_word), _mm_slli_epi64(product.v[i], 32)); });
}
/// Words of 16 blocks, in order, of their first and last two; lane i holds block kBlockOfLane[i].
inline void words_of_blocks(const Longs& first, const Longs& last, Ints (&words)[4]) {
  for (int i = 0; i < 8; ++i) {
    words[i / 4 * 2].v[i % 4] = _mm_unpacklo_epi64(first.v[i], last.v[i]);
    words[i / 4 * 2 + 1].v[i % 4] = _mm_unpackhi_epi64(first.v[i], last.v[i]);
  }
}
