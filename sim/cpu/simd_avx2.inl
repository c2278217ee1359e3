// SPDX-License-Identifier: Apache-2.0
// Vectors of 16 lanes on AVX2, as pairs: the small vocabulary that the elementwise rows are written in. Included inside
// an unnamed namespace of kernels_avx2.cpp.

constexpr int kFloatAccumulators = 5, kDoubleAccumulators = 2;  // as many as the registers hold
constexpr int kFloatLaneBlocks = 1;                             // of 16 lanes beside one another, for each of them
constexpr bool kFusedIsFast = true;                             // fused multiply-add of binary32 is an instruction
constexpr int kNoiseSets = 1;                                   // of 16 Philox blocks that are made together

struct Floats {
  __m256 a, b;
};
struct Ints {
  __m256i a, b;
};
struct Doubles {
  __m256d v[4];
};
struct Longs {
  __m256i v[4];
};
struct Mask {
  __m256 a, b;
};

inline Floats load(const float* p) { return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
inline Floats load_some(const float* p, std::int64_t count) {
  alignas(32) float lanes[kLanes] = {};
  for (std::int64_t i = 0; i < count; ++i) lanes[i] = p[i];
  return load(lanes);
}
inline void store(float* p, Floats x) {
  _mm256_storeu_ps(p, x.a);
  _mm256_storeu_ps(p + 8, x.b);
}
inline void store_some(float* p, Floats x, std::int64_t count) {
  alignas(32) float lanes[kLanes];
  store(lanes, x);
  for (std::int64_t i = 0; i < count; ++i) p[i] = lanes[i];
}
inline Floats all(float x) { return {_mm256_set1_ps(x), _mm256_set1_ps(x)}; }
inline Floats add(Floats x, Floats y) { return {_mm256_add_ps(x.a, y.a), _mm256_add_ps(x.b, y.b)}; }
inline Floats sub(Floats x, Floats y) { return {_mm256_sub_ps(x.a, y.a), _mm256_sub_ps(x.b, y.b)}; }
inline Floats mul(Floats x, Floats y) { return {_mm256_mul_ps(x.a, y.a), _mm256_mul_ps(x.b, y.b)}; }
inline Floats div(Floats x, Floats y) { return {_mm256_div_ps(x.a, y.a), _mm256_div_ps(x.b, y.b)}; }
inline Floats fused(Floats x, Floats y, Floats z) {
  return {_mm256_fmadd_ps(x.a, y.a, z.a), _mm256_fmadd_ps(x.b, y.b, z.b)};
}
/// x > y ? x : y, y where either is NaN.
inline Floats larger(Floats x, Floats y) { return {_mm256_max_ps(x.a, y.a), _mm256_max_ps(x.b, y.b)}; }
inline Floats smaller(Floats x, Floats y) { return {_mm256_min_ps(x.a, y.a), _mm256_min_ps(x.b, y.b)}; }
inline Mask positive(Floats x) {
  const __m256 zero = _mm256_setzero_ps();
  return {_mm256_cmp_ps(x.a, zero, _CMP_GT_OQ), _mm256_cmp_ps(x.b, zero, _CMP_GT_OQ)};
}
inline Mask mask_of_bits(std::uint32_t bits) {
  const __m256i lane = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
  const __m256i low = _mm256_and_si256(_mm256_set1_epi32(static_cast<int>(bits)), lane);
  const __m256i high = _mm256_and_si256(_mm256_set1_epi32(static_cast<int>(bits >> 8)), lane);
  return {_mm256_castsi256_ps(_mm256_cmpeq_epi32(low, lane)), _mm256_castsi256_ps(_mm256_cmpeq_epi32(high, lane))};
}
inline std::uint32_t bits_of_mask(Mask m) {
  return static_cast<std::uint32_t>(_mm256_movemask_ps(m.a)) | static_cast<std::uint32_t>(_mm256_movemask_ps(m.b)) << 8;
}
inline Floats where(Mask m, Floats x) { return {_mm256_and_ps(m.a, x.a), _mm256_and_ps(m.b, x.b)}; }

inline __m128i load128(const void* p) { return _mm_loadu_si128(static_cast<const __m128i*>(p)); }
inline void store128(void* p, __m128i x) { _mm_storeu_si128(static_cast<__m128i*>(p), x); }
inline __m256i load256(const void* p) { return _mm256_loadu_si256(static_cast<const __m256i*>(p)); }
inline void store256(void* p, __m256i x) { _mm256_storeu_si256(static_cast<__m256i*>(p), x); }

inline Ints load(const std::int32_t* p) { return {load256(p), load256(p + 8)}; }
inline void store(std::int32_t* p, Ints x) {
  store256(p, x.a);
  store256(p + 8, x.b);
}
inline Ints all_ints(std::int32_t x) { return {_mm256_set1_epi32(x), _mm256_set1_epi32(x)}; }
inline Ints add(Ints x, Ints y) { return {_mm256_add_epi32(x.a, y.a), _mm256_add_epi32(x.b, y.b)}; }
inline Ints sub(Ints x, Ints y) { return {_mm256_sub_epi32(x.a, y.a), _mm256_sub_epi32(x.b, y.b)}; }
inline Ints mul(Ints x, Ints y) { return {_mm256_mullo_epi32(x.a, y.a), _mm256_mullo_epi32(x.b, y.b)}; }
inline Ints exclusive_or(Ints x, Ints y) { return {_mm256_xor_si256(x.a, y.a), _mm256_xor_si256(x.b, y.b)}; }
inline Ints both(Ints x, Ints y) { return {_mm256_and_si256(x.a, y.a), _mm256_and_si256(x.b, y.b)}; }
/// x ^ (y & z).
inline Ints exclusive_or_both(Ints x, Ints y, Ints z) { return exclusive_or(x, both(y, z)); }
inline Ints larger(Ints x, Ints y) { return {_mm256_max_epi32(x.a, y.a), _mm256_max_epi32(x.b, y.b)}; }
inline Ints smaller(Ints x, Ints y) { return {_mm256_min_epi32(x.a, y.a), _mm256_min_epi32(x.b, y.b)}; }
template <int kBits>
inline Ints shift_right(Ints x) {
  return {_mm256_srli_epi32(x.a, kBits), _mm256_srli_epi32(x.b, kBits)};
}
inline Ints sign_of(Ints x) { return {_mm256_srai_epi32(x.a, 31), _mm256_srai_epi32(x.b, 31)}; }
inline Ints bits_of(Floats x) { return {_mm256_castps_si256(x.a), _mm256_castps_si256(x.b)}; }
inline Floats floats_of(Ints x) { return {_mm256_castsi256_ps(x.a), _mm256_castsi256_ps(x.b)}; }
/// All ones where equal.
inline Ints equal_lanes(Ints x, Ints y) { return {_mm256_cmpeq_epi32(x.a, y.a), _mm256_cmpeq_epi32(x.b, y.b)}; }
inline Ints rounded(Floats x) { return {_mm256_cvtps_epi32(x.a), _mm256_cvtps_epi32(x.b)}; }
inline Floats to_floats(Ints x) { return {_mm256_cvtepi32_ps(x.a), _mm256_cvtepi32_ps(x.b)}; }
inline std::int32_t largest_of(Ints x) {
  alignas(32) std::int32_t lanes[8];
  store256(lanes, _mm256_max_epi32(x.a, x.b));
  std::int32_t largest = lanes[0];
  for (const std::int32_t lane : lanes) largest = lane > largest ? lane : largest;
  return largest;
}
inline std::int32_t smallest_of(Ints x) {
  alignas(32) std::int32_t lanes[8];
  store256(lanes, _mm256_min_epi32(x.a, x.b));
  std::int32_t smallest = lanes[0];
  for (const std::int32_t lane : lanes) smallest = lane < smallest ? lane : smallest;
  return smallest;
}
inline __m256i words_of(Ints x) { return _mm256_permute4x64_epi64(_mm256_packus_epi32(x.a, x.b), 0xD8); }
inline void store_words(std::uint16_t* p, Ints x) { store256(p, words_of(x)); }
inline void store_bytes(std::uint8_t* p, Ints x) {
  const __m256i words = words_of(x);
  const __m128i bytes = _mm_packus_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), bytes);
}
/// 64 signed numbers, in order, clamped to 0..most, which is at most 255.
inline void store_clamped_bytes(std::uint8_t* p, const Ints (&x)[4], std::int32_t most) {
  const __m256i in_order = _mm256_set_epi32(7, 3, 6, 2, 5, 1, 4, 0),
                largest = _mm256_set1_epi8(static_cast<char>(most));
  for (int i = 0; i < 4; i += 2) {
    const __m256i bytes =
        _mm256_packus_epi16(_mm256_packs_epi32(x[i].a, x[i].b), _mm256_packs_epi32(x[i + 1].a, x[i + 1].b));
    store256(p + i * kLanes, _mm256_permutevar8x32_epi32(_mm256_min_epu8(bytes, largest), in_order));
  }
}

