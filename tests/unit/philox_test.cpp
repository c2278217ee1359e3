// SPDX-License-Identifier: Apache-2.0
#include "sim/number/philox.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>

namespace bitcycle {
namespace {

void expect_words(const PhiloxStream& stream, std::uint64_t block, std::uint32_t a, std::uint32_t b, std::uint32_t c,
                  std::uint32_t d) {
  const PhiloxBlock words = philox_block(stream, block);
  EXPECT_EQ(words.word[0], a);
  EXPECT_EQ(words.word[1], b);
  EXPECT_EQ(words.word[2], c);
  EXPECT_EQ(words.word[3], d);
}

TEST(Philox, gives_the_known_answers_of_random123) {
  expect_words({0, 0, 0}, 0, 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8);
  expect_words({0xFFFFFFFFFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF}, 0xFFFFFFFFFFFFFFFF, 0x408f276d, 0x41c83b0e, 0xa20bc7c6,
               0x6d5451fd);
  expect_words({0x299f31d0a4093822, 0x13198a2e, 0x03707344}, 0x85a308d3243f6a88, 0xd16cfe09, 0x94fdcceb, 0x5001e420,
               0x24126ea1);
}

TEST(Philox, an_element_is_a_lane_of_its_block) {
  const PhiloxStream stream = philox_stream(7, 3, RandomPurpose::kGradientRounding, 0xABCDEF);
  EXPECT_EQ(stream.purpose_and_tensor, 0x01ABCDEFU);
  for (std::uint64_t e = 0; e < 16; ++e) {
    EXPECT_EQ(philox_word(stream, e), philox_block(stream, e / 4).word[e % 4]);
  }
}

TEST(Philox, rounding_noise_lies_in_minus_half_to_half) {
  EXPECT_EQ(rounding_noise(0), -0.5F);
  EXPECT_EQ(rounding_noise(0xFFFFFFFF), 0.5F - 0x1p-24F);
  EXPECT_EQ(rounding_noise(0x80000000), 0.0F);
}

TEST(Philox, bounded_numbers_are_below_their_bound_and_evenly_spread) {
  const PhiloxStream stream = philox_stream(1, 0, RandomPurpose::kShuffle, 0);
  int counts[9] = {};
  constexpr int kDraws = 90000;
  for (std::uint64_t e = 0; e < kDraws; ++e) {
    const std::uint32_t value = bounded(philox_word(stream, e), 9);
    ASSERT_LT(value, 9U);
    ++counts[value];
  }
  for (const int count : counts) EXPECT_NEAR(count, kDraws / 9, 5 * std::sqrt(kDraws / 9.0));
}

}  // namespace
}  // namespace bitcycle
