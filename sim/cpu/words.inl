// SPDX-License-Identifier: Apache-2.0
// Staging for instruction sets that multiply pairs of signed 16-bit words: groups of two elements. Included inside an
// unnamed namespace of kernels_avx2.cpp.

constexpr std::int64_t kGroup = 2;

/// A byte of packed weights, as an element.
inline std::uint32_t element_of(std::uint32_t byte) { return byte; }

inline void put_pair(char* out, std::int32_t first, std::int32_t second) {
  const std::uint32_t pair = (static_cast<std::uint32_t>(first) & 0xFFFFU) | static_cast<std::uint32_t>(second) << 16;
  __builtin_memcpy(out, &pair, sizeof pair);
}
inline std::int32_t first_of(const char* pair) {
  std::int16_t v = 0;
  __builtin_memcpy(&v, pair, sizeof v);
  return v;
}
inline std::int32_t second_of(const char* pair) { return first_of(pair + sizeof(std::int16_t)); }

void stage_channels(const StageChannels& row) {
  const std::int64_t whole = row.channels / kGroup;
  // Counted, not divided: a division a pixel would cost more than the pixel.
  std::int64_t phase = row.margin % row.phases, column = row.margin / row.phases;
  for (std::int64_t p = 0; p < row.pixels; ++p) {
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
  static constexpr std::uint8_t kNothing = 0;
  for (std::int64_t p = 0; p < row.count; p += kGroup) {
    const std::int64_t first = row.first + p * row.step, second = first + row.step;
    const bool has_first = first >= 0 && first < row.pixels;
    const bool has_second = p + 1 < row.count && second >= 0 && second < row.pixels;
    const std::uint8_t* a = has_first ? row.row + first * row.pixel_step : &kNothing;
    const std::uint8_t* b = has_second ? row.row + second * row.pixel_step : &kNothing;
    const std::int64_t step_a = has_first ? 1 : 0, step_b = has_second ? 1 : 0;
    const std::int32_t offset_a = has_first ? offset : 0, offset_b = has_second ? offset : 0;
    char* out = row.out + p / kGroup * row.lanes * 4;
    for (std::int64_t c = 0; c < row.channels; ++c)
      put_pair(out + c * 4, a[c * step_a] - offset_a, b[c * step_b] - offset_b);
    for (std::int64_t c = row.channels; c < row.lanes; ++c) put_pair(out + c * 4, 0, 0);
  }
}

void channel_sums(const ChannelSums& row) {
  for (std::int64_t j = 0; j < row.columns; ++j) row.sums[j] = 0;
  for (std::int64_t g = 0; g < row.groups; ++g) {
    const char* x = row.x + g * row.plane;
    for (std::int64_t j = 0; j < row.columns; ++j) row.sums[j] += first_of(x + 4 * j) + second_of(x + 4 * j);
  }
}

void pixel_sums(const PixelSums& row) {
  for (std::int64_t c = 0; c < row.lanes; ++c) {
    std::int32_t sum = 0;
    for (std::int64_t s = 0; s < row.steps; ++s) {
      const char* x = row.x + (s * row.lanes + c) * 4;
      sum += first_of(row.present + 4 * s) * first_of(x) + second_of(row.present + 4 * s) * second_of(x);
    }
    for (std::int64_t k = 0; k < row.count; ++k) row.outs[k][c] += sum;
  }
}
