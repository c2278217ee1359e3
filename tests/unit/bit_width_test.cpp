// SPDX-License-Identifier: Apache-2.0
#include "sim/number/bit_width.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <stdexcept>

namespace bitcycle {
namespace {

TEST(BitWidth, accepts_2_to_32_and_float32) {
  for (int bits = 2; bits <= 32; ++bits) {
    EXPECT_EQ(BitWidth::integer(bits).bits(), bits);
    EXPECT_EQ(BitWidth::parse(std::to_string(bits)), BitWidth::integer(bits));
  }
  EXPECT_TRUE(BitWidth::parse("float32").is_float32());
  EXPECT_EQ(BitWidth::float32().bits(), 32);
  EXPECT_FALSE(BitWidth::float32() == BitWidth::integer(32));
}

TEST(BitWidth, impossible_widths_are_errors_with_value_and_range) {
  for (const int bits : {-1, 0, 1, 33, 64}) {
    try {
      BitWidth::integer(bits);
      FAIL() << bits;
    } catch (const std::invalid_argument& error) {
      EXPECT_THAT(error.what(), ::testing::HasSubstr(std::to_string(bits)));
      EXPECT_THAT(error.what(), ::testing::HasSubstr("2..32"));
    }
  }
  for (const char* text : {"", "8.5", "8 ", "eight", "float16", "99999999999999"}) {
    EXPECT_THROW(BitWidth::parse(text), std::invalid_argument) << text;
  }
}

TEST(BitWidth, containers_change_above_8_and_16_bits) {
  EXPECT_EQ(BitWidth::integer(8).container(), Container::kUint8);
  EXPECT_EQ(BitWidth::integer(9).container(), Container::kUint16);
  EXPECT_EQ(BitWidth::integer(16).container(), Container::kUint16);
  EXPECT_EQ(BitWidth::integer(17).container(), Container::kUint32);
  EXPECT_EQ(BitWidth::integer(32).container(), Container::kUint32);
  EXPECT_EQ(BitWidth::float32().container(), Container::kFloat32);
  EXPECT_EQ(BitWidth::integer(2).max_code(), 3U);
  EXPECT_EQ(BitWidth::integer(32).max_code(), 0xFFFFFFFFU);
}

}  // namespace
}  // namespace bitcycle
