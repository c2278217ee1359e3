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
inline Ints pair_words(Ints low, Ints high) {
  return {_mm256_or_si256(low.a, _mm256_slli_epi32(high.a, 16)), _mm256_or_si256(low.b, _mm256_slli_epi32(high.b, 16))};
}
/// A word of each lane's byte, the second vector's behind the first's.
inline Ints pairs_of_bytes(__m128i first, __m128i second) {
  return {_mm256_cvtepu8_epi16(_mm_unpacklo_epi8(first, second)),
          _mm256_cvtepu8_epi16(_mm_unpackhi_epi8(first, second))};
}
inline Ints sub_words(Ints x, Ints y) { return {_mm256_sub_epi16(x.a, y.a), _mm256_sub_epi16(x.b, y.b)}; }
/// sum + both products of a lane, of signed words.
inline Ints dot_words(Ints sum, Ints x, Ints w) {
  return {_mm256_add_epi32(sum.a, _mm256_madd_epi16(x.a, w.a)), _mm256_add_epi32(sum.b, _mm256_madd_epi16(x.b, w.b))};
}
