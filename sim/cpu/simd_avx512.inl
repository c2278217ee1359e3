// SPDX-License-Identifier: Apache-2.0
// Vectors of 16 lanes on AVX-512: the small vocabulary that the elementwise rows are written in. Included inside an
// unnamed namespace of kernels_avx512vnni.cpp and kernels_amx.cpp.

constexpr int kFloatAccumulators = 8, kDoubleAccumulators = 8;  // as many as the registers hold
constexpr int kFloatLaneBlocks = 2;                             // of 16 lanes beside one another, for each of them
constexpr bool kFusedIsFast = true;                             // fused multiply-add of binary32 is an instruction
constexpr int kNoiseSets = 2;                                   // of 16 Philox blocks that are made together

struct Floats {
  __m512 v;
};
struct Ints {
  __m512i v;
};
struct Doubles {
  __m512d lo, hi;
};
struct Longs {
  __m512i lo, hi;
};
struct Mask {
  __mmask16 v;
};

inline __mmask16 first_lanes(std::int64_t count) { return static_cast<__mmask16>((1U << count) - 1U); }

inline Floats load(const float* p) { return {_mm512_loadu_ps(p)}; }
inline Floats load_some(const float* p, std::int64_t count) { return {_mm512_maskz_loadu_ps(first_lanes(count), p)}; }
inline void store(float* p, Floats x) { _mm512_storeu_ps(p, x.v); }
inline void store_some(float* p, Floats x, std::int64_t count) { _mm512_mask_storeu_ps(p, first_lanes(count), x.v); }
inline Floats all(float x) { return {_mm512_set1_ps(x)}; }
inline Floats add(Floats a, Floats b) { return {_mm512_add_ps(a.v, b.v)}; }
inline Floats sub(Floats a, Floats b) { return {_mm512_sub_ps(a.v, b.v)}; }
inline Floats mul(Floats a, Floats b) { return {_mm512_mul_ps(a.v, b.v)}; }
inline Floats div(Floats a, Floats b) { return {_mm512_div_ps(a.v, b.v)}; }
inline Floats fused(Floats a, Floats b, Floats c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
/// a > b ? a : b, b where either is NaN.
inline Floats larger(Floats a, Floats b) { return {_mm512_max_ps(a.v, b.v)}; }
inline Floats smaller(Floats a, Floats b) { return {_mm512_min_ps(a.v, b.v)}; }
inline Mask positive(Floats a) { return {_mm512_cmp_ps_mask(a.v, _mm512_setzero_ps(), _CMP_GT_OQ)}; }
inline Mask mask_of_bits(std::uint32_t bits) { return {static_cast<__mmask16>(bits)}; }
inline std::uint32_t bits_of_mask(Mask m) { return m.v; }
inline Floats where(Mask m, Floats a) { return {_mm512_maskz_mov_ps(m.v, a.v)}; }

inline Ints load(const std::int32_t* p) { return {_mm512_loadu_si512(p)}; }
inline void store(std::int32_t* p, Ints x) { _mm512_storeu_si512(p, x.v); }
inline Ints all_ints(std::int32_t x) { return {_mm512_set1_epi32(x)}; }
inline Ints add(Ints a, Ints b) { return {_mm512_add_epi32(a.v, b.v)}; }
inline Ints sub(Ints a, Ints b) { return {_mm512_sub_epi32(a.v, b.v)}; }
inline Ints mul(Ints a, Ints b) { return {_mm512_mullo_epi32(a.v, b.v)}; }
inline Ints exclusive_or(Ints a, Ints b) { return {_mm512_xor_si512(a.v, b.v)}; }
inline Ints both(Ints a, Ints b) { return {_mm512_and_si512(a.v, b.v)}; }
/// a ^ (b & c).
inline Ints exclusive_or_both(Ints a, Ints b, Ints c) { return {_mm512_ternarylogic_epi32(a.v, b.v, c.v, 0x78)}; }
inline Ints larger(Ints a, Ints b) { return {_mm512_max_epi32(a.v, b.v)}; }
inline Ints smaller(Ints a, Ints b) { return {_mm512_min_epi32(a.v, b.v)}; }
template <int kBits>
inline Ints shift_right(Ints a) {
  return {_mm512_srli_epi32(a.v, kBits)};
}
inline Ints sign_of(Ints a) { return {_mm512_srai_epi32(a.v, 31)}; }
inline Ints bits_of(Floats a) { return {_mm512_castps_si512(a.v)}; }
inline Floats floats_of(Ints a) { return {_mm512_castsi512_ps(a.v)}; }
/// All ones where equal.
inline Ints equal_lanes(Ints a, Ints b) { return {_mm512_movm_epi32(_mm512_cmpeq_epi32_mask(a.v, b.v))}; }
inline Ints rounded(Floats a) { return {_mm512_cvtps_epi32(a.v)}; }
inline Floats to_floats(Ints a) { return {_mm512_cvtepi32_ps(a.v)}; }
inline std::int32_t largest_of(Ints a) { return _mm512_reduce_max_epi32(a.v); }
inline std::int32_t smallest_of(Ints a) { return _mm512_reduce_min_epi32(a.v); }
inline void store_bytes(std::uint8_t* p, Ints a) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtepi32_epi8(a.v));
}
/// 64 signed numbers, in order, clamped to 0..most, which is at most 255.
inline void store_clamped_bytes(std::uint8_t* p, const Ints (&x)[4], std::int32_t most) {
  const __m512i in_order = _mm512_set_epi32(15, 11, 7, 3, 14, 10, 6, 2, 13, 9, 5, 1, 12, 8, 4, 0);
  const __m512i bytes = _mm512_packus_epi16(_mm512_packs_epi32(x[0].v, x[1].v), _mm512_packs_epi32(x[2].v, x[3].v));
  const __m512i clamped = _mm512_min_epu8(bytes, _mm512_set1_epi8(static_cast<char>(most)));
  _mm512_storeu_si512(p, _mm512_permutexvar_epi32(in_order, clamped));
}
inline void store_words(std::uint16_t* p, Ints a) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtepi32_epi16(a.v));
}

