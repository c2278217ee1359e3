// SPDX-License-Identifier: Apache-2.0
// What depthwise.inl does for most layers, 3 x 3 taps of single bytes, as AVX-512 has it best: a block's weights and,
// of the columns that have all their taps, everything else stay in registers. Included inside an unnamed namespace,
// after depthwise.inl.

// Everything is passed by itself and by value: GCC keeps records of vectors in memory.

template <bool kBytes>
BITCYCLE_INLINE inline __m512i dot_three(__m512i sum, __m512i w0, __m512i w1, __m512i w2, __m512i x0, __m512i x1,
                                         __m512i x2) {
  if constexpr (kBytes) {
    return _mm512_dpbusd_epi32(_mm512_dpbusd_epi32(_mm512_dpbusd_epi32(sum, w0, x0), w1, x1), w2, x2);
  } else {
    return _mm512_dpwssd_epi32(_mm512_dpwssd_epi32(_mm512_dpwssd_epi32(sum, w0, x0), w1, x1), w2, x2);
  }
}

/// One output, from its sums; `next` is its place in the next row of values.
template <bool kBytes>
BITCYCLE_INLINE inline void output_of_sums(float* out, const float* next, __m512i acc, __m512i codes, __m512d a_low,
                                           __m512d a_high, __m512d b_low, __m512d b_high, __m512d e_low,
                                           __m512d e_high) {
  alignas(64) std::int32_t lanes[2 * kLanes];
  _mm512_store_si512(lanes, acc);
  if (kBytes) _mm512_store_si512(lanes + kLanes, codes);
  asm("" : "+m"(lanes));  // through memory, as in to_doubles_by_memory
  const auto half = [&](int i) BITCYCLE_INLINE {
    return _mm512_cvtepi32_pd(_mm256_load_si256(reinterpret_cast<const __m256i*>(lanes + 8 * i)));
  };
  if (kBytes) {
    e_low = _mm512_fmadd_pd(b_low, half(2), e_low);
    e_high = _mm512_fmadd_pd(b_high, half(3), e_high);
  }
  _mm256_storeu_ps(out, _mm512_cvtpd_ps(_mm512_fmadd_pd(a_low, half(0), e_low)));
  _mm256_storeu_ps(out + 8, _mm512_cvtpd_ps(_mm512_fmadd_pd(a_high, half(1), e_high)));
  __builtin_prefetch(next, 1);
}

/// Pixels from.. to - 1 of one block of 16 channels, one by one.
template <bool kBytes>
void depthwise_3x3_some(const DepthwiseRow& row, std::int64_t c, std::int64_t from, std::int64_t to) {
  constexpr std::int64_t kUnits = kBytes ? 1 : 2;
  const std::int64_t block = c / kLanes;
  const char* const weights = row.weights + block * 6 * kUnits * kBlockBytes;
  const Doubles a = load(row.a + c), b = load(row.b + c);
  for (std::int64_t p = from; p < to; ++p) {
    const std::int64_t s = row.first + p * row.step, odd = s % 2, at = row.columns[p] + c;
    __m512i acc = _mm512_setzero_si512(), codes = acc;
    if (kBytes) {
      acc = _mm512_loadu_si512(row.acc_start + at);
      codes = _mm512_loadu_si512(row.codes_start + at);
    }
    for (std::int64_t r = 0; r < 3; ++r) {
      const char* const units = row.rows[r] + block * row.plane + s / 2 * kBlockBytes;
      for (std::int64_t u = 0; u < kUnits; ++u) {
        const Ints x = load_unit(units + u * kBlockBytes);
        const Ints w = load_unit(weights + ((odd * 3 + r) * kUnits + u) * kBlockBytes);
        acc = dot_unit<kBytes>({acc}, w, x).v;
        if (kBytes) codes = dot_unit<kBytes>({codes}, load_unit(row.ones + odd * kBlockBytes), x).v;
      }
    }
    const Doubles e = load(row.offset + at);
    float* const out = row.out + c + p * row.out_step;
    output_of_sums<kBytes>(out, out + row.pixels * row.out_step, acc, codes, a.lo, a.hi, b.lo, b.hi, e.lo, e.hi);
  }
}

