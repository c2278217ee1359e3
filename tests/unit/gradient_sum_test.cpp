// SPDX-License-Identifier: Apache-2.0
// Where gradients meet: two contributions, the rectifier's mask in its three forms, and the sums of two norms.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <vector>

#include "sim/ops/norm.h"
#include "sim/reference/reference_library.h"
#include "tests/exact/library_fixture.h"

namespace bitcycle {
namespace {

constexpr std::int64_t kSamples = 4, kPositions = 9, kChannels = 5;
constexpr std::int64_t kSize = kSamples * kPositions * kChannels;

class GradientSumTest : public ::testing::Test {
 protected:
  GradientSumTest() {
    for (std::size_t c = 0; c < kChannels; ++c) {
      norm_[c].mean = 0.1F * static_cast<float>(c);
      norm_[c].inverse_deviation = 0.8F;
      norm_[c].a = c % 2 == 0 ? 0.9F : -1.1F;
      norm_[c].beta = 0.05F;
      norm_[c].t_bound = 4.0F;
    }
    gradient_sum_.u = u_.data();
    gradient_sum_.u_bound = &u_bound_;
  }

  void run() {
    AveragePoolBackward args;
    args.n = kSamples;
    args.positions = kPositions;
    args.channels = kChannels;
    args.dpooled = dpooled_.data();
    args.dx = dx_.data();
    args.gradient_sum = &gradient_sum_;
    ReferenceLibrary().average_pool_backward(args);
  }

  float first(std::size_t e) const {
    return dpooled_[e / (kPositions * kChannels) * kChannels + e % kChannels] / static_cast<float>(kPositions);
  }

  std::vector<float> dpooled_ = test::random_normal(kSamples * kChannels, 1);
  std::vector<float> other_ = test::random_normal(kSize, 2);
  std::vector<float> y_ = test::random_normal(kSize, 3);
  std::vector<float> dx_ = std::vector<float>(kSize), u_ = std::vector<float>(kSize, 99.0F);
  std::vector<NormChannel> norm_ = std::vector<NormChannel>(kChannels);
  float u_bound_ = -1.0F;
  GradientSum gradient_sum_;
};

TEST_F(GradientSumTest, the_pool_spreads_its_gradient_evenly) {
  run();
  for (std::size_t e = 0; e < kSize; ++e) {
    EXPECT_EQ(dx_[e], first(e));
    EXPECT_EQ(u_[e], first(e));
  }
}

TEST_F(GradientSumTest, contributions_are_added_then_masked_by_the_recomputed_rectifier) {
  float other_bound = 0.0F;
  for (const float v : other_) other_bound = std::max(other_bound, std::fabs(v));
  gradient_sum_.other = other_.data();
  gradient_sum_.other_bound = &other_bound;
  gradient_sum_.mask_y = y_.data();
  gradient_sum_.mask_norm = norm_.data();
  run();
  float largest = 0.0F;
  for (std::size_t e = 0; e < kSize; ++e) {
    const float expected = norm_apply(y_[e], norm_[e % kChannels]) > 0.0F ? first(e) + other_[e] : 0.0F;
    EXPECT_EQ(u_[e], expected) << e;
    largest = std::max(largest, std::fabs(expected));
  }
  EXPECT_EQ(u_bound_, largest);
}

TEST_F(GradientSumTest, a_saved_mask_gives_the_same_as_a_recomputed_one) {
  std::vector<std::uint32_t> mask((kSize + 31) / 32, 0);
  for (std::size_t e = 0; e < kSize; ++e) {
    if (norm_apply(y_[e], norm_[e % kChannels]) > 0.0F) mask[e / 32] |= 1U << (e % 32);
  }
  gradient_sum_.mask_y = y_.data();
  gradient_sum_.mask_norm = norm_.data();
  run();
  const std::vector<float> recomputed = u_;
  gradient_sum_.mask_y = nullptr;
  gradient_sum_.mask_norm = nullptr;
  gradient_sum_.mask_bits = mask.data();
  run();
  EXPECT_TRUE(test::same_bits(recomputed, u_));
}

TEST_F(GradientSumTest, sums_of_both_norms_equal_binary64) {
  const std::vector<float> shortcut_y = test::random_normal(kSize, 4, 2.0F);
  std::vector<NormGradientSums> sums(kChannels), shortcut_sums(kChannels);
  gradient_sum_.norm[0] = {y_.data(), norm_.data(), sums.data()};
  gradient_sum_.norm[1] = {shortcut_y.data(), norm_.data(), shortcut_sums.data()};
  for (NormChannel& channel : norm_) channel.t_bound = 7.0F;
  run();
  for (std::size_t c = 0; c < kChannels; ++c) {
    double s_u = 0.0, s_ut = 0.0, shortcut_s_ut = 0.0;
    for (std::size_t p = 0; p < kSamples * kPositions; ++p) {
      const std::size_t e = p * kChannels + c;
      const auto u = static_cast<double>(u_[e]);
      s_u += u;
      s_ut += u * static_cast<double>(y_[e] - norm_[c].mean);
      shortcut_s_ut += u * static_cast<double>(shortcut_y[e] - norm_[c].mean);
    }
    EXPECT_NEAR(sum_value(sums[c].s_u, sums[c].exponent_u), s_u, 1e-10);
    EXPECT_NEAR(sum_value(sums[c].s_ut, sums[c].exponent_ut), s_ut, 1e-5);
    EXPECT_EQ(shortcut_sums[c].s_u, sums[c].s_u);
    EXPECT_NEAR(sum_value(shortcut_sums[c].s_ut, shortcut_sums[c].exponent_ut), shortcut_s_ut, 1e-5);
  }
}

}  // namespace
}  // namespace bitcycle