inline Doubles load(const double* p) { return {_mm512_loadu_pd(p), _mm512_loadu_pd(p + 8)}; }
inline void store(double* p, Doubles x) {
  _mm512_storeu_pd(p, x.lo);
  _mm512_storeu_pd(p + 8, x.hi);
}
inline Doubles all(double x) { return {_mm512_set1_pd(x), _mm512_set1_pd(x)}; }
inline Doubles add(Doubles a, Doubles b) { return {_mm512_add_pd(a.lo, b.lo), _mm512_add_pd(a.hi, b.hi)}; }
inline Doubles fused(Doubles a, Doubles b, Doubles c) {
  return {_mm512_fmadd_pd(a.lo, b.lo, c.lo), _mm512_fmadd_pd(a.hi, b.hi, c.hi)};
}
inline Doubles to_doubles(Ints a) {
  return {_mm512_cvtepi32_pd(_mm512_castsi512_si256(a.v)), _mm512_cvtepi32_pd(_mm512_extracti64x4_epi64(a.v, 1))};
}
inline Doubles div(Doubles a, Doubles b) { return {_mm512_div_pd(a.lo, b.lo), _mm512_div_pd(a.hi, b.hi)}; }
inline Ints rounded(Doubles a) {
  return {_mm512_inserti64x4(_mm512_castsi256_si512(_mm512_cvtpd_epi32(a.lo)), _mm512_cvtpd_epi32(a.hi), 1)};
}
inline Floats to_floats(Doubles a) {
  return {_mm512_insertf32x8(_mm512_castps256_ps512(_mm512_cvtpd_ps(a.lo)), _mm512_cvtpd_ps(a.hi), 1)};
}
/// The same to memory, each half by itself.
inline void store_floats(float* p, Doubles a) {
  _mm256_storeu_ps(p, _mm512_cvtpd_ps(a.lo));
  _mm256_storeu_ps(p + 8, _mm512_cvtpd_ps(a.hi));
}