inline Doubles load(const double* p) {
  return {{_mm256_loadu_pd(p), _mm256_loadu_pd(p + 4), _mm256_loadu_pd(p + 8), _mm256_loadu_pd(p + 12)}};
}
inline void store(double* p, const Doubles& x) {
  for (int i = 0; i < 4; ++i) _mm256_storeu_pd(p + 4 * i, x.v[i]);
}
inline Doubles all(double x) {
  const __m256d v = _mm256_set1_pd(x);
  return {{v, v, v, v}};
}
inline Doubles add(const Doubles& x, const Doubles& y) {
  return {{_mm256_add_pd(x.v[0], y.v[0]), _mm256_add_pd(x.v[1], y.v[1]), _mm256_add_pd(x.v[2], y.v[2]),
           _mm256_add_pd(x.v[3], y.v[3])}};
}
inline Doubles fused(const Doubles& x, const Doubles& y, const Doubles& z) {
  return {{_mm256_fmadd_pd(x.v[0], y.v[0], z.v[0]), _mm256_fmadd_pd(x.v[1], y.v[1], z.v[1]),
           _mm256_fmadd_pd(x.v[2], y.v[2], z.v[2]), _mm256_fmadd_pd(x.v[3], y.v[3], z.v[3])}};
}
inline Doubles to_doubles(Ints x) {
  return {{_mm256_cvtepi32_pd(_mm256_castsi256_si128(x.a)), _mm256_cvtepi32_pd(_mm256_extracti128_si256(x.a, 1)),
           _mm256_cvtepi32_pd(_mm256_castsi256_si128(x.b)), _mm256_cvtepi32_pd(_mm256_extracti128_si256(x.b, 1))}};
}
inline Doubles div(const Doubles& x, const Doubles& y) {
  return {{_mm256_div_pd(x.v[0], y.v[0]), _mm256_div_pd(x.v[1], y.v[1]), _mm256_div_pd(x.v[2], y.v[2]),
           _mm256_div_pd(x.v[3], y.v[3])}};
}
inline Ints rounded(const Doubles& x) {
  return {_mm256_set_m128i(_mm256_cvtpd_epi32(x.v[1]), _mm256_cvtpd_epi32(x.v[0])),
          _mm256_set_m128i(_mm256_cvtpd_epi32(x.v[3]), _mm256_cvtpd_epi32(x.v[2]))};
}
inline Floats to_floats(const Doubles& x) {
  return {_mm256_set_m128(_mm256_cvtpd_ps(x.v[1]), _mm256_cvtpd_ps(x.v[0])),
          _mm256_set_m128(_mm256_cvtpd_ps(x.v[3]), _mm256_cvtpd_ps(x.v[2]))};
}
/// The same to memory, a part each.
inline void store_floats(float* p, const Doubles& x) {
  for (int i = 0; i < 4; ++i) _mm_storeu_ps(p + 4 * i, _mm256_cvtpd_ps(x.v[i]));
}

