// SPDX-License-Identifier: Apache-2.0
// Staging for vpdpbusd on 256 bits: groups of four bytes, signed ones holding code - 128. Included inside an unnamed
// namespace of kernels_avxvnni.cpp.

constexpr std::int64_t kGroup = 4;
constexpr std::uint32_t kOffset = 0x80808080U;

/// A byte of packed weights, as an element.
inline std::uint32_t element_of(std::uint32_t byte) { return byte; }

inline std::uint32_t four_bytes(const void* p) {
  std::uint32_t v = 0;
  __builtin_memcpy(&v, p, sizeof v);
  return v;
}

/// 4 pixels of 16 channels to 4 groups of channels, each of 4 pixels.
inline void stage_block(const StageChannels& row, std::int64_t pixel, std::int64_t channel) {
  const __m128i offset = _mm_set1_epi32(static_cast<int>(kOffset));
  const std::uint8_t* in = row.row + pixel * row.pixel_step + channel;
  __m128i x[4];
  for (int i = 0; i < 4; ++i) x[i] = _mm_xor_si128(load128(in + i * row.pixel_step), offset);
  const __m128i a = _mm_unpacklo_epi32(x[0], x[1]), b = _mm_unpacklo_epi32(x[2], x[3]);
  const __m128i c = _mm_unpackhi_epi32(x[0], x[1]), d = _mm_unpackhi_epi32(x[2], x[3]);
  char* out = row.out + channel / kGroup * row.plane + (row.margin + pixel) * 4;
  store128(out, _mm_unpacklo_epi64(a, b));
  store128(out + row.plane, _mm_unpackhi_epi64(a, b));
  store128(out + 2 * row.plane, _mm_unpacklo_epi64(c, d));
  store128(out + 3 * row.plane, _mm_unpackhi_epi64(c, d));
}

/// One pixel at its column.
inline void stage_pixel(const StageChannels& row, std::int64_t pixel, char* out) {
  const std::uint8_t* in = row.row + pixel * row.pixel_step;
  const std::int64_t whole = row.channels / kGroup, rest = row.channels % kGroup;
  for (std::int64_t g = 0; g < whole; ++g) {
    const std::uint32_t word = four_bytes(in + 4 * g) ^ kOffset;
    __builtin_memcpy(out + g * row.plane, &word, sizeof word);
  }
  if (rest == 0) return;
  std::uint32_t word = 0;
  for (std::int64_t k = 0; k < rest; ++k) word |= (std::uint32_t{in[4 * whole + k]} ^ 0x80U) << (8 * k);
  __builtin_memcpy(out + whole * row.plane, &word, sizeof word);
}

void stage_channels(const StageChannels& row) {
  std::int64_t pixel = 0;
  if (row.phases == 1 && row.channels % kLanes == 0 && row.margin + row.pixels <= row.columns) {
    for (; pixel + 4 <= row.pixels; pixel += 4) {
      for (std::int64_t c = 0; c < row.channels; c += kLanes) stage_block(row, pixel, c);
    }
  }
  // Counted, not divided: a division a pixel would cost more than the pixel.
  std::int64_t phase = (row.margin + pixel) % row.phases, column = (row.margin + pixel) / row.phases;
  for (; pixel < row.pixels; ++pixel) {
    if (column < row.columns) stage_pixel(row, pixel, row.out + phase * row.phase_pitch + column * 4);
    if (++phase == row.phases) {
      phase = 0;
      ++column;
    }
  }
}

/// The bytes of 16 channels, or of as many as there are.
inline __m128i channels_at(const std::uint8_t* in, std::int64_t present) {
  if (present >= kLanes) return load128(in);
  alignas(16) std::uint8_t bytes[kLanes] = {};
  for (std::int64_t i = 0; i < present; ++i) bytes[i] = in[i];
  return load128(bytes);
}

void stage_pixels(const StagePixels& row) {
  const __m128i offset = _mm_set1_epi8(row.offset_binary ? static_cast<char>(-128) : char{0});
  for (std::int64_t p = 0; p < row.count; p += kGroup) {
    char* out = row.out + p / kGroup * row.lanes * 4;
    const std::int64_t first = row.first + p * row.step;
    for (std::int64_t c = 0; c < row.lanes; c += kLanes) {
      const std::int64_t present = row.channels - c;
      __m128i x[4];
      for (int k = 0; k < 4; ++k) {
        const std::int64_t column = first + k * row.step;
        x[k] = _mm_setzero_si128();
        if (p + k < row.count && column >= 0 && column < row.pixels) {
          x[k] = _mm_xor_si128(channels_at(row.row + column * row.pixel_step + c, present), offset);
        }
      }
      const __m128i low[2] = {_mm_unpacklo_epi8(x[0], x[1]), _mm_unpacklo_epi8(x[2], x[3])};
      const __m128i high[2] = {_mm_unpackhi_epi8(x[0], x[1]), _mm_unpackhi_epi8(x[2], x[3])};
      const __m128i channels[4] = {_mm_unpacklo_epi16(low[0], low[1]), _mm_unpackhi_epi16(low[0], low[1]),
                                   _mm_unpacklo_epi16(high[0], high[1]), _mm_unpackhi_epi16(high[0], high[1])};
      for (int i = 0; i < 4 && c + 4 * i < row.lanes; ++i) store128(out + 4 * c + 16 * i, channels[i]);
    }
  }
}

inline std::int32_t sum_of_signed(std::uint32_t bytes) {
  std::int32_t sum = 0;
  for (int k = 0; k < 4; ++k) sum += static_cast<std::int8_t>(bytes >> (8 * k) & 0xFFU);
  return sum;
}

void channel_sums(const ChannelSums& row) {
  const __m256i ones = _mm256_set1_epi8(1);
  std::int64_t j = 0;
  for (; j + 8 <= row.columns; j += 8) {
    __m256i sum = _mm256_setzero_si256();
    for (std::int64_t g = 0; g < row.groups; ++g) {
      sum = _mm256_dpbusd_avx_epi32(sum, ones, load256(row.x + g * row.plane + 4 * j));
    }
    store256(row.sums + j, sum);
  }
  for (; j < row.columns; ++j) {
    std::int32_t sum = 0;
    for (std::int64_t g = 0; g < row.groups; ++g) sum += sum_of_signed(four_bytes(row.x + g * row.plane + 4 * j));
    row.sums[j] = sum;
  }
}

/// The bytes of x are unsigned codes or code - 128: `present` picks them as the operand of the right signedness. Lanes
/// come in fours.
void pixel_sums(const PixelSums& row) {
  for (std::int64_t c = 0; c < row.lanes; c += 4) {
    __m128i sum = _mm_setzero_si128();
    for (std::int64_t s = 0; s < row.steps; ++s) {
      const __m128i x = load128(row.x + (s * row.lanes + c) * 4);
      const __m128i present = _mm_set1_epi32(static_cast<int>(four_bytes(row.present + 4 * s)));
      sum = row.is_signed ? _mm_dpbusd_avx_epi32(sum, present, x) : _mm_dpbusd_avx_epi32(sum, x, present);
    }
    for (std::int64_t k = 0; k < row.count; ++k) {
      std::int32_t* out = row.outs[k] + c;
      store128(out, _mm_add_epi32(sum, load128(out)));
    }
  }
}
