// SPDX-License-Identifier: Apache-2.0
// Shapes, widths and random operands on which every library is compared with the reference, to the bit. Each shape is
// listed with the reason why it is there.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include "sim/device/kernel_library.h"
#include "sim/number/philox.h"

namespace bitcycle::test {

struct NamedShape {
  const char* reason;
  ConvShape shape;
};
inline void PrintTo(const NamedShape& named, std::ostream* out) { *out << named.shape.text(); }

inline ConvShape conv_shape(std::int64_t n, std::int64_t h, std::int64_t w, std::int64_t c, std::int64_t o,
                            std::int64_t k, std::int64_t stride, std::int64_t padding, std::int64_t groups = 1) {
  ConvShape s;
  s.n = n;
  s.h = h;
  s.w = w;
  s.c = c;
  s.o = o;
  s.kh = k;
  s.kw = k;
  s.stride = stride;
  s.padding = padding;
  s.groups = groups;
  return s;
}

inline ConvShape rectangular_shape() {
  ConvShape s = conv_shape(2, 5, 9, 6, 10, 3, 1, 1);
  s.kh = 5;
  s.kw = 2;
  return s;
}

inline ConvShape rectangular_shape_of_16() {
  ConvShape s = conv_shape(2, 9, 14, 16, 16, 3, 2, 1);
  s.kh = 2;
  s.kw = 5;
  return s;
}

inline std::vector<NamedShape> backend_shapes() {
  return {
      {"stage1", conv_shape(2, 32, 32, 16, 16, 3, 1, 1)},
      {"stage2", conv_shape(3, 16, 16, 32, 32, 3, 1, 1)},
      {"stage3", conv_shape(5, 8, 8, 64, 64, 3, 1, 1)},
      {"stem_three_channels", conv_shape(2, 32, 32, 3, 16, 3, 1, 1)},
      {"stage_entry_stride2", conv_shape(2, 16, 16, 16, 32, 3, 2, 1)},
      {"shortcut_1x1_stride2", conv_shape(2, 16, 16, 16, 32, 1, 2, 0)},
      {"odd_size_stride2", conv_shape(2, 9, 7, 16, 24, 3, 2, 1)},
      {"bottleneck_1x1", conv_shape(2, 8, 8, 64, 16, 1, 1, 0)},
      {"bottleneck_1x1_wide", conv_shape(2, 8, 8, 16, 64, 1, 1, 0)},
      {"projection_in_blocks", conv_shape(3, 5, 4, 140, 270, 1, 2, 0)},
      {"linear_layer", conv_shape(37, 1, 1, 64, 10, 1, 1, 0)},
      {"single_everything", conv_shape(1, 1, 1, 1, 1, 1, 1, 0)},
      {"odd_channels", conv_shape(2, 7, 5, 5, 7, 3, 1, 1)},
      {"channels_above_64", conv_shape(1, 6, 6, 72, 80, 3, 1, 1)},
      {"seven_by_seven_stem", conv_shape(1, 20, 20, 3, 8, 7, 2, 3)},
      {"no_padding", conv_shape(2, 8, 8, 16, 16, 3, 1, 0)},
      {"wide_padding", conv_shape(1, 4, 4, 4, 4, 3, 1, 2)},
      {"stride3_leaves_rows_unread", conv_shape(2, 10, 10, 8, 8, 2, 3, 0)},
      {"kernel_covers_input", conv_shape(3, 4, 4, 8, 12, 4, 1, 0)},
      {"rectangular", rectangular_shape()},
      // What CUDA cuts into patches: in width and in height with something left over, several images with some left
      // over, more taps than a group of columns, odd slices, windows that lie outside the image.
      {"rectangular_of_16", rectangular_shape_of_16()},
      {"wide_image", conv_shape(1, 2, 301, 16, 16, 3, 1, 1)},
      {"tall_image", conv_shape(2, 45, 19, 16, 16, 3, 1, 1)},
      {"five_by_five", conv_shape(1, 11, 13, 16, 32, 5, 1, 2)},
      {"patches_cut_in_width", conv_shape(1, 3, 150, 16, 20, 3, 1, 1)},
      {"patches_cut_in_width_stride2", conv_shape(2, 4, 259, 16, 12, 3, 2, 1)},
      {"patches_of_many_images", conv_shape(37, 3, 4, 16, 16, 3, 1, 1)},
      {"patches_of_single_pixels", conv_shape(1100, 1, 1, 16, 12, 1, 1, 0)},
      {"odd_number_of_slices", conv_shape(2, 6, 7, 48, 48, 3, 1, 1)},
      {"kernel_larger_than_input", conv_shape(3, 3, 3, 16, 16, 5, 1, 2)},
      {"padding_larger_than_kernel", conv_shape(2, 5, 5, 16, 16, 3, 1, 4)},
      {"many_channels_of_few_pixels", conv_shape(1, 5, 5, 256, 8, 3, 1, 1)},
      // Slices of channels in the place of taps: eight and two a block, an odd number of pixels, images left over.
      {"slices_of_1x1", conv_shape(3, 7, 5, 256, 32, 1, 1, 0)},
      {"slices_of_1x1_stride2", conv_shape(5, 9, 7, 96, 48, 1, 2, 0)},
      {"groups2", conv_shape(2, 8, 8, 16, 32, 3, 1, 1, 2)},
      // Slices of pixels: of three channels too few to be worth it, odd ones, four, a block and a rest, no neighbours.
      {"groups4_of_3", conv_shape(2, 6, 6, 12, 16, 3, 1, 1, 4)},
      {"groups3_odd_stride2", conv_shape(3, 9, 7, 15, 21, 3, 2, 1, 3)},
      {"groups8_of_4", conv_shape(1, 6, 6, 32, 32, 3, 1, 1, 8)},
      {"groups2_above_16", conv_shape(1, 5, 6, 40, 72, 3, 1, 1, 2)},
      {"groups2_1x1", conv_shape(5, 4, 3, 16, 24, 1, 1, 0, 2)},
      {"depthwise", conv_shape(2, 7, 7, 24, 24, 3, 1, 1, 24)},
      // Channels are lanes of 16: one, one fewer, as many, one more, many; a prime map; strides; odd widths, whose last
      // pair of positions has one; edges on every side.
      {"depthwise_2_channels", conv_shape(1, 5, 6, 2, 2, 3, 1, 1, 2)},
      {"depthwise_15_channels", conv_shape(2, 8, 8, 15, 15, 3, 1, 1, 15)},
      {"depthwise_16_channels_stride2", conv_shape(2, 8, 8, 16, 16, 3, 2, 1, 16)},
      {"depthwise_17_channels", conv_shape(3, 11, 13, 17, 17, 3, 1, 1, 17)},
      {"depthwise_odd_stride2", conv_shape(2, 13, 11, 33, 33, 3, 2, 1, 33)},
      {"depthwise_many_channels", conv_shape(1, 4, 4, 320, 320, 3, 1, 1, 320)},
      {"depthwise_single_pixel", conv_shape(3, 1, 1, 48, 48, 3, 1, 1, 48)},
      // Rows of neighbouring outputs with all their taps, two at a time: none, one, some and one left over; two of four
      // columns beyond the last one; strides of two and three, which leave columns of one kind, or of both.
      {"depthwise_rows_of_15", conv_shape(1, 2, 15, 16, 16, 3, 1, 1, 16)},
      {"depthwise_rows_of_17", conv_shape(1, 3, 17, 32, 32, 3, 1, 1, 32)},
      {"depthwise_rows_of_33", conv_shape(1, 2, 33, 16, 16, 3, 1, 1, 16)},
      {"depthwise_rows_of_33_stride2", conv_shape(1, 3, 33, 16, 16, 3, 2, 1, 16)},
      {"depthwise_rows_of_6_without_padding", conv_shape(1, 4, 6, 16, 16, 3, 1, 0, 16)},
      {"depthwise_rows_of_16_stride3", conv_shape(1, 4, 16, 16, 16, 3, 3, 1, 16)},
      {"depthwise_one_column", conv_shape(1, 5, 1, 16, 16, 3, 1, 1, 16)},
      {"depthwise_1x1", conv_shape(2, 3, 5, 20, 20, 1, 1, 0, 20)},
      {"depthwise_no_padding", conv_shape(1, 6, 7, 16, 16, 3, 1, 0, 16)},
      {"depthwise_5x5_stride2", conv_shape(1, 9, 12, 24, 24, 5, 2, 2, 24)},
      {"depthwise_2x2_stride3", conv_shape(2, 10, 10, 8, 8, 2, 3, 0, 8)},
      {"depthwise_padding_above_kernel", conv_shape(1, 5, 5, 16, 16, 3, 2, 4, 16)},
      {"depthwise_multiplier2_stride2", conv_shape(2, 9, 9, 8, 16, 3, 2, 1, 8)},
      {"empty_batch", conv_shape(0, 8, 8, 16, 16, 3, 1, 1)},
  };
}

/// Widths of one product: forward operands, gradient.
struct WidthPair {
  BitWidth forward, gradient;
};

/// Every container and every boundary between arithmetics: 2, 8|9, 16|17, 32, float32, and mixtures (1.5).
inline std::vector<WidthPair> backend_widths() {
  const auto pair = [](int b, int g) { return WidthPair{BitWidth::integer(b), BitWidth::integer(g)}; };
  return {pair(2, 8),
          pair(3, 8),
          pair(8, 8),
          pair(4, 6),
          pair(8, 16),
          pair(9, 9),
          pair(16, 16),
          pair(17, 16),
          pair(24, 32),
          pair(32, 32),
          {BitWidth::float32(), BitWidth::float32()},
          {BitWidth::integer(8), BitWidth::float32()},
          {BitWidth::float32(), BitWidth::integer(8)}};
}

inline std::string name_of(const WidthPair& w) { return w.forward.text() + "_" + w.gradient.text(); }

/// Random numbers of a test: a stream of Philox words, the same everywhere.
class TestRandom {
 public:
  explicit TestRandom(std::uint64_t seed) : stream_(philox_stream(seed, 0, RandomPurpose::kSyntheticData, 0)) {}
  std::uint32_t word() { return philox_word(stream_, next_++); }
  std::uint32_t below(std::uint32_t bound) { return bounded(word(), bound); }
  /// In [-1, 1), 24 bits.
  float uniform() { return static_cast<float>(word() >> 8) * 0x1p-23F - 1.0F; }
  /// Nearly normal: the sum of three uniforms.
  float normal() {
    const float a = uniform();
    const float b = uniform();
    return a + b + uniform();
  }

