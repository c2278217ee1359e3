// SPDX-License-Identifier: Apache-2.0
// Staging for vpdpbusd: groups of four bytes, signed ones holding code - 128. Included inside an unnamed namespace of
// kernels_avx512vnni.cpp and kernels_amx.cpp.

constexpr std::int64_t kGroup = 4;
constexpr std::uint32_t kOffset = 0x80808080U;

/// A byte of packed weights, as an element.
inline std::uint32_t element_of(std::uint32_t byte) { return byte; }

inline std::uint32_t four_bytes(const void* p) {
  std::uint32_t v = 0;
  __builtin_memcpy(&v, p, sizeof v);
  return v;
}

/// 4 pixels of 16 channels, lane by lane, to 4 groups of 4 pixels.
inline __m512i groups_of_pixels(__m512i pixels) {
  const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
  return _mm512_permutexvar_epi32(order, pixels);
}

/// 16 pixels, or the first `count`, of 16 channels: one store a group.
inline void stage_block(const StageChannels& row, std::int64_t pixel, std::int64_t count, std::int64_t channel) {
  const __m512i offset = _mm512_set1_epi32(static_cast<int>(kOffset));
  const std::uint8_t* in = row.row + pixel * row.pixel_step + channel;
  __m512i four[4];
  for (int i = 0; i < 4; ++i) {
    if (4 * i >= count) {
      four[i] = _mm512_setzero_si512();
    } else if (row.pixel_step == kLanes && 4 * i + 4 <= count) {
      four[i] = _mm512_loadu_si512(in + 4 * i * row.pixel_step);
    } else {
      __m128i pixels[4];
      for (int k = 0; k < 4; ++k) {
        const std::int64_t p = 4 * i + k < count ? 4 * i + k : 4 * i;
        pixels[k] = _mm_loadu_si128(reinterpret_cast<const __m128i*>(in + p * row.pixel_step));
      }
      four[i] = _mm512_inserti64x4(_mm512_castsi256_si512(_mm256_set_m128i(pixels[1], pixels[0])),
                                   _mm256_set_m128i(pixels[3], pixels[2]), 1);
    }
    four[i] = groups_of_pixels(_mm512_xor_si512(four[i], offset));
  }
  const __m512i ab = _mm512_shuffle_i32x4(four[0], four[1], 0x44), cd = _mm512_shuffle_i32x4(four[2], four[3], 0x44);
  const __m512i ef = _mm512_shuffle_i32x4(four[0], four[1], 0xEE), gh = _mm512_shuffle_i32x4(four[2], four[3], 0xEE);
  const __mmask16 lanes = first_lanes(count);
  char* out = row.out + channel / kGroup * row.plane + (row.margin + pixel) * 4;
  _mm512_mask_storeu_epi32(out, lanes, _mm512_shuffle_i32x4(ab, cd, 0x88));
  _mm512_mask_storeu_epi32(out + row.plane, lanes, _mm512_shuffle_i32x4(ab, cd, 0xDD));
  _mm512_mask_storeu_epi32(out + 2 * row.plane, lanes, _mm512_shuffle_i32x4(ef, gh, 0x88));
  _mm512_mask_storeu_epi32(out + 3 * row.plane, lanes, _mm512_shuffle_i32x4(ef, gh, 0xDD));
}

void stage_channels(const StageChannels& row) {
  if (row.phases == 1 && row.channels % kLanes == 0 && row.margin + row.pixels <= row.columns) {
    for (std::int64_t p = 0; p < row.pixels; p += kLanes) {
      const std::int64_t count = row.pixels - p < kLanes ? row.pixels - p : kLanes;
      for (std::int64_t c = 0; c < row.channels; c += kLanes) stage_block(row, p, count, c);
    }
    return;
  }
  const std::int64_t whole = row.channels / kGroup, rest = row.channels % kGroup;
  // Counted, not divided: a division a pixel would cost more than the pixel.
  std::int64_t phase = row.margin % row.phases, column = row.margin / row.phases;
  for (std::int64_t p = 0; p < row.pixels; ++p) {
    const std::uint8_t* in = row.row + p * row.pixel_step;
    if (column < row.columns) {
      char* out = row.out + phase * row.phase_pitch + column * 4;
      for (std::int64_t g = 0; g < whole; ++g) {
        const std::uint32_t word = four_bytes(in + 4 * g) ^ kOffset;
        __builtin_memcpy(out + g * row.plane, &word, sizeof word);
      }
      if (rest != 0) {
        std::uint32_t word = 0;
        for (std::int64_t k = 0; k < rest; ++k) word |= (std::uint32_t{in[4 * whole + k]} ^ 0x80U) << (8 * k);
        __builtin_memcpy(out + whole * row.plane, &word, sizeof word);
      }
    }
    if (++phase == row.phases) {
      phase = 0;
      ++column;
    }
  }
}

