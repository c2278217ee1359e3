// SPDX-License-Identifier: Apache-2.0
// The affine quantiser at its edges (docs/numerics.md, section 2).
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "sim/number/philox.h"
#include "sim/ops/activation.h"
#include "sim/quantisers/affine.h"
#include "sim/reference/reference_library.h"
#include "tests/exact/library_fixture.h"

namespace bitcycle {
namespace {

Range range_of_tensor(const std::vector<float>& x) {
  ReferenceLibrary library;
  Range range;
  library.tensor_range(x.data(), static_cast<std::int64_t>(x.size()), &range);
  return range;
}

TEST(Quantiser, minus_zero_counts_as_plus_zero) {
  const Range range = range_of_tensor({-0.0F, -0.0F});
  EXPECT_FALSE(std::signbit(range.lo));
  EXPECT_FALSE(std::signbit(range.hi));
  EXPECT_FALSE(std::signbit(range_of_tensor({-0.0F, 1.0F}).lo));
  EXPECT_FALSE(std::signbit(range_of_tensor({-0.0F, -1.0F}).hi));
}

TEST(Quantiser, an_empty_tensor_has_range_zero) {
  const Range range = range_of_tensor({});
  EXPECT_EQ(range.lo, 0.0F);
  EXPECT_EQ(range.hi, 0.0F);
}

TEST(Quantiser, a_nan_anywhere_is_seen_in_the_range) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  for (const float value : {nan, -nan}) {
    for (std::size_t at = 0; at < 5; ++at) {
      std::vector<float> x{1.0F, -2.0F, 3.0F, 0.0F, 5.0F};
      x[at] = value;
      const Range range = range_of_tensor(x);
      EXPECT_TRUE(std::isnan(range.lo) || std::isnan(range.hi)) << at;
    }
  }
}

TEST(Quantiser, a_constant_tensor_has_code_zero_and_keeps_its_value) {
  for (int bits = 2; bits <= 32; ++bits) {
    const BitWidth width = BitWidth::integer(bits);
    const Affine affine = affine_of(Range{0.7F, 0.7F}, width, MinScale{});
    const std::uint32_t q = quantise(0.7F, affine, width, 0.0F);
    EXPECT_EQ(q, 0U) << bits;
    EXPECT_EQ(dequantise(q, affine), static_cast<double>(0.7F)) << bits;
    EXPECT_EQ(affine.step, bits <= 16 ? static_cast<double>(1e-8F) : 0.0) << bits;
    EXPECT_EQ(affine.step_bound, bits <= 16 ? 1U : 0U) << bits;
    // With a step of 0 noise changes nothing either.
    if (bits > 16) {
      EXPECT_EQ(quantise(0.7F, affine, width, 0.4F), 0U) << bits;
    }
  }
}

TEST(Quantiser, ties_go_to_even) {
  const BitWidth width = BitWidth::integer(3);
  const Affine affine = affine_of(Range{0.0F, 7.0F}, width, MinScale{});
  ASSERT_EQ(affine.step, 1.0);
  const float x[] = {0.5F, 1.5F, 2.5F, 3.5F, 4.5F, 5.5F, 6.5F};
  const std::uint32_t expected[] = {0, 2, 2, 4, 4, 6, 6};
  for (std::size_t i = 0; i < 7; ++i) EXPECT_EQ(quantise(x[i], affine, width, 0.0F), expected[i]) << x[i];
}

TEST(Quantiser, min_scale_binds_for_a_narrow_16_bit_gradient) {
  const Affine bound = affine_of(Range{-1e-4F, 1e-4F}, BitWidth::integer(16), MinScale{});
  EXPECT_EQ(bound.step_bound, 1U);
  EXPECT_EQ(bound.step, static_cast<double>(1e-8F));
  const std::uint32_t top = quantise(1e-4F, bound, BitWidth::integer(16), 0.0F);
  EXPECT_NEAR(static_cast<double>(top), 20000.0, 1.0);
  const Affine free = affine_of(Range{-1e-3F, 1e-3F}, BitWidth::integer(16), MinScale{});
  EXPECT_EQ(free.step_bound, 0U);
  const Affine wide = affine_of(Range{-1e-4F, 1e-4F}, BitWidth::integer(17), MinScale{});
  EXPECT_EQ(wide.step_bound, 0U);
  const Affine wide_bound = affine_of(Range{-1e-4F, 1e-4F}, BitWidth::integer(17), MinScale{1e-8F, 1e-8});
  EXPECT_EQ(wide_bound.step_bound, 1U);
}

TEST(Quantiser, extremes_have_the_extreme_codes_at_every_width) {
  for (int bits = 2; bits <= 32; ++bits) {
    const BitWidth width = BitWidth::integer(bits);
    for (const Range range : {Range{-1.0F, 2.0F}, Range{0.0F, 0.1F}, Range{-3e4F, -1e4F}, Range{1e-3F, 7.3F}}) {
      const Affine affine = affine_of(range, width, MinScale{});
      EXPECT_EQ(quantise(range.lo, affine, width, 0.0F), 0U) << bits;
      EXPECT_EQ(quantise(range.hi, affine, width, 0.0F), width.max_code()) << bits;
      EXPECT_EQ(quantise(range.lo - 1.0F, affine, width, 0.0F), 0U) << bits;
      EXPECT_EQ(quantise(range.hi * 2.0F + 1e5F, affine, width, 0.0F), width.max_code()) << bits;
    }
  }
}

TEST(Quantiser, values_are_within_half_a_step_and_codes_are_monotone) {
  const std::vector<float> x = test::random_normal(500, 3);
  const Range range = range_of_tensor(x);
  for (int bits = 2; bits <= 32; ++bits) {
    const BitWidth width = BitWidth::integer(bits);
    const Affine affine = affine_of(range, width, MinScale{});
    // Binary32 rounds x - lo, the quotient and s itself: some units of 2^-24 of the range besides the half step.
    const double rounding = bits <= 16 ? 4.0 * 0x1p-24 * range_of(range, width) : 1e-12;
    for (std::size_t i = 0; i < x.size(); ++i) {
      const std::uint32_t q = quantise(x[i], affine, width, 0.0F);
      EXPECT_NEAR(dequantise(q, affine), static_cast<double>(x[i]), 0.5 * affine.step + rounding) << bits;
      const std::size_t j = (i + 1) % x.size();
      const std::uint32_t other = quantise(x[j], affine, width, 0.0F);
      EXPECT_TRUE(x[i] <= x[j] ? q <= other : q >= other) << bits;
    }
  }
}

TEST(Quantiser, arithmetic_changes_from_binary32_to_binary64_above_16_bits) {
  const Range range{-0.3F, 0.9F};
  const Affine narrow = affine_of(range, BitWidth::integer(16), MinScale{});
  EXPECT_EQ(narrow.step, static_cast<double>((0.9F - -0.3F) / 65535.0F));
  const Affine wide = affine_of(range, BitWidth::integer(17), MinScale{});
  EXPECT_EQ(wide.step, (static_cast<double>(0.9F) - static_cast<double>(-0.3F)) / 131071.0);
  const Affine widest = affine_of(range, BitWidth::integer(32), MinScale{});
  EXPECT_EQ(widest.step, (static_cast<double>(0.9F) - static_cast<double>(-0.3F)) / 4294967295.0);
  EXPECT_EQ(widest.max_code, 4294967295U);
}

TEST(Quantiser, stochastic_rounding_is_right_on_average) {
  const PhiloxStream stream = philox_stream(5, 9, RandomPurpose::kGradientRounding, 42);
  constexpr int kDraws = 1 << 16;
  for (const int bits : {8, 24}) {
    const BitWidth width = BitWidth::integer(bits);
    const Affine affine = affine_of(Range{0.0F, static_cast<float>(width.max_code())}, width, MinScale{});
    for (const double fraction : {0.125, 0.3, 0.5, 0.9}) {
      const auto x = static_cast<float>(100.0 + fraction);
      double sum = 0.0;
      for (std::uint64_t e = 0; e < kDraws; ++e) {
        sum += dequantise(quantise(x, affine, width, rounding_noise(philox_word(stream, e))), affine);
      }
      const double deviation = std::sqrt(fraction * (1.0 - fraction) / kDraws);
      EXPECT_NEAR(sum / kDraws, static_cast<double>(x), 4.0 * deviation) << bits << " " << fraction;
    }
  }
}

TEST(Quantiser, nan_has_code_zero) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  for (const int bits : {8, 16, 17, 32}) {
    const BitWidth width = BitWidth::integer(bits);
    EXPECT_EQ(quantise(nan, affine_of(Range{-1.0F, 1.0F}, width, MinScale{}), width, 0.0F), 0U) << bits;
  }
}