inline Longs load(const std::int64_t* p) { return {{load256(p), load256(p + 4), load256(p + 8), load256(p + 12)}}; }
inline void store(std::int64_t* p, const Longs& x) {
  for (int i = 0; i < 4; ++i) store256(p + 4 * i, x.v[i]);
}
inline Longs no_longs() {
  const __m256i zero = _mm256_setzero_si256();
  return {{zero, zero, zero, zero}};
}
inline Longs add(const Longs& x, const Longs& y) {
  return {{_mm256_add_epi64(x.v[0], y.v[0]), _mm256_add_epi64(x.v[1], y.v[1]), _mm256_add_epi64(x.v[2], y.v[2]),
           _mm256_add_epi64(x.v[3], y.v[3])}};
}
inline Longs to_longs(Ints x) {
  return {{_mm256_cvtepi32_epi64(_mm256_castsi256_si128(x.a)), _mm256_cvtepi32_epi64(_mm256_extracti128_si256(x.a, 1)),
           _mm256_cvtepi32_epi64(_mm256_castsi256_si128(x.b)),
           _mm256_cvtepi32_epi64(_mm256_extracti128_si256(x.b, 1))}};
}
/// Adds squares of signed 32-bit numbers to sums that are kept in an order of their own: of each half the even lanes,
/// then the odd ones.
inline Longs add_squares(const Longs& sums, Ints x) {
  const auto added = [](__m256i sum, __m256i lanes) { return _mm256_add_epi64(sum, _mm256_mul_epi32(lanes, lanes)); };
  return {{added(sums.v[0], x.a), added(sums.v[1], _mm256_srli_epi64(x.a, 32)), added(sums.v[2], x.b),
           added(sums.v[3], _mm256_srli_epi64(x.b, 32))}};
}
inline Longs squares_in_order(const Longs& sums) {
  Longs out;
  for (int i = 0; i < 4; i += 2) {
    const __m256i low = _mm256_unpacklo_epi64(sums.v[i], sums.v[i + 1]);
    const __m256i high = _mm256_unpackhi_epi64(sums.v[i], sums.v[i + 1]);
    out.v[i] = _mm256_permute2x128_si256(low, high, 0x20);
    out.v[i + 1] = _mm256_permute2x128_si256(low, high, 0x31);
  }
  return out;
}
/// rint of binary32 numbers below 2^51 in magnitude: added to 1.5 * 2^52 in binary64, the low bits are the integer.
inline Longs rounded_long(Floats x) {
  const __m256d magic = _mm256_set1_pd(0x1.8p52);
  const auto convert = [&](__m128 four) {
    return _mm256_sub_epi64(_mm256_castpd_si256(_mm256_add_pd(_mm256_cvtps_pd(four), magic)),
                            _mm256_castpd_si256(magic));
  };
  return {{convert(_mm256_castps256_ps128(x.a)), convert(_mm256_extractf128_ps(x.a, 1)),
           convert(_mm256_castps256_ps128(x.b)), convert(_mm256_extractf128_ps(x.b, 1))}};
}