/// 4 pixels of 16 channels -> 16 channels of 4 pixels.
inline __m512i channels_of_pixels(__m512i pixels) {
  alignas(64) static constexpr std::uint8_t kOrder[64] = {
      0,  16, 32, 48, 1,  17, 33, 49, 2,  18, 34, 50, 3,  19, 35, 51, 4,  20, 36, 52, 5,  21,
      37, 53, 6,  22, 38, 54, 7,  23, 39, 55, 8,  24, 40, 56, 9,  25, 41, 57, 10, 26, 42, 58,
      11, 27, 43, 59, 12, 28, 44, 60, 13, 29, 45, 61, 14, 30, 46, 62, 15, 31, 47, 63};
  return _mm512_permutexvar_epi8(_mm512_load_si512(kOrder), pixels);
}

void stage_pixels(const StagePixels& row) {
  const __m128i offset = _mm_set1_epi8(row.offset_binary ? static_cast<char>(-128) : char{0});
  for (std::int64_t p = 0; p < row.count; p += kGroup) {
    char* out = row.out + p / kGroup * row.lanes * 4;
    const std::int64_t first = row.first + p * row.step;
    const bool contiguous = row.step == 1 && row.pixel_step == kLanes && row.channels == kLanes &&
                            row.lanes == kLanes && first >= 0 && first + 3 < row.pixels && p + 3 < row.count;
    if (contiguous) {
      const __m512i pixels = _mm512_loadu_si512(row.row + first * row.pixel_step);
      _mm512_storeu_si512(out, channels_of_pixels(_mm512_xor_si512(pixels, _mm512_broadcast_i32x4(offset))));
      continue;
    }
    for (std::int64_t c = 0; c < row.lanes; c += kLanes) {
      const std::int64_t present = row.channels - c < kLanes ? row.channels - c : kLanes;
      const __mmask16 lanes = present <= 0 ? __mmask16{0} : first_lanes(present);
      __m128i four[4];
      for (int k = 0; k < 4; ++k) {
        const std::int64_t column = first + k * row.step;
        four[k] = _mm_setzero_si128();
        if (p + k < row.count && column >= 0 && column < row.pixels) {
          four[k] = _mm_maskz_loadu_epi8(lanes, row.row + column * row.pixel_step + c);
          four[k] = _mm_xor_si128(four[k], offset);
        }
      }
      const __m512i pixels = _mm512_inserti64x4(_mm512_castsi256_si512(_mm256_set_m128i(four[1], four[0])),
                                                _mm256_set_m128i(four[3], four[2]), 1);
      const std::int64_t stored = row.lanes - c < kLanes ? row.lanes - c : kLanes;
      _mm512_mask_storeu_epi32(out + 4 * c, first_lanes(stored), channels_of_pixels(pixels));
    }
  }
}

void channel_sums(const ChannelSums& row) {
  const __m512i ones = _mm512_set1_epi8(1);
  for (std::int64_t j = 0; j < row.columns; j += kLanes) {
    const __mmask16 lanes = first_lanes(row.columns - j < kLanes ? row.columns - j : kLanes);
    __m512i sum = _mm512_setzero_si512();
    for (std::int64_t g = 0; g < row.groups; ++g) {
      sum = _mm512_dpbusd_epi32(sum, ones, _mm512_maskz_loadu_epi32(lanes, row.x + g * row.plane + 4 * j));
    }
    _mm512_mask_storeu_epi32(row.sums + j, lanes, sum);
  }
}

/// The bytes of x are unsigned codes or code - 128: `present` picks them as the operand of the right signedness.
void pixel_sums(const PixelSums& row) {
  for (std::int64_t c = 0; c < row.lanes; c += kLanes) {
    const __mmask16 lanes = first_lanes(row.lanes - c < kLanes ? row.lanes - c : kLanes);
    __m512i sum = _mm512_setzero_si512();
    for (std::int64_t s = 0; s < row.steps; ++s) {
      const __m512i x = _mm512_maskz_loadu_epi32(lanes, row.x + (s * row.lanes + c) * 4);
      const __m512i present = _mm512_set1_epi32(static_cast<int>(four_bytes(row.present + 4 * s)));
      sum = row.is_signed ? _mm512_dpbusd_epi32(sum, present, x) : _mm512_dpbusd_epi32(sum, x, present);
    }
    for (std::int64_t k = 0; k < row.count; ++k) {
      std::int32_t* out = row.outs[k] + c;
      _mm512_mask_storeu_epi32(out, lanes, _mm512_add_epi32(sum, _mm512_maskz_loadu_epi32(lanes, out)));
    }
  }
}