TEST(GradientScale, zero_on_grid_gives_zero_a_code_that_stands_for_exactly_zero) {
  for (int bits = 2; bits <= 32; ++bits) {
    const BitWidth width = BitWidth::integer(bits);
    for (const Range range : {Range{-0.37F, 0.91F}, Range{0.2F, 0.9F}, Range{-0.9F, -0.1F}, Range{-3e-5F, 1e-5F},
                              Range{-1e-6F, 123.4F}, Range{0.0F, 0.0F}}) {
      const Affine affine = gradient_affine(range, width, MinScale{}, true);
      const std::uint32_t zero = quantise(0.0F, affine, width, 0.0F);
      EXPECT_EQ(dequantise(zero, affine), 0.0) << bits << " " << range.lo;
      // The range stays covered, up to the half step by which the grid was moved.
      const double top = dequantise(affine.max_code, affine);
      EXPECT_GE(top, static_cast<double>(range.hi) - 0.51 * affine.step) << bits;
      EXPECT_LE(affine.lo, static_cast<double>(range.lo) + 0.51 * affine.step) << bits;
    }
  }
}

TEST(GradientScale, without_zero_on_grid_the_range_is_the_tensors_own) {
  const Affine affine = gradient_affine(Range{0.2F, 0.9F}, BitWidth::integer(8), MinScale{}, false);
  EXPECT_EQ(affine.lo, static_cast<double>(0.2F));
  EXPECT_EQ(affine.step, static_cast<double>((0.9F - 0.2F) / 255.0F));
}

