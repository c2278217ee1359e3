// SPDX-License-Identifier: Apache-2.0
// Pairs of 16-bit words on AVX-512 VNNI, for depthwise.inl. Included inside an unnamed namespace.

constexpr int kKernelRowsAtOnce = 3;  // of a weight gradient: as many sums as the registers hold

inline Ints load_codes(const std::uint8_t* p) {
  return {_mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)))};
}
inline Ints load_codes(const std::uint8_t* p, std::int64_t count) {
  return {_mm512_cvtepu8_epi32(_mm_maskz_loadu_epi8(first_lanes(count), p))};
}
/// sums[i] += codes[i] of 16.
inline void add_codes_of_block(const std::uint8_t* codes, std::uint16_t* sums) {
  const __m256i words = _mm256_cvtepu8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(codes)));
  auto* const at = reinterpret_cast<__m256i*>(sums);
  _mm256_storeu_si256(at, _mm256_add_epi16(_mm256_loadu_si256(at), words));
}
inline Ints pair_words(Ints low, Ints high) { return {_mm512_or_si512(low.v, _mm512_slli_epi32(high.v, 16))}; }
/// sum + both products of a lane, of signed words.
inline Ints dot_words(Ints sum, Ints x, Ints w) { return {_mm512_dpwssd_epi32(sum.v, x.v, w.v)}; }