 private:
  PhiloxStream stream_;
  std::uint64_t next_ = 0;
};

inline std::vector<float> random_normal(std::int64_t size, std::uint64_t seed, float scale = 1.0F) {
  TestRandom random(seed);
  std::vector<float> values(static_cast<std::size_t>(size));
  for (float& v : values) v = scale * random.normal();
  return values;
}

/// What a rectifier leaves: half of it +0.
inline std::vector<float> random_rectified(std::int64_t size, std::uint64_t seed, float scale = 1.0F) {
  std::vector<float> values = random_normal(size, seed, scale);
  for (float& v : values) v = v > 0.0F ? v : 0.0F;
  return values;
}

template <typename T>
Buffer upload(KernelLibrary& library, const std::vector<T>& values) {
  Buffer buffer(library, values.size() * sizeof(T));
  if (!values.empty()) library.to_device(buffer.as<T>(), values.data(), buffer.bytes());
  return buffer;
}

template <typename T>
std::vector<T> download(KernelLibrary& library, const T* device, std::int64_t count) {
  std::vector<T> values(static_cast<std::size_t>(count));
  library.synchronise();
  if (count != 0) library.to_host(values.data(), device, values.size() * sizeof(T));
  return values;
}

template <typename T>
std::vector<T> download(KernelLibrary& library, const Buffer& buffer) {
  return download(library, buffer.as<T>(), static_cast<std::int64_t>(buffer.bytes() / sizeof(T)));
}

/// Codes for a tensor in the width's container, uninitialised meaning.
inline Buffer code_buffer(KernelLibrary& library, BitWidth width, std::int64_t size) {
  return Buffer(library, static_cast<std::size_t>(size) * bytes_of(width.container()));
}

/// Codes as 32-bit numbers, whatever the container; float32: the bits.
inline std::vector<std::uint32_t> download_codes(KernelLibrary& library, const Buffer& codes, BitWidth width) {
  std::vector<std::uint32_t> out;
  if (width.container() == Container::kUint8) {
    for (const auto q : download<std::uint8_t>(library, codes)) out.push_back(q);
  } else if (width.container() == Container::kUint16) {
    for (const auto q : download<std::uint16_t>(library, codes)) out.push_back(q);
  } else {
    out = download<std::uint32_t>(library, codes);
  }
  return out;
}

/// Writes given codes (as 32-bit numbers) into the container.
inline Buffer upload_codes(KernelLibrary& library, const std::vector<std::uint32_t>& codes, BitWidth width) {
  if (width.container() == Container::kUint8) {
    return upload(library, std::vector<std::uint8_t>(codes.begin(), codes.end()));
  }
  if (width.container() == Container::kUint16) {
    return upload(library, std::vector<std::uint16_t>(codes.begin(), codes.end()));
  }
  return upload(library, codes);
}

/// Equal bits, so that -0 differs from +0 and a NaN equals itself; names the first element that differs.
template <typename T>
::testing::AssertionResult same_bits(const std::vector<T>& expected, const std::vector<T>& actual) {
  if (expected.size() != actual.size()) {
    return ::testing::AssertionFailure() << "sizes " << expected.size() << " and " << actual.size();
  }
  for (std::size_t i = 0; i < expected.size(); ++i) {
    if (std::memcmp(&expected[i], &actual[i], sizeof(T)) != 0) {
      auto failure = ::testing::AssertionFailure();
      failure << "element " << i << " of " << expected.size() << " differs";
      if constexpr (std::is_arithmetic_v<T>) failure << ": expected " << +expected[i] << ", is " << +actual[i];
      return failure;
    }
  }
  return ::testing::AssertionSuccess();
}

}  // namespace bitcycle::test
