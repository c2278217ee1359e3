// SPDX-License-Identifier: Apache-2.0
// Pairs of 16-bit words on AVX2, for depthwise.inl. Included inside an unnamed namespace.

constexpr int kKernelRowsAtOnce = 1;  // of a weight gradient: as many sums as the registers hold

inline Ints load_codes(const std::uint8_t* p) {
  const __m128i codes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  return {_mm256_cvtepu8_epi32(codes), _mm256_cvtepu8_epi32(_mm_unpackhi_epi64(codes, codes))};
}
inline Ints load_codes(const std::uint8_t* p, std::int64_t count) {
  alignas(16) std::uint8_t lanes[kLanes] = {};
  for (std::int64_t i = 0; i < count; ++i) lanes[i] = p[i];
  return load_codes(lanes);
}
/// sums[i] += codes[i] of 16.
inline void add_codes_of_block(const std::uint8_t* codes, std::uint16_t* sums) {
  const __m256i words = _mm256_cvtepu8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(codes)));
  auto* const at = reinterpret_cast<__m256i*>(sums);
  _mm256_storeu_si256(at, _mm256_add_epi16(_mm256_loadu_si256(at), words));
}
inline Ints pair_words(Ints low, Ints high) {
  return {_mm256_or_si256(low.a, _mm256_slli_epi32(high.a, 16)), _mm256_or_si256(low.b, _mm256_slli_epi32(high.b, 16))};
}
/// A word of each lane's byte, the second vector's behind the first's.
inline Ints pairs_of_bytes(__m128i first, __m128i second) {
  return {_mm256_cvtepu8_epi16(_mm_unpacklo_epi8(first, second)),
          _mm256_cvtepu8_epi16(_mm_unpackhi_epi8(first, second))};
}
inline Ints add_words(Ints x, Ints y) { return {_mm256_add_epi16(x.a, y.a), _mm256_add_epi16(x.b, y.b)}; }
inline Ints sub_words(Ints x, Ints y) { return {_mm256_sub_epi16(x.a, y.a), _mm256_sub_epi16(x.b, y.b)}; }
/// sum + both products of a lane, of signed words.
inline Ints dot_words(Ints sum, Ints x, Ints w) {
  return {_mm256_add_epi32(sum.a, _mm256_madd_epi16(x.a, w.a)), _mm256_add_epi32(sum.b, _mm256_madd_epi16(x.b, w.b))};
}

// One register, for winograd.inl.
using Vector = __m256i;
constexpr std::int64_t kVectorLanes = 8;
inline Vector load_vector(const void* p) { return load256(p); }
inline void store_vector(void* p, Vector x) { store256(p, x); }
inline Vector add_words(Vector x, Vector y) { return _mm256_add_epi16(x, y); }
inline Vector sub_words(Vector x, Vector y) { return _mm256_sub_epi16(x, y); }
inline Vector add_lanes(Vector x, Vector y) { return _mm256_add_epi32(x, y); }
inline Vector sub_lanes(Vector x, Vector y) { return _mm256_sub_epi32(x, y); }
/// x / 4, which is exact.
inline Vector quarter(Vector x) { return _mm256_srai_epi32(x, 2); }
/// Lanes 0, 2, 4, ... of x, then of y; lanes 1, 3, 5, ...
template <int kChosen>
inline Vector every_other_lane(Vector x, Vector y) {
  const __m256 chosen = _mm256_shuffle_ps(_mm256_castsi256_ps(x), _mm256_castsi256_ps(y), kChosen);
  return _mm256_permute4x64_epi64(_mm256_castps_si256(chosen), 0xD8);
}
inline Vector even_lanes(Vector x, Vector y) { return every_other_lane<0x88>(x, y); }
inline Vector odd_lanes(Vector x, Vector y) { return every_other_lane<0xDD>(x, y); }