inline Longs load(const std::int64_t* p) { return {_mm512_loadu_si512(p), _mm512_loadu_si512(p + 8)}; }
inline void store(std::int64_t* p, Longs x) {
  _mm512_storeu_si512(p, x.lo);
  _mm512_storeu_si512(p + 8, x.hi);
}
inline Longs no_longs() { return {_mm512_setzero_si512(), _mm512_setzero_si512()}; }
inline Longs add(Longs a, Longs b) { return {_mm512_add_epi64(a.lo, b.lo), _mm512_add_epi64(a.hi, b.hi)}; }
inline Longs to_longs(Ints a) {
  return {_mm512_cvtepi32_epi64(_mm512_castsi512_si256(a.v)), _mm512_cvtepi32_epi64(_mm512_extracti64x4_epi64(a.v, 1))};
}
/// Adds squares of signed 32-bit numbers to sums that are kept in an order of their own: even lanes, odd lanes.
inline Longs add_squares(Longs sums, Ints a) {
  const __m512i odd = _mm512_shuffle_epi32(a.v, _MM_PERM_DDBB);
  return {_mm512_add_epi64(sums.lo, _mm512_mul_epi32(a.v, a.v)), _mm512_add_epi64(sums.hi, _mm512_mul_epi32(odd, odd))};
}
inline Longs squares_in_order(Longs sums) {
  const __m512i low = _mm512_set_epi64(11, 3, 10, 2, 9, 1, 8, 0), high = _mm512_set_epi64(15, 7, 14, 6, 13, 5, 12, 4);
  return {_mm512_permutex2var_epi64(sums.lo, low, sums.hi), _mm512_permutex2var_epi64(sums.lo, high, sums.hi)};
}
/// rint of binary32 numbers below 2^51 in magnitude.
inline Longs rounded_long(Floats a) {
  return {_mm512_cvtps_epi64(_mm512_castps512_ps256(a.v)), _mm512_cvtps_epi64(_mm512_extractf32x8_ps(a.v, 1))};
}

// Philox words, one block a 64-bit lane: the low 32 bits of a lane count, the others are left over.
inline Longs all_longs(std::uint64_t x) {
  const __m512i v = _mm512_set1_epi64(static_cast<std::int64_t>(x));
  return {v, v};
}
inline Longs multiply_words(Longs a, Longs b) { return {_mm512_mul_epu32(a.lo, b.lo), _mm512_mul_epu32(a.hi, b.hi)}; }
/// A shuffle, not a shift: multiplications leave shifts no room on their port.
inline Longs high_words(Longs a) {
  return {_mm512_shuffle_epi32(a.lo, _MM_PERM_DDBB), _mm512_shuffle_epi32(a.hi, _MM_PERM_DDBB)};
}
inline Longs exclusive_or(Longs a, Longs b, Longs c) {
  constexpr int kOdd = 0x96;
  return {_mm512_ternarylogic_epi64(a.lo, b.lo, c.lo, kOdd), _mm512_ternarylogic_epi64(a.hi, b.hi, c.hi, kOdd)};
}
inline Longs exclusive_or(Longs a, Longs b) { return {_mm512_xor_si512(a.lo, b.lo), _mm512_xor_si512(a.hi, b.hi)}; }
/// Two words of a block after its last round, in order: the high word of a product exclusive-ored with two others, and
/// the product's low word.
inline Longs last_words(Longs product, Longs other, Longs key) {
  const auto words = [](__m512i p, __m512i o, __m512i k) {
    return _mm512_mask_ternarylogic_epi32(_mm512_shuffle_epi32(p, _MM_PERM_CDAB), 0x5555, o, k, 0x96);
  };
  return {words(product.lo, other.lo, key.lo), words(product.hi, other.hi, key.hi)};
}
/// Words of 16 blocks, in order, of their first and last two; lane i holds block kBlockOfLane[i].
inline void words_of_blocks(Longs first, Longs last, Ints (&words)[4]) {
  words[0].v = _mm512_unpacklo_epi64(first.lo, last.lo);
  words[1].v = _mm512_unpackhi_epi64(first.lo, last.lo);
  words[2].v = _mm512_unpacklo_epi64(first.hi, last.hi);
  words[3].v = _mm512_unpackhi_epi64(first.hi, last.hi);
}