TEST(ActivationScale, keeps_a_running_state_that_evaluation_uses) {
  ReferenceLibrary library;
  const Range now{0.5F, 3.5F};
  float running[2] = {0.0F, 0.0F};
  Affine affine;
  ActivationScale args;
  args.now = &now;
  args.running = running;
  args.width = BitWidth::integer(4);
  args.affine = &affine;
  library.activation_scale(args);
  EXPECT_EQ(affine.lo, 0.5);
  EXPECT_EQ(affine.step, static_cast<double>(3.0F / 15.0F));
  EXPECT_EQ(running[0], 0.9F * 0.0F + 0.1F * 0.5F);
  EXPECT_EQ(running[1], 0.1F * 3.0F);
  library.activation_scale(args);
  const float zero_point = 0.9F * (0.1F * 0.5F), kept = 0.9F * (0.1F * 3.0F);
  EXPECT_EQ(running[0], zero_point + 0.1F * 0.5F);
  EXPECT_EQ(running[1], kept + 0.1F * 3.0F);

  args.training = false;
  const float before[2] = {running[0], running[1]};
  library.activation_scale(args);
  EXPECT_EQ(affine.lo, static_cast<double>(before[0]));
  EXPECT_EQ(affine.step, static_cast<double>(before[1] / 15.0F));
  EXPECT_EQ(running[0], before[0]);
  EXPECT_EQ(running[1], before[1]);
}

}  // namespace
}  // namespace bitcycle
