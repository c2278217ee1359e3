// SPDX-License-Identifier: Apache-2.0
// Pairs of 16-bit words on SSE2, for depthwise.inl. Included inside an unnamed namespace.

constexpr int kKernelRowsAtOnce = 1;  // of a weight gradient: as many sums as the registers hold

inline Ints load_codes(const std::uint8_t* p) {
  const __m128i zero = _mm_setzero_si128(), codes = load128(p);
  const __m128i low = _mm_unpacklo_epi8(codes, zero), high = _mm_unpackhi_epi8(codes, zero);
  return {{_mm_unpacklo_epi16(low, zero), _mm_unpackhi_epi16(low, zero), _mm_unpacklo_epi16(high, zero),
           _mm_unpackhi_epi16(high, zero)}};
}
inline Ints load_codes(const std::uint8_t* p, std::int64_t count) {
  alignas(16) std::uint8_t lanes[kLanes] = {};
  for (std::int64_t i = 0; i < count; ++i) lanes[i] = p[i];
  return load_codes(lanes);
}
/// sums[i] += codes[i] of 16.
inline void add_codes_of_block(const std::uint8_t* codes, std::uint16_t* sums) {
  const __m128i zero = _mm_setzero_si128(), some = load128(codes);
  store128(sums, _mm_add_epi16(load128(sums), _mm_unpacklo_epi8(some, zero)));
  store128(sums + 8, _mm_add_epi16(load128(sums + 8), _mm_unpackhi_epi8(some, zero)));
}
inline Ints pair_words(const Ints& low, const Ints& high) {
  return each_ints([&](int i) { return _mm_or_si128(low.v[i], _mm_slli_epi32(high.v[i], 16)); });
}
/// A word of each lane's byte, the second vector's behind the first's.
inline Ints pairs_of_bytes(__m128i first, __m128i second) {
  const __m128i zero = _mm_setzero_si128();
  const __m128i low = _mm_unpacklo_epi8(first, second), high = _mm_unpackhi_epi8(first, second);
  return {{_mm_unpacklo_epi8(low, zero), _mm_unpackhi_epi8(low, zero), _mm_unpacklo_epi8(high, zero),
           _mm_unpackhi_epi8(high, zero)}};
}
inline Ints add_words(const Ints& x, const Ints& y) {
  return each_ints([&](int i) { return _mm_add_epi16(x.v[i], y.v[i]); });
}
inline Ints sub_words(const Ints& x, const Ints& y) {
  return each_ints([&](int i) { return _mm_sub_epi16(x.v[i], y.v[i]); });
}
/// sum + both products of a lane, of signed words.
inline Ints dot_words(const Ints& sum, const Ints& x, const Ints& w) {
  return each_ints([&](int i) { return _mm_add_epi32(sum.v[i], _mm_madd_epi16(x.v[i], w.v[i])); });
}

// One register, for winograd.inl.
using Vector = __m128i;
constexpr std::int64_t kVectorLanes = 4;
inline Vector load_vector(const void* p) { return load128(p); }
inline void store_vector(void* p, Vector x) { store128(p, x); }
inline Vector add_words(Vector x, Vector y) { return _mm_add_epi16(x, y); }
inline Vector sub_words(Vector x, Vector y) { return _mm_sub_epi16(x, y); }
inline Vector add_lanes(Vector x, Vector y) { return _mm_add_epi32(x, y); }
inline Vector sub_lanes(Vector x, Vector y) { return _mm_sub_epi32(x, y); }
/// x / 4, which is exact.
inline Vector quarter(Vector x) { return _mm_srai_epi32(x, 2); }
/// Lanes 0, 2 of x, then of y; lanes 1, 3.
inline Vector even_lanes(Vector x, Vector y) {
  return _mm_castps_si128(_mm_shuffle_ps(_mm_castsi128_ps(x), _mm_castsi128_ps(y), 0x88));
}
inline Vector odd_lanes(Vector x, Vector y) {
  return _mm_castps_si128(_mm_shuffle_ps(_mm_castsi128_ps(x), _mm_castsi128_ps(y), 0xDD));
}
