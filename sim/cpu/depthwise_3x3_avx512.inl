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

/// One output, from its sums.
template <bool kBytes>
BITCYCLE_INLINE inline void output_of_sums(float* out, const char* fetch0, const char* fetch1, __m512i acc,
                                           __m512i codes, __m512d a_low, __m512d a_high, __m512d b_low, __m512d b_high,
                                           __m512d e_low, __m512d e_high) {
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
  __builtin_prefetch(fetch0, 1);
  __builtin_prefetch(fetch1, 0, 2);
}

/// One block of 16 channels, pixels from 0 on, as many as two by two (kPairs: of step 1, beginning at an even column)
/// or one by one (of an even step) can be made. kBytes: quads with sums of codes; else pairs without. Returns how many.
template <bool kBytes, bool kPairs>
std::int64_t depthwise_3x3_block(const DepthwiseRow& row, std::int64_t c) {
  const std::int64_t block = c / kLanes, out_step = row.out_step, pixels = row.pixels;
  const char* const weights = row.weights + block * (kBytes ? 6 : 12) * kBlockBytes;
  const auto weight = [&](std::int64_t i) BITCYCLE_INLINE { return _mm512_loadu_si512(weights + i * kBlockBytes); };
  // Of the first output's columns and of the next one's; of pairs, those of the first unit and, v, of the second.
  constexpr std::int64_t kFirst = kBytes ? 1 : 2, kLast = kFirst - 1;
  const std::int64_t first = row.first % 2 * 3 * kFirst, second = 3 * kFirst - first;
  const __m512i w0 = weight(first), w1 = weight(first + kFirst), w2 = weight(first + 2 * kFirst);
  const __m512i w3 = weight(second), w4 = weight(second + kFirst), w5 = weight(second + 2 * kFirst);
  const __m512i v0 = weight(first + kLast), v1 = weight(first + kFirst + kLast);
  const __m512i v2 = weight(first + 2 * kFirst + kLast), v3 = weight(second + kLast);
  const __m512i v4 = weight(second + kFirst + kLast), v5 = weight(second + 2 * kFirst + kLast);
  const char* const ones = row.ones;
  const __m512i one = kBytes ? _mm512_loadu_si512(ones + row.first % 2 * kBlockBytes) : w0;
  const __m512i next_one = kBytes ? _mm512_loadu_si512(ones + (1 - row.first % 2) * kBlockBytes) : w0;
  const Doubles a = load(row.a + c), b = load(row.b + c);
  const __m512d a_low = a.lo, a_high = a.hi, b_low = b.lo, b_high = b.hi;
  const std::int64_t* const columns = row.columns;
  const std::int32_t *const acc_start = row.acc_start + c, *const codes_start = row.codes_start + c;
  const double* const offset = row.offset + c;
  const char* top = row.rows[0] + block * row.plane + row.first / 2 * kBlockBytes;
  const std::int64_t middle = row.rows[1] - row.rows[0], bottom = row.rows[2] - row.rows[0];
  const std::int64_t top_step = kPairs ? kBlockBytes : row.step / 2 * kBlockBytes;
  float* out = row.out + c;
  const char* fetch0 = row.fetch[0] + block * pixels * kBlockBytes;
  const std::int64_t fetch1 = row.fetch[1] - row.fetch[0];
  constexpr std::int64_t kAtOnce = kPairs ? 2 : 1;
  std::int64_t p = 0;
  for (; p + kAtOnce <= pixels; p += kAtOnce, top += top_step, out += kAtOnce * out_step) {
    const __m512i x0 = _mm512_loadu_si512(top), x1 = _mm512_loadu_si512(top + middle);
    const __m512i x2 = _mm512_loadu_si512(top + bottom);
    const std::int64_t t = columns[p], u = columns[p + kAtOnce - 1];
    __m512i sum = kBytes ? _mm512_loadu_si512(acc_start + t) : _mm512_setzero_si512();
    __m512i next_sum = kBytes ? _mm512_loadu_si512(acc_start + u) : _mm512_setzero_si512(), codes = sum,
            next_codes = sum;
    sum = dot_three<kBytes>(sum, w0, w1, w2, x0, x1, x2);
    if constexpr (kPairs) next_sum = dot_three<kBytes>(next_sum, w3, w4, w5, x0, x1, x2);
    if constexpr (kBytes) {
      codes = dot_three<kBytes>(_mm512_loadu_si512(codes_start + t), one, one, one, x0, x1, x2);
      if constexpr (kPairs) {
        next_codes = dot_three<kBytes>(_mm512_loadu_si512(codes_start + u), next_one, next_one, next_one, x0, x1, x2);
      }
    } else {
      const __m512i y0 = _mm512_loadu_si512(top + kBlockBytes);
      const __m512i y1 = _mm512_loadu_si512(top + kBlockBytes + middle);
      const __m512i y2 = _mm512_loadu_si512(top + kBlockBytes + bottom);
      sum = dot_three<kBytes>(sum, v0, v1, v2, y0, y1, y2);
      if constexpr (kPairs) next_sum = dot_three<kBytes>(next_sum, v3, v4, v5, y0, y1, y2);
    }
    output_of_sums<kBytes>(out, fetch0, fetch0 + fetch1, sum, codes, a_low, a_high, b_low, b_high,
                           _mm512_loadu_pd(offset + t), _mm512_loadu_pd(offset + t + 8));
    fetch0 += kBlockBytes;
    if constexpr (kPairs) {
      output_of_sums<kBytes>(out + out_step, fetch0, fetch0 + fetch1, next_sum, next_codes, a_low, a_high, b_low,
                             b_high, _mm512_loadu_pd(offset + u), _mm512_loadu_pd(offset + u + 8));
      fetch0 += kBlockBytes;
    }
  }
  return p;
}

/// Makes the row where it is of this kind, and says so.
inline bool depthwise_3x3(const DepthwiseRow& row) {
  const bool sums = row.ones != nullptr, pairs = row.step == 1;
  if (row.kernel_rows != 3 || row.units != (row.bytes ? 1 : 2) || row.limbs != 1 || row.x_limbs != 1) return false;
  if (sums != row.bytes || row.channels % kLanes != 0) return false;
  if (pairs ? row.first % 2 != 0 : row.step % 2 != 0) return false;
  std::int64_t made = 0;
  for (std::int64_t c = 0; c < row.channels; c += kLanes) {
    if (row.bytes) {
      made = pairs ? depthwise_3x3_block<true, true>(row, c) : depthwise_3x3_block<true, false>(row, c);
    } else {
      made = pairs ? depthwise_3x3_block<false, true>(row, c) : depthwise_3x3_block<false, false>(row, c);
    }
  }
  if (made == row.pixels) return true;
  // The last of an odd number.
  DepthwiseRow rest = row;
  rest.first += made;
  rest.pixels -= made;
  rest.columns += made;
  rest.out += made * row.out_step;
  depthwise_row_of_any(rest);
  return true;
}
