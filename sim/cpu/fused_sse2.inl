// SPDX-License-Identifier: Apache-2.0
// Fused multiply-add without the instruction, to the bit. Each function takes a short way, knows where that may be
// wrong, and there asks the library's fma, which is slow and always right. Included inside an unnamed namespace of
// kernels_portable.cpp.

/// The library's fma of one block of lanes.
__attribute__((noinline, cold)) void fused_by_library(const Floats& x, const Floats& y, const Floats& z, Floats& out) {
  float a[kLanes], b[kLanes], c[kLanes];
  store(a, x);
  store(b, y);
  store(c, z);
  for (int i = 0; i < kLanes; ++i) c[i] = __builtin_fmaf(a[i], b[i], c[i]);
  out = load(c);
}

/// A product of two binary32 numbers is exact in binary64. The sum s then is rounded twice, to 53 bits and to 24, which
/// is one rounding unless s lies exactly between two neighbouring binary32 numbers: only there can the first rounding
/// have moved it across the border. Between normal numbers this is where the 29 bits that go are 1000...; s that become
/// subnormal numbers are all left to the library.
inline Floats fused(const Floats& x, const Floats& y, const Floats& z) {
  const __m128i cut = _mm_set1_epi32(0x1FFFFFFF), middle = _mm_set1_epi32(0x10000000);
  const __m128i magnitude = _mm_set1_epi32(INT32_MAX), least_normal = _mm_set1_epi32(0x38100000);
  __m128i doubtful = _mm_setzero_si128();
  Floats out = each_floats([&](int i) {
    const __m128d low = _mm_add_pd(_mm_mul_pd(low_doubles(x.v[i]), low_doubles(y.v[i])), low_doubles(z.v[i]));
    const __m128d high = _mm_add_pd(_mm_mul_pd(high_doubles(x.v[i]), high_doubles(y.v[i])), high_doubles(z.v[i]));
    const __m128 a = _mm_castpd_ps(low), b = _mm_castpd_ps(high);
    const __m128i low_words = _mm_castps_si128(_mm_shuffle_ps(a, b, 0x88));
    const __m128i high_words = _mm_and_si128(_mm_castps_si128(_mm_shuffle_ps(a, b, 0xDD)), magnitude);
    const __m128i between = _mm_cmpeq_epi32(_mm_and_si128(low_words, cut), middle);
    const __m128i small =
        _mm_and_si128(_mm_cmpgt_epi32(least_normal, high_words), _mm_cmpgt_epi32(high_words, _mm_setzero_si128()));
    doubtful = _mm_or_si128(doubtful, _mm_or_si128(between, small));
    return floats_of(low, high);
  });
  if (__builtin_expect(_mm_movemask_epi8(doubtful) != 0, 0)) fused_by_library(x, y, z, out);
  return out;
}

inline Doubles fused(const Doubles& x, const Doubles& y, const Doubles& z) {
  double a[kLanes], b[kLanes], c[kLanes];
  store(a, x);
  store(b, y);
  store(c, z);
  for (int i = 0; i < kLanes; ++i) c[i] = __builtin_fma(a[i], b[i], c[i]);
  return load(c);
}

/// Integers whose product and sum stay below 2^53: neither rounds.
inline Doubles fused_integers(const Doubles& x, const Doubles& y, const Doubles& z) {
  return each_doubles([&](int i) { return _mm_add_pd(_mm_mul_pd(x.v[i], y.v[i]), z.v[i]); });
}

/// x * y + z of binary32 numbers whose product and sum are exact.
inline Floats exact_fused(const Floats& x, const Floats& y, const Floats& z) { return add(mul(x, y), z); }

__attribute__((noinline, cold)) void rescaled_by_library(const Doubles& a, const Doubles& acc, const Doubles& b,
                                                         const Doubles& sum, const Doubles& e, Floats& out) {
  double value[kLanes];
  store(value, fused(a, acc, fused(b, sum, e)));
  float lanes[kLanes];
  for (int i = 0; i < kLanes; ++i) lanes[i] = static_cast<float>(value[i]);
  out = load(lanes);
}

/// fl32(fma64(a, acc, fma64(b, sum, e))). In plain binary64 the value t is off by less than 2^-50 of m = |a acc| +
/// |b sum| + |e|, what the two fused roundings lose included: 5 * 2^-53 of m, and the factors are products of binary32
/// numbers and integers, so that nothing underflows. Rounding keeps the order: where t - 2^-50 m and t + 2^-50 m become
/// the same binary32 number, bit by bit, so does the true value. Elsewhere, and where m is not finite, the library
/// says.
inline Floats rescaled(const Doubles& a, const Doubles& acc, const Doubles& b, const Doubles& sum, const Doubles& e) {
  const __m128d magnitude = _mm_castsi128_pd(_mm_set1_epi64x(INT64_MAX)), unit = _mm_set1_pd(0x1p-50);
  __m128i same = _mm_set1_epi32(-1);
  Floats out = each_floats([&](int i) {
    __m128d low[2], high[2];
    for (int j = 0; j < 2; ++j) {
      const int at = 2 * i + j;
      const __m128d first = _mm_mul_pd(a.v[at], acc.v[at]), second = _mm_mul_pd(b.v[at], sum.v[at]);
      const __m128d t = _mm_add_pd(first, _mm_add_pd(second, e.v[at]));
      const __m128d m = _mm_add_pd(_mm_and_pd(first, magnitude),
                                   _mm_add_pd(_mm_and_pd(second, magnitude), _mm_and_pd(e.v[at], magnitude)));
      const __m128d error = _mm_mul_pd(m, unit);
      low[j] = _mm_sub_pd(t, error);
      high[j] = _mm_add_pd(t, error);
    }
    const __m128 least = floats_of(low[0], low[1]), most = floats_of(high[0], high[1]);
    same = _mm_and_si128(same, _mm_cmpeq_epi32(_mm_castps_si128(least), _mm_castps_si128(most)));
    // Not equal to itself where it is not a number.
    same = _mm_and_si128(same, _mm_castps_si128(_mm_cmpeq_ps(least, least)));
    return least;
  });
  if (__builtin_expect(_mm_movemask_epi8(same) != 0xFFFF, 0)) rescaled_by_library(a, acc, b, sum, e, out);
  return out;
}

/// fl32(fma64(a, acc, e)).
inline Floats rescaled(const Doubles& a, const Doubles& acc, const Doubles& e) {
  return rescaled(a, acc, all(0.0), all(0.0), e);
}

/// The same to memory.
inline void store_rescaled(float* out, const Doubles& a, const Doubles& acc, const Doubles& b, const Doubles& sum,
                           const Doubles& e) {
  store(out, rescaled(a, acc, b, sum, e));
}
inline void store_rescaled(float* out, const Doubles& a, const Doubles& acc, const Doubles& e) {
  store(out, rescaled(a, acc, e));
}