/// One block of 16 channels. Pixels begin.. end - 1 are all of one class. kBytes: quads with sums of codes; else pairs
/// without.
template <bool kBytes>
void depthwise_3x3_block(const DepthwiseRow& row, std::int64_t c, std::int64_t begin, std::int64_t end) {
  const std::int64_t pixels = row.pixels, out_step = row.out_step, next = pixels * out_step;
  if (row.step != 1 || end - begin < 4) return depthwise_3x3_some<kBytes>(row, c, 0, pixels);
  const std::int64_t block = c / kLanes;
  begin += (row.first + begin) % 2;
  depthwise_3x3_some<kBytes>(row, c, 0, begin);
  const auto weight = [&](int i) BITCYCLE_INLINE {
    return _mm512_loadu_si512(row.weights + (block * (kBytes ? 6 : 12) + i) * kBlockBytes);
  };
  // Of outputs at even columns and at odd ones; of pairs, those of the first unit and, v, of the second.
  constexpr int kFirst = kBytes ? 1 : 2, kOdd = 3 * kFirst, kLast = kFirst - 1;
  const __m512i w0 = weight(0), w1 = weight(kFirst), w2 = weight(2 * kFirst);
  const __m512i w3 = weight(kOdd), w4 = weight(kOdd + kFirst), w5 = weight(kOdd + 2 * kFirst);
  const __m512i v0 = weight(kLast), v1 = weight(kFirst + kLast), v2 = weight(2 * kFirst + kLast);
  const __m512i v3 = weight(kOdd + kLast), v4 = weight(kOdd + kFirst + kLast), v5 = weight(kOdd + 2 * kFirst + kLast);
  const __m512i even_one = kBytes ? _mm512_loadu_si512(row.ones) : w0;
  const __m512i odd_one = kBytes ? _mm512_loadu_si512(row.ones + kBlockBytes) : w0;
  const std::int64_t table = row.columns[begin] + c;
  const __m512i acc_start = kBytes ? _mm512_loadu_si512(row.acc_start + table) : _mm512_setzero_si512();
  const __m512i codes_start = kBytes ? _mm512_loadu_si512(row.codes_start + table) : _mm512_setzero_si512();
  const Doubles a = load(row.a + c), b = load(row.b + c), e = load(row.offset + table);
  const __m512d a_low = a.lo, a_high = a.hi, b_low = b.lo, b_high = b.hi, e_low = e.lo, e_high = e.hi;
  const char* top = row.rows[0] + block * row.plane + (row.first + begin) / 2 * kBlockBytes;
  const std::int64_t middle = row.rows[1] - row.rows[0], bottom = row.rows[2] - row.rows[0];
  float* out = row.out + c + begin * out_step;
  std::int64_t p = begin;
  // Two outputs that read the same units.
  for (; p + 2 <= end; p += 2, top += kBlockBytes, out += 2 * out_step) {
    const __m512i x0 = _mm512_loadu_si512(top), x1 = _mm512_loadu_si512(top + middle);
    const __m512i x2 = _mm512_loadu_si512(top + bottom);
    __m512i even = dot_three<kBytes>(acc_start, w0, w1, w2, x0, x1, x2);
    __m512i odd = dot_three<kBytes>(acc_start, w3, w4, w5, x0, x1, x2);
    __m512i even_codes = codes_start, odd_codes = codes_start;
    if constexpr (kBytes) {
      even_codes = dot_three<kBytes>(codes_start, even_one, even_one, even_one, x0, x1, x2);
      odd_codes = dot_three<kBytes>(codes_start, odd_one, odd_one, odd_one, x0, x1, x2);
    } else {
      const __m512i y0 = _mm512_loadu_si512(top + kBlockBytes);
      const __m512i y1 = _mm512_loadu_si512(top + kBlockBytes + middle);
      const __m512i y2 = _mm512_loadu_si512(top + kBlockBytes + bottom);
      even = dot_three<kBytes>(even, v0, v1, v2, y0, y1, y2);
      odd = dot_three<kBytes>(odd, v3, v4, v5, y0, y1, y2);
    }
    output_of_sums<kBytes>(out, out + next, even, even_codes, a_low, a_high, b_low, b_high, e_low, e_high);
    output_of_sums<kBytes>(out + out_step, out + out_step + next, odd, odd_codes, a_low, a_high, b_low, b_high, e_low,
                           e_high);
  }
  depthwise_3x3_some<kBytes>(row, c, p, pixels);
}

/// Makes the row where it is of this kind, and says so.
inline bool depthwise_3x3(const DepthwiseRow& row) {
  const bool sums = row.ones != nullptr;
  if (row.kernel_rows != 3 || row.units != (row.bytes ? 1 : 2) || row.limbs != 1 || row.x_limbs != 1) return false;
  if (sums != row.bytes || row.channels % kLanes != 0) return false;
  std::int64_t begin = row.pixels / 2, end = begin;
  while (end < row.pixels && row.columns[end] == row.columns[row.pixels / 2]) ++end;
  while (begin > 0 && row.columns[begin - 1] == row.columns[row.pixels / 2]) --begin;
  for (std::int64_t c = 0; c < row.channels; c += kLanes) {
    if (row.bytes) {
      depthwise_3x3_block<true>(row, c, begin, end);
    } else {
      depthwise_3x3_block<false>(row, c, begin, end);
    }
  }
  return true;
}
