// SPDX-License-Identifier: Apache-2.0
// Units of bytes on AVX-512 VNNI, for depthwise.inl. Included inside an unnamed namespace, after word_pairs_avx512.inl.

constexpr bool kByteQuads = true;

/// Through memory: half of a vector as binary64 takes one instruction of a vector unit from there, two from a register.
inline Doubles to_doubles_by_memory(Ints a) {
  alignas(64) std::int32_t lanes[kLanes];
  _mm512_store_si512(lanes, a.v);
  asm("" : "+m"(lanes));  // or the compiler takes them from the register
  return {_mm512_cvtepi32_pd(_mm256_load_si256(reinterpret_cast<const __m256i*>(lanes))),
          _mm512_cvtepi32_pd(_mm256_load_si256(reinterpret_cast<const __m256i*>(lanes + 8)))};
}

/// sum + the products of a lane: of unsigned bytes w and signed bytes x, or of signed words.
template <bool kBytes>
inline Ints dot_unit(Ints sum, Ints w, Ints x) {
  if constexpr (kBytes) return {_mm512_dpbusd_epi32(sum.v, w.v, x.v)};
  return dot_words(sum, w, x);
}

inline __m128i load_bytes(const std::uint8_t* p, Whole) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p)); }
inline __m128i load_bytes(const std::uint8_t* p, Part part) { return _mm_maskz_loadu_epi8(first_lanes(part.count), p); }
inline __mmask16 lanes_of_block(Whole) { return 0xFFFF; }
inline __mmask16 lanes_of_block(Part part) { return first_lanes(part.count); }

/// Of bytes of four columns, 16 of each, those of each lane.
struct alignas(64) QuadOrder {
  std::uint8_t from[64] = {};
  constexpr QuadOrder() {
    for (int i = 0; i < 64; ++i) from[i] = static_cast<std::uint8_t>(16 * (i % 4) + i / 4);
  }
};
constexpr QuadOrder kInOrder;

/// Four columns at a time, and with the four before them the units between.
template <bool kOfGradient, typename Count>
inline void stage_quads_of_block(const StageQuads& row, std::int64_t c, Count count) {
  const __m512i flip = _mm512_set1_epi8(kOfGradient ? 0 : -128);
  const __m512i in_order = _mm512_load_si512(kInOrder.from);
  const std::uint8_t* const codes = row.row + c;
  const std::int64_t pixels = row.pixels, pixel_step = row.pixel_step, margin = row.margin, units = row.units;
  char* const out = row.out + c / kLanes * row.plane;
  const auto put = [&](std::int64_t unit, __m512i columns) BITCYCLE_INLINE {
    __m512i quads = _mm512_permutexvar_epi8(in_order, columns);
    if (!kOfGradient) quads = _mm512_xor_si512(quads, flip);
    _mm512_storeu_si512(out + unit * kBlockBytes, quads);
  };
  __m512i before = flip;  // becomes 0
  const auto four = [&](std::int64_t j, __m128i first, __m128i second, __m128i third, __m128i fourth,
                        const auto& put_unit) BITCYCLE_INLINE {
    const __m256i low = _mm256_inserti128_si256(_mm256_castsi128_si256(first), second, 1);
    const __m256i high = _mm256_inserti128_si256(_mm256_castsi128_si256(third), fourth, 1);
    const __m512i now = _mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1);
    const std::int64_t unit = j / 2;
    if constexpr (kOfGradient) {
      put_unit(unit, _mm512_alignr_epi32(now, before, 12));
      put_unit(unit + 1, now);
    } else {
      put_unit(unit - 1, _mm512_alignr_epi32(now, before, 8));
      put_unit(unit, now);
    }
    before = now;
  };
  const __mmask16 lanes = lanes_of_block(count);
  // Nothing is read where there is no pixel, wherever that is.
  const auto column = [&](std::int64_t at) BITCYCLE_INLINE {
    const std::int64_t p = at - margin;
    const __mmask16 there = p >= 0 && p < pixels ? lanes : __mmask16{0};
    return _mm_mask_loadu_epi8(_mm512_castsi512_si128(flip), there, codes + p * pixel_step);
  };
  const auto put_some = [&](std::int64_t unit, __m512i columns) BITCYCLE_INLINE {
    if (unit >= 0 && unit < units) put(unit, columns);
  };
  const auto some_four = [&](std::int64_t j) BITCYCLE_INLINE {
    four(j, column(j), column(j + 1), column(j + 2), column(j + 3), put_some);
  };
  const std::int64_t end = kOfGradient ? 2 * units : 2 * units + 2;  // columns
  const std::int64_t whole = margin + pixels < end - 2 ? margin + pixels : end - 2;
  std::int64_t j = 0;
  for (; j < end && (j < margin || j == 0); j += 4) some_four(j);
  const std::uint8_t* at = codes + (j - margin) * pixel_step;
  for (; j + 4 <= whole; j += 4, at += 4 * pixel_step) {
    four(j, load_bytes(at, count), load_bytes(at + pixel_step, count), load_bytes(at + 2 * pixel_step, count),
         load_bytes(at + 3 * pixel_step, count), put);
  }
  for (; j < end; j += 4) some_four(j);
}

void stage_quads(const StageQuads& row) {
  fetch_next_row(row.row, row.pixels * row.pixel_step);
  for_each_block(row.channels, [&](std::int64_t c, auto count) {
    if (row.of_gradient) {
      stage_quads_of_block<true>(row, c, count);
    } else {
      stage_quads_of_block<false>(row, c, count);
    }
  });
}

constexpr void (*kStageQuads)(const StageQuads&) = stage_quads;

/// Sums of the first channels of an area, whole blocks of 32, in words, of which 257 bytes fill one. Returns how many.
inline std::int64_t wide_code_sums(const CodeSums& area) {
  constexpr std::int64_t kCodes = 257;
  std::int64_t c = 0;
  for (; c + 32 <= area.channels; c += 32) {
    __m512i low = _mm512_loadu_si512(area.sums + c), high = _mm512_loadu_si512(area.sums + c + 16);
    __m512i words = _mm512_setzero_si512();
    const auto flush = [&] {
      low = _mm512_add_epi32(low, _mm512_cvtepu16_epi32(_mm512_castsi512_si256(words)));
      high = _mm512_add_epi32(high, _mm512_cvtepu16_epi32(_mm512_extracti64x4_epi64(words, 1)));
      words = _mm512_setzero_si512();
    };
    std::int64_t left = kCodes;
    for (std::int64_t r = 0; r < area.rows; ++r) {
      const std::uint8_t* codes = area.codes + r * area.row_step + c;
      for (std::int64_t p = 0; p < area.columns;) {
        const std::int64_t some = area.columns - p < left ? area.columns - p : left;
        for (std::int64_t i = 0; i < some; ++i, codes += area.column_step) {
          words = _mm512_add_epi16(words,
                                   _mm512_cvtepu8_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(codes))));
        }
        p += some;
        left -= some;
        if (left > 0) continue;
        flush();
        left = kCodes;
      }
    }
    flush();
    _mm512_storeu_si512(area.sums + c, low);
    _mm512_storeu_si512(area.sums + c + 16, high);
  }
  return c;
}
