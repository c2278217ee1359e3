// SPDX-License-Identifier: Apache-2.0
// Staging for instruction sets that multiply pairs of signed 16-bit words: groups of two elements. Included inside an
// unnamed namespace of kernels_avx2.cpp and kernels_portable.cpp, after word_pairs_*.inl.

constexpr std::int64_t kGroup = 2;

/// A limb of packed weights, a byte or a whole word, as an element.
inline std::uint32_t element_of(std::uint32_t limb) { return limb; }

inline void put_pair(char* out, std::int32_t first, std::int32_t second) {
  const std::uint32_t pair = (static_cast<std::uint32_t>(first) & 0xFFFFU) | static_cast<std::uint32_t>(second) << 16;
  __builtin_memcpy(out, &pair, sizeof pair);
}
inline std::int32_t pair_at(const char* p) {
  std::int32_t pair = 0;
  __builtin_memcpy(&pair, p, sizeof pair);
  return pair;
}
inline std::int32_t first_of(const char* pair) {
  std::int16_t v = 0;
  __builtin_memcpy(&v, pair, sizeof v);
  return v;
}
inline std::int32_t second_of(const char* pair) { return first_of(pair + sizeof(std::int16_t)); }
inline Ints load_pairs(const char* p) { return load(reinterpret_cast<const std::int32_t*>(p)); }
inline void store_pairs(char* p, const Ints& x) { store(reinterpret_cast<std::int32_t*>(p), x); }

constexpr std::int64_t kChannelsOfBlock = 8;  // that stage_block() takes

/// 4 pixels of 8 channels to 4 groups of channels, each of 4 pixels.
inline void stage_block(const StageChannels& row, std::int64_t pixel, std::int64_t channel) {
  const __m128i zero = _mm_setzero_si128(), offset = _mm_set1_epi16(128);
  const std::uint8_t* in = row.row + pixel * row.pixel_step + channel;
  __m128i x[4];
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    const __m128i codes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(in + i * row.pixel_step));
    x[i] = _mm_sub_epi16(_mm_unpacklo_epi8(codes, zero), offset);
  }
  const __m128i a = _mm_unpacklo_epi32(x[0], x[1]), b = _mm_unpacklo_epi32(x[2], x[3]);
  const __m128i c = _mm_unpackhi_epi32(x[0], x[1]), d = _mm_unpackhi_epi32(x[2], x[3]);
  char* out = row.out + channel / kGroup * row.plane + (row.margin + pixel) * 4;
  store128(out, _mm_unpacklo_epi64(a, b));
  store128(out + row.plane, _mm_unpackhi_epi64(a, b));
  store128(out + 2 * row.plane, _mm_unpacklo_epi64(c, d));
  store128(out + 3 * row.plane, _mm_unpackhi_epi64(c, d));
}

void stage_channels(const StageChannels& row) {
  std::int64_t p = 0;
  if (row.phases == 1 && row.channels % kChannelsOfBlock == 0 && row.margin + row.pixels <= row.columns) {
    for (; p + 4 <= row.pixels; p += 4) {
      for (std::int64_t c = 0; c < row.channels; c += kChannelsOfBlock) stage_block(row, p, c);
    }
  }
  const std::int64_t whole = row.channels / kGroup;
  // Counted, not divided: a division a pixel would cost more than the pixel.
  std::int64_t phase = (row.margin + p) % row.phases, column = (row.margin + p) / row.phases;
  for (; p < row.pixels; ++p) {
    const std::uint8_t* in = row.row + p * row.pixel_step;
    if (column < row.columns) {
      char* out = row.out + phase * row.phase_pitch + column * 4;
      for (std::int64_t g = 0; g < whole; ++g) put_pair(out + g * row.plane, in[2 * g] - 128, in[2 * g + 1] - 128);
      if (row.channels % kGroup != 0) put_pair(out + whole * row.plane, in[2 * whole] - 128, 0);
    }
    if (++phase == row.phases) {
      phase = 0;
      ++column;
    }
  }
}

void stage_pixels(const StagePixels& row) {
  const std::int32_t offset = row.offset_binary ? 128 : 0;
  const Ints offsets = all_ints(offset * 0x10001);
  // What stands for code - offset = 0 where there is no pixel.
  const __m128i absent = _mm_set1_epi8(static_cast<char>(offset));
  for (std::int64_t p = 0; p < row.count; p += kGroup) {
    const std::int64_t first = row.first + p * row.step, second = first + row.step;
    const bool has_first = first >= 0 && first < row.pixels;
    const bool has_second = p + 1 < row.count && second >= 0 && second < row.pixels;
    const std::uint8_t* a = has_first ? row.row + first * row.pixel_step : nullptr;
    const std::uint8_t* b = has_second ? row.row + second * row.pixel_step : nullptr;
    char* out = row.out + p / kGroup * row.lanes * 4;
    std::int64_t c = 0;
    for (; c + kLanes <= row.channels; c += kLanes) {
      const __m128i x = has_first ? load128(a + c) : absent, y = has_second ? load128(b + c) : absent;
      store_pairs(out + c * 4, sub_words(pairs_of_bytes(x, y), offsets));
    }
    for (; c < row.channels; ++c) {
      put_pair(out + c * 4, has_first ? a[c] - offset : 0, has_second ? b[c] - offset : 0);
    }
    for (; c < row.lanes; ++c) put_pair(out + c * 4, 0, 0);
  }
}

void channel_sums(const ChannelSums& row) {
  const Ints ones = all_ints(0x10001);
  for (std::int64_t j = 0; j < row.columns; j += kLanes) {
    Ints sums = all_ints(0);
    for (std::int64_t g = 0; g < row.groups; ++g)
      sums = dot_words(sums, load_pairs(row.x + g * row.plane + 4 * j), ones);
    if (j + kLanes <= row.columns) {
      store(row.sums + j, sums);
    } else {
      store_lanes(row.sums + j, sums, Part{row.columns - j});
    }
  }
}

void pixel_sums(const PixelSums& row) {
  std::int64_t c = 0;
  for (; c + kLanes <= row.lanes; c += kLanes) {
    Ints sums = all_ints(0);
    for (std::int64_t s = 0; s < row.steps; ++s) {
      const Ints present = all_ints(pair_at(row.present + 4 * s));
      sums = dot_words(sums, load_pairs(row.x + (s * row.lanes + c) * 4), present);
    }
    for (std::int64_t k = 0; k < row.count; ++k) store(row.outs[k] + c, add(load(row.outs[k] + c), sums));
  }
  for (; c < row.lanes; ++c) {
    std::int32_t sum = 0;
    for (std::int64_t s = 0; s < row.steps; ++s) {
      const char* x = row.x + (s * row.lanes + c) * 4;
      sum += first_of(row.present + 4 * s) * first_of(x) + second_of(row.present + 4 * s) * second_of(x);
    }
    for (std::int64_t k = 0; k < row.count; ++k) row.outs[k][c] += sum;
  }
}