// Philox words, one block a 64-bit lane: the low 32 bits of a lane count, the others are left over.
template <typename Function>
inline Longs each_long(Function function) {
  return {{function(0), function(1), function(2), function(3)}};
}
inline Longs all_longs(std::uint64_t x) {
  const __m256i v = _mm256_set1_epi64x(static_cast<std::int64_t>(x));
  return {{v, v, v, v}};
}
inline Longs multiply_words(const Longs& x, const Longs& y) {
  return each_long([&](int i) { return _mm256_mul_epu32(x.v[i], y.v[i]); });
}
inline Longs high_words(const Longs& x) {
  return each_long([&](int i) { return _mm256_srli_epi64(x.v[i], 32); });
}
inline Longs exclusive_or(const Longs& x, const Longs& y, const Longs& z) {
  return each_long([&](int i) { return _mm256_xor_si256(_mm256_xor_si256(x.v[i], y.v[i]), z.v[i]); });
}
inline Longs exclusive_or(const Longs& x, const Longs& y) {
  return each_long([&](int i) { return _mm256_xor_si256(x.v[i], y.v[i]); });
}
/// Two words of a block after its last round, in order: the high word of a product exclusive-ored with two others, and
/// the product's low word.
inline Longs last_words(const Longs& product, const Longs& other, const Longs& key) {
  const Longs first = exclusive_or(high_words(product), other, key);
  return each_long([&](int i) { return _mm256_blend_epi32(first.v[i], _mm256_slli_epi64(product.v[i], 32), 0xAA); });
}
/// Words of 16 blocks, in order, of their first and last two; lane i holds block kBlockOfLane[i].
inline void words_of_blocks(const Longs& first, const Longs& last, Ints (&words)[4]) {
  for (int i = 0; i < 2; ++i) {
    words[2 * i] = {_mm256_unpacklo_epi64(first.v[2 * i], last.v[2 * i]),
                    _mm256_unpacklo_epi64(first.v[2 * i + 1], last.v[2 * i + 1])};
    words[2 * i + 1] = {_mm256_unpackhi_epi64(first.v[2 * i], last.v[2 * i]),
                        _mm256_unpackhi_epi64(first.v[2 * i + 1], last.v[2 * i + 1])};
  }
}
