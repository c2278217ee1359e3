// SPDX-License-Identifier: Apache-2.0
// Staging for machines whose fastest exact product of small integers is that of binary32: groups of one element, which
// is a float that holds an integer. Included inside an unnamed namespace of kernels_portable.cpp.

constexpr std::int64_t kGroup = 1;
/// Terms of at most 255 * 255 whose sum binary32 holds exactly: below 2^24.
constexpr std::int64_t kExactTerms = 256;

/// Four lanes, which every machine has (SSE2, NEON) or the compiler takes apart.
using Four = float __attribute__((vector_size(16)));
using FourInts = std::int32_t __attribute__((vector_size(16)));
constexpr int kFours = kLanes / 4;

inline Four load_four(const char* p) {
  Four v;
  __builtin_memcpy(&v, p, sizeof v);
  return v;
}
inline Four everywhere(float x) { return Four{x, x, x, x}; }

inline void put_float(char* out, std::int32_t value) {
  const auto number = static_cast<float>(value);
  __builtin_memcpy(out, &number, sizeof number);
}
inline float float_at(const char* p) {
  float value = 0.0F;
  __builtin_memcpy(&value, p, sizeof value);
  return value;
}
/// A byte of packed weights, as an element.
inline std::uint32_t element_of(std::uint32_t byte) {
  const auto number = static_cast<float>(byte);
  std::uint32_t bits = 0;
  __builtin_memcpy(&bits, &number, sizeof bits);
  return bits;
}

void stage_channels(const StageChannels& row) {
  // Counted, not divided: a division a pixel would cost more than the pixel.
  std::int64_t phase = row.margin % row.phases, column = row.margin / row.phases;
  for (std::int64_t p = 0; p < row.pixels; ++p) {
    const std::uint8_t* in = row.row + p * row.pixel_step;
    if (column < row.columns) {
      char* out = row.out + phase * row.phase_pitch + column * 4;
      for (std::int64_t c = 0; c < row.channels; ++c) put_float(out + c * row.plane, in[c] - 128);
    }
    if (++phase == row.phases) {
      phase = 0;
      ++column;
    }
  }
}

void stage_pixels(const StagePixels& row) {
  const std::int32_t offset = row.offset_binary ? 128 : 0;
  for (std::int64_t p = 0; p < row.count; ++p) {
    char* out = row.out + p * row.lanes * 4;
    const std::int64_t column = row.first + p * row.step;
    const bool exists = column >= 0 && column < row.pixels;
    const std::uint8_t* in = row.row + (exists ? column * row.pixel_step : 0);
    const std::int64_t channels = exists ? row.channels : 0;
    for (std::int64_t c = 0; c < channels; ++c) put_float(out + 4 * c, in[c] - offset);
    for (std::int64_t c = channels; c < row.lanes; ++c) put_float(out + 4 * c, 0);
  }
}

void channel_sums(const ChannelSums& row) {
  for (std::int64_t j = 0; j < row.columns; ++j) row.sums[j] = 0;
  for (std::int64_t g = 0; g < row.groups; ++g) {
    const char* x = row.x + g * row.plane;
    for (std::int64_t j = 0; j < row.columns; ++j) row.sums[j] += static_cast<std::int32_t>(float_at(x + 4 * j));
  }
}

/// Lanes come in fours.
void pixel_sums(const PixelSums& row) {
  for (std::int64_t c = 0; c < row.lanes; c += 4) {
    FourInts sum = {};
    for (std::int64_t s = 0; s < row.steps; ++s) {
      if (row.present[4 * s] != 0) {
        sum += __builtin_convertvector(load_four(row.x + (s * row.lanes + c) * 4), FourInts);
      }
    }
    for (std::int64_t k = 0; k < row.count; ++k) {
      FourInts total;
      __builtin_memcpy(&total, row.outs[k] + c, sizeof total);
      total += sum;
      __builtin_memcpy(row.outs[k] + c, &total, sizeof total);
    }
  }
}
