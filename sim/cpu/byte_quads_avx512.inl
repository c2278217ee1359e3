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

/// Units of one group of columns, all blocks of channels, which lie side by side in memory. first: of the group;
/// kWhole: all of its pixels are there.
template <int kShifts, int kShiftStep, bool kOffset, bool kWhole>
inline void stage_group(const StageQuads& row, std::int64_t first, char* to) {
  constexpr int kColumns = 4 + (kShifts - 1) * kShiftStep;
  const __m512i in_order = _mm512_load_si512(kInOrder.from), flip = _mm512_set1_epi8(kOffset ? -128 : 0);
  const std::int64_t pixel_step = row.pixel_step, plane = row.plane, pixels = row.pixels;
  const std::uint8_t* const codes = row.row + first * pixel_step;
  for_each_block(row.channels, [&](std::int64_t c, auto count) BITCYCLE_INLINE {
    const __mmask16 lanes = lanes_of_block(count);
    char* const out = to + c / kLanes * plane;
    const auto column = [&](int j) BITCYCLE_INLINE {
      const std::uint8_t* const at = codes + j * pixel_step + c;
      if constexpr (kWhole) return load_bytes(at, count);
      // Nothing is read where there is no pixel, wherever that is, and what stands there flips to 0.
      const bool there = first + j >= 0 && first + j < pixels;
      return _mm_mask_loadu_epi8(_mm512_castsi512_si128(flip), there ? lanes : __mmask16{0}, at);
    };
    const auto put = [&](int unit, __m512i columns) BITCYCLE_INLINE {
      const __m512i quads = _mm512_permutexvar_epi8(in_order, columns);
      _mm512_storeu_si512(out + unit * kBlockBytes, kOffset ? _mm512_xor_si512(quads, flip) : quads);
    };
    const __m256i low = _mm256_inserti128_si256(_mm256_castsi128_si256(column(0)), column(1), 1);
    const __m256i high = _mm256_inserti128_si256(_mm256_castsi128_si256(column(2)), column(3), 1);
    const __m512i four = _mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1);
    put(0, four);
    if constexpr (kColumns > 4) {
      __m512i next = _mm512_castsi128_si512(column(4));
      if constexpr (kColumns > 5) next = _mm512_inserti32x4(next, column(5), 1);
      if constexpr (kColumns > 6) next = _mm512_inserti32x4(next, column(6), 2);
      if constexpr (kShifts > 1) put(1, _mm512_alignr_epi32(next, four, 4 * kShiftStep));
      if constexpr (kShifts > 2) put(2, _mm512_alignr_epi32(next, four, 8));
      if constexpr (kShifts > 3) put(3, _mm512_alignr_epi32(next, four, 12));
    }
  });
}

template <int kShifts, int kShiftStep, bool kOffset>
inline void stage_groups(const StageQuads& row) {
  constexpr std::int64_t kColumns = 4 + (kShifts - 1) * kShiftStep;
  char* out = row.out;
  for (std::int64_t q = 0; q < row.groups; ++q, out += kShifts * kBlockBytes) {
    const std::int64_t first = 4 * q - row.margin;
    if (first >= 0 && first + kColumns <= row.pixels) {
      stage_group<kShifts, kShiftStep, kOffset, true>(row, first, out);
    } else {
      stage_group<kShifts, kShiftStep, kOffset, false>(row, first, out);
    }
  }
}

void stage_quads(const StageQuads& row) {
  fetch_next_row(row.row, row.pixels * row.pixel_step);
  if (row.offset_binary) return row.shifts == 1 ? stage_groups<1, 1, true>(row) : stage_groups<2, 2, true>(row);
  switch (row.shifts) {
    case 1: return stage_groups<1, 1, false>(row);
    case 2: return stage_groups<2, 1, false>(row);
    case 3: return stage_groups<3, 1, false>(row);
    default: return stage_groups<4, 1, false>(row);
  }
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
