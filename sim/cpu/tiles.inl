// SPDX-License-Identifier: Apache-2.0
// Staging for tiles: pixels as they lie, code - 128 where there is one; for the weight gradient, bytes of neighbouring
// positions side by side. Included inside an unnamed namespace of kernels_amx.cpp, after bytes.inl.

void stage_channels_of_tiles(const StageChannels& row) {
  const std::int64_t pitch = (row.channels + kGroup - 1) / kGroup * kGroup;
  const __m512i offset = _mm512_set1_epi32(static_cast<int>(kOffset));
  char* out = row.out + row.margin * pitch;
  const auto copy = [&](const std::uint8_t* from, char* to, std::int64_t bytes) {
    for (std::int64_t i = 0; i < bytes; i += 64) {
      const __mmask64 some = bytes - i < 64 ? (__mmask64{1} << (bytes - i)) - 1 : ~__mmask64{0};
      _mm512_mask_storeu_epi8(to + i, some, _mm512_xor_si512(_mm512_maskz_loadu_epi8(some, from + i), offset));
    }
  };
  const std::int64_t pixels = row.pixels < row.columns - row.margin ? row.pixels : row.columns - row.margin;
  if (pixels <= 0) return;
  if (pitch == row.channels && row.pixel_step == row.channels) {
    copy(row.row, out, pixels * pitch);
    return;
  }
  for (std::int64_t p = 0; p < pixels; ++p) copy(row.row + p * row.pixel_step, out + p * pitch, row.channels);
}

void channel_sums_of_tiles(const ChannelSums& row) {
  const __m512i ones = _mm512_set1_epi8(1);
  const std::int64_t bytes = 4 * row.groups;
  for (std::int64_t column = 0; column < row.columns; ++column) {
    const char* x = row.x + column * bytes;
    __m512i sum = _mm512_setzero_si512();
    for (std::int64_t i = 0; i < bytes; i += 64) {
      const __mmask64 some = bytes - i < 64 ? (__mmask64{1} << (bytes - i)) - 1 : ~__mmask64{0};
      sum = _mm512_dpbusd_epi32(sum, ones, _mm512_maskz_loadu_epi8(some, x + i));
    }
    row.sums[column] = _mm512_reduce_add_epi32(sum);
  }
}

/// 16 channels of positions 4 * group..4 * group + 3, each channel's positions side by side.
inline __m512i four_positions(const std::uint8_t* const* pixels, std::int64_t channel) {
  const auto at = [&](int k) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(pixels[k] + channel)); };
  const __m512i four =
      _mm512_inserti64x4(_mm512_castsi256_si512(_mm256_set_m128i(at(1), at(0))), _mm256_set_m128i(at(3), at(2)), 1);
  return channels_of_pixels(four);
}

void stage_g_positions(const StagePositions& some) {
  for (std::int64_t group = 0; group < 16; ++group) {
    char* out = some.out + group * some.step * 4;
    for (std::int64_t c = 0; c < some.channels; c += kLanes) {
      _mm512_storeu_si512(out + 4 * c, four_positions(some.pixels + 4 * group, c));
    }
  }
}

/// Rows 0..15 of 16 words to columns.
inline void transpose_words(__m512i (&rows)[16]) {
  __m512i a[16];
#pragma GCC unroll 8
  for (int i = 0; i < 16; i += 2) {
    a[i] = _mm512_unpacklo_epi32(rows[i], rows[i + 1]);
    a[i + 1] = _mm512_unpackhi_epi32(rows[i], rows[i + 1]);
  }
  // Word j of rows 4 i.. 4 i + 3 in each quarter, columns 4 q + j.
#pragma GCC unroll 4
  for (int i = 0; i < 16; i += 4) {
    rows[i] = _mm512_unpacklo_epi64(a[i], a[i + 2]);
    rows[i + 1] = _mm512_unpackhi_epi64(a[i], a[i + 2]);
    rows[i + 2] = _mm512_unpacklo_epi64(a[i + 1], a[i + 3]);
    rows[i + 3] = _mm512_unpackhi_epi64(a[i + 1], a[i + 3]);
  }
#pragma GCC unroll 4
  for (int j = 0; j < 4; ++j) {
    const __m512i low01 = _mm512_shuffle_i32x4(rows[j], rows[4 + j], 0x44);
    const __m512i high01 = _mm512_shuffle_i32x4(rows[j], rows[4 + j], 0xEE);
    const __m512i low23 = _mm512_shuffle_i32x4(rows[8 + j], rows[12 + j], 0x44);
    const __m512i high23 = _mm512_shuffle_i32x4(rows[8 + j], rows[12 + j], 0xEE);
    a[j] = _mm512_shuffle_i32x4(low01, low23, 0x88);
    a[4 + j] = _mm512_shuffle_i32x4(low01, low23, 0xDD);
    a[8 + j] = _mm512_shuffle_i32x4(high01, high23, 0x88);
    a[12 + j] = _mm512_shuffle_i32x4(high01, high23, 0xDD);
  }
#pragma GCC unroll 16
  for (int i = 0; i < 16; ++i) rows[i] = a[i];
}

void stage_x_positions(const StagePositions& some) {
  const __m512i offset = _mm512_set1_epi32(static_cast<int>(kOffset));
  for (std::int64_t c = 0; c < some.channels; c += kLanes) {
    __m512i rows[16];
#pragma GCC unroll 16
    for (int group = 0; group < 16; ++group) {
      rows[group] = _mm512_xor_si512(four_positions(some.pixels + 4 * group, c), offset);
    }
    transpose_words(rows);
#pragma GCC unroll 16
    for (int i = 0; i < 16; ++i) _mm512_storeu_si512(some.out + (c + i) * some.step, rows[i]);
  }
}
