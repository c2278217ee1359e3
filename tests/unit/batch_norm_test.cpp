// SPDX-License-Identifier: Apache-2.0
// Batch norm forward and backward against binary64, and its gradients against finite differences. Statistics come the
// way a network makes them: from a convolution, here a 1x1 float32 one with the identity as weights.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <functional>
#include <vector>

#include "sim/ops/norm.h"
#include "sim/reference/reference_library.h"
#include "tests/exact/library_fixture.h"

namespace bitcycle {
namespace {

constexpr std::int64_t kPositions = 60, kChannels = 3;

/// y with channels of different means and deviations, some of the deviations small beside the mean.
std::vector<float> channel_values() {
  std::vector<float> y = test::random_normal(kPositions * kChannels, 21);
  const float scale[kChannels] = {1.0F, 0.02F, 7.0F}, shift[kChannels] = {0.3F, 2.0F, -5.0F};
  for (std::size_t e = 0; e < y.size(); ++e) y[e] = y[e] * scale[e % kChannels] + shift[e % kChannels];
  return y;
}

/// The batch norm of y in training, with its running state.
struct TrainedNorm {
  std::vector<float> y;
  std::vector<float> gamma{1.3F, -0.7F, 0.4F}, beta{0.1F, 0.2F, -0.3F};
  std::vector<float> running_mean = std::vector<float>(kChannels, 0.0F);
  std::vector<float> running_variance = std::vector<float>(kChannels, 1.0F);
  std::vector<ChannelStatistics> statistics = std::vector<ChannelStatistics>(kChannels);
  std::vector<NormChannel> norm = std::vector<NormChannel>(kChannels);
  Range input_range, relu_range;
  ReferenceLibrary library;

  explicit TrainedNorm(std::vector<float> values) : y(std::move(values)) {
    const ConvShape shape = test::conv_shape(kPositions, 1, 1, kChannels, kChannels, 1, 1, 0);
    std::vector<float> identity(kChannels * kChannels, 0.0F);
    for (std::size_t c = 0; c < kChannels; ++c) identity[c * kChannels + c] = 1.0F;
    const auto weights = library.make_weights(shape);
    QuantiseWeights quantise_args;
    quantise_args.master = identity.data();
    library.quantise_weights(quantise_args, *weights);
    library.tensor_range(y.data(), static_cast<std::int64_t>(y.size()), &input_range);
    Affine affine;
    std::vector<float> codes(y.size()), out(y.size());
    ConvForward args;
    args.input.x = y.data();
    args.codes = {codes.data(), &affine, BitWidth::float32()};
    args.weights = weights.get();
    args.shape = shape;
    args.y = out.data();
    args.statistics = statistics.data();
    args.input_range = &input_range;
    library.conv_forward(args);
    EXPECT_TRUE(test::same_bits(y, out));

    NormPrepare prepare;
    prepare.channels = kChannels;
    prepare.count = kPositions;
    prepare.statistics = statistics.data();
    prepare.gamma = gamma.data();
    prepare.beta = beta.data();
    prepare.running_mean = running_mean.data();
    prepare.running_variance = running_variance.data();
    prepare.norm = norm.data();
    prepare.relu_range = &relu_range;
    library.norm_prepare(prepare);
  }

  std::vector<float> forward(bool relu, Range* range = nullptr, std::vector<std::uint32_t>* mask = nullptr) {
    std::vector<float> z(y.size());
    if (mask != nullptr) mask->assign((y.size() + 31) / 32, 0xFFFFFFFFU);
    NormForward args;
    args.positions = kPositions;
    args.channels = kChannels;
    args.y = y.data();
    args.norm = norm.data();
    args.relu = relu;
    args.z = z.data();
    args.range = range;
    args.mask_bits = mask == nullptr ? nullptr : mask->data();
    library.norm_forward(args);
    return z;
  }
};

/// z in binary64.
std::vector<double> exact_forward(const std::vector<double>& y, const std::vector<double>& gamma,
                                  const std::vector<double>& beta) {
  std::vector<double> z(y.size());
  for (std::size_t c = 0; c < kChannels; ++c) {
    double mean = 0.0, variance = 0.0;
    for (std::size_t p = 0; p < kPositions; ++p) mean += y[p * kChannels + c] / kPositions;
    for (std::size_t p = 0; p < kPositions; ++p) variance += std::pow(y[p * kChannels + c] - mean, 2) / kPositions;
    for (std::size_t p = 0; p < kPositions; ++p) {
      const std::size_t e = p * kChannels + c;
      z[e] = (y[e] - mean) / std::sqrt(variance + 1e-5) * gamma[c] + beta[c];
    }
  }
  return z;
}

std::vector<double> widened(const std::vector<float>& x) { return {x.begin(), x.end()}; }

TEST(BatchNorm, statistics_are_the_exact_sums_on_their_grid) {
  const TrainedNorm n(channel_values());
  for (std::size_t c = 0; c < kChannels; ++c) {
    const ChannelStatistics& s = n.statistics[c];
    std::int64_t s1 = 0, s2 = 0;
    float lo = n.y[c], hi = n.y[c];
    for (std::size_t p = 0; p < kPositions; ++p) {
      const float y = n.y[p * kChannels + c];
      const auto q = static_cast<std::int64_t>(std::rint(std::ldexp(static_cast<double>(y), s.exponent)));
      s1 += q;
      s2 += q * q;
      lo = std::min(lo, y);
      hi = std::max(hi, y);
    }
    EXPECT_EQ(s.s1, s1);
    EXPECT_EQ(s.s2, static_cast<std::uint64_t>(s2));
    EXPECT_EQ(s.lo, lo);
    EXPECT_EQ(s.hi, hi);
    // The grid is fine enough: 22 bits below a bound that is at most a hundred times the largest value here.
    EXPECT_GE(std::ldexp(static_cast<double>(std::max(std::fabs(lo), std::fabs(hi))), s.exponent), 0x1p15);
  }
}

TEST(BatchNorm, forward_equals_binary64) {
  TrainedNorm n(channel_values());
  const std::vector<float> z = n.forward(false);
  const std::vector<double> expected = exact_forward(widened(n.y), widened(n.gamma), widened(n.beta));
  for (std::size_t e = 0; e < z.size(); ++e) EXPECT_NEAR(static_cast<double>(z[e]), expected[e], 3e-4) << e;
}

TEST(BatchNorm, running_state_moves_by_a_tenth_with_the_unbiased_variance) {
  const TrainedNorm n(channel_values());
  for (std::size_t c = 0; c < kChannels; ++c) {
    double mean = 0.0, variance = 0.0;
    for (std::size_t p = 0; p < kPositions; ++p) mean += static_cast<double>(n.y[p * kChannels + c]) / kPositions;
    for (std::size_t p = 0; p < kPositions; ++p) {
      variance += std::pow(static_cast<double>(n.y[p * kChannels + c]) - mean, 2) / (kPositions - 1);
    }
    EXPECT_NEAR(static_cast<double>(n.running_mean[c]), 0.1 * mean, 1e-4);
    EXPECT_NEAR(static_cast<double>(n.running_variance[c]), 0.9 + 0.1 * variance, 1e-3);
  }
}

TEST(BatchNorm, range_of_the_rectified_output_follows_from_the_extremes_to_the_bit) {
  TrainedNorm n(channel_values());
  Range range;
  n.forward(true, &range);
  EXPECT_EQ(range.lo, n.relu_range.lo);
  EXPECT_EQ(range.hi, n.relu_range.hi);
  EXPECT_GT(range.hi, 0.0F);
}

TEST(BatchNorm, rectifier_mask_and_residual_are_as_written) {
  TrainedNorm n(channel_values());
  std::vector<std::uint32_t> mask;
  const std::vector<float> z = n.forward(true, nullptr, &mask);
  const std::vector<float> before = n.forward(false);
  for (std::size_t e = 0; e < z.size(); ++e) {
    EXPECT_EQ(z[e], before[e] > 0.0F ? before[e] : 0.0F);
    EXPECT_EQ((mask[e / 32] >> (e % 32)) & 1U, before[e] > 0.0F ? 1U : 0U);
  }
  for (std::size_t e = z.size(); e < mask.size() * 32; ++e) EXPECT_EQ((mask[e / 32] >> (e % 32)) & 1U, 0U);

  // Residual: a tensor, and another norm's output.
  const std::vector<float> other = test::random_normal(kPositions * kChannels, 77);
  std::vector<float> sum(z.size()), sum_of_norms(z.size());
  NormForward args;
  args.positions = kPositions;
  args.channels = kChannels;
  args.y = n.y.data();
  args.norm = n.norm.data();
  args.shortcut = other.data();
  args.z = sum.data();
  n.library.norm_forward(args);
  args.shortcut_norm = n.norm.data();
  args.z = sum_of_norms.data();
  n.library.norm_forward(args);
  for (std::size_t e = 0; e < z.size(); ++e) {
    EXPECT_EQ(sum[e], relu(before[e] + other[e]));
    EXPECT_EQ(sum_of_norms[e], relu(before[e] + norm_apply(other[e], n.norm[e % kChannels])));
  }
}

/// Backward through the pool of one position, which hands u on as it is.
struct NormGradients {
  std::vector<float> dy, dgamma, dbeta;
};
NormGradients backward(TrainedNorm& n, const std::vector<float>& u) {
  std::vector<float> summed(u.size());
  std::vector<NormGradientSums> sums(kChannels);
  GradientSum gradient_sum;
  gradient_sum.u = summed.data();
  gradient_sum.norm[0] = {n.y.data(), n.norm.data(), sums.data()};
  AveragePoolBackward pool;
  pool.n = kPositions;
  pool.positions = 1;
  pool.channels = kChannels;
  pool.dpooled = u.data();
  pool.gradient_sum = &gradient_sum;
  n.library.average_pool_backward(pool);
  EXPECT_TRUE(test::same_bits(u, summed));

  NormGradients result{std::vector<float>(u.size()), std::vector<float>(kChannels), std::vector<float>(kChannels)};
  std::vector<NormGradientChannel> gradient(kChannels);
  NormGradientPrepare prepare;
  prepare.channels = kChannels;
  prepare.count = kPositions;
  prepare.norm = n.norm.data();
  prepare.sums = sums.data();
  prepare.gradient = gradient.data();
  prepare.dgamma = result.dgamma.data();
  prepare.dbeta = result.dbeta.data();
  n.library.norm_gradient_prepare(prepare);
  for (std::size_t e = 0; e < u.size(); ++e) {
    result.dy[e] = norm_backward(u[e], n.y[e], n.norm[e % kChannels], gradient[e % kChannels]);
  }
  return result;
}

double central_difference(const std::function<double(double)>& loss, double at, double step) {
  return (loss(at + step) - loss(at - step)) / (2.0 * step);
}

TEST(BatchNorm, gradients_equal_finite_differences_of_binary64) {
  TrainedNorm n(channel_values());
  const std::vector<float> u = test::random_normal(kPositions * kChannels, 5);
  const NormGradients g = backward(n, u);
  const auto loss = [&](const std::vector<double>& y, const std::vector<double>& gamma,
                        const std::vector<double>& beta) {
    const std::vector<double> z = exact_forward(y, gamma, beta);
    double sum = 0.0;
    for (std::size_t e = 0; e < z.size(); ++e) sum += z[e] * static_cast<double>(u[e]);
    return sum;
  };
  const std::vector<double> y = widened(n.y), gamma = widened(n.gamma), beta = widened(n.beta);
  for (std::size_t e = 0; e < y.size(); ++e) {
    const auto at = [&](double value) {
      std::vector<double> moved = y;
      moved[e] = value;
      return loss(moved, gamma, beta);
    };
    const double expected = central_difference(at, y[e], 1e-6);
    // Few samples on a grid of 15 bits: the deviation is known to some 1e-4, and dy with it.
    EXPECT_NEAR(static_cast<double>(g.dy[e]), expected, 1e-3 * (1.0 + std::fabs(expected))) << e;
  }
  for (std::size_t c = 0; c < kChannels; ++c) {
    const auto at_gamma = [&](double value) {
      std::vector<double> moved = gamma;
      moved[c] = value;
      return loss(y, moved, beta);
    };
    const auto at_beta = [&](double value) {
      std::vector<double> moved = beta;
      moved[c] = value;
      return loss(y, gamma, moved);
    };
    EXPECT_NEAR(static_cast<double>(g.dgamma[c]), central_difference(at_gamma, gamma[c], 1e-4), 2e-3);
    EXPECT_NEAR(static_cast<double>(g.dbeta[c]), central_difference(at_beta, beta[c], 1e-4), 1e-5);
  }
}

TEST(BatchNorm, gradient_of_the_input_sums_to_zero_and_is_orthogonal_to_the_normalised_input) {
  TrainedNorm n(channel_values());
  const std::vector<float> u = test::random_normal(kPositions * kChannels, 6);
  const NormGradients g = backward(n, u);
  for (std::size_t c = 0; c < kChannels; ++c) {
    double sum = 0.0, with_t = 0.0, magnitude = 0.0;
    for (std::size_t p = 0; p < kPositions; ++p) {
      const std::size_t e = p * kChannels + c;
      const double t = static_cast<double>(n.y[e] - n.norm[c].mean) * static_cast<double>(n.norm[c].inverse_deviation);
      sum += static_cast<double>(g.dy[e]);
      with_t += static_cast<double>(g.dy[e]) * t;
      magnitude += std::fabs(static_cast<double>(g.dy[e]));
    }
    EXPECT_NEAR(sum, 0.0, 1e-4 * magnitude) << c;
    // Epsilon makes it a little more than 0 where the variance is small.
    EXPECT_NEAR(with_t, 0.0, 2e-2 * magnitude) << c;
  }
}

TEST(BatchNorm, evaluation_uses_the_running_statistics) {
  const std::vector<float> mean{0.5F, -1.0F, 3.0F}, variance{1.0F, 0.01F, 0.0F};
  const std::vector<float> gamma{1.0F, 2.0F, -1.0F}, beta{0.0F, 0.5F, 0.25F};
  std::vector<NormChannel> norm(3);
  ReferenceLibrary().norm_from_running(3, mean.data(), variance.data(), gamma.data(), beta.data(), norm.data());
  for (std::size_t c = 0; c < 3; ++c) {
    const double r = 1.0 / std::sqrt(static_cast<double>(variance[c]) + 1e-5);
    EXPECT_EQ(norm[c].mean, mean[c]);
    EXPECT_EQ(norm[c].inverse_deviation, static_cast<float>(r));
    EXPECT_EQ(norm[c].a, gamma[c] * static_cast<float>(r));
    EXPECT_EQ(norm[c].beta, beta[c]);
  }
}

TEST(BatchNorm, a_single_position_and_a_constant_channel_are_finite) {
  ChannelStatistics s;
  s.exponent = 10;
  s.s1 = 3 * 1024;
  s.s2 = 9 * 1024 * 1024;
  s.lo = s.hi = 3.0F;
  float mean = 0.0F, variance = 1.0F;
  const NormChannel one = norm_prepare_channel(s, 1, 1.0F, 0.5F, &mean, &variance);
  EXPECT_EQ(one.mean, 3.0F);
  EXPECT_EQ(norm_apply(3.0F, one), 0.5F);
  EXPECT_EQ(one.t_bound, 0.0F);
  EXPECT_EQ(variance, 0.9F);
}

TEST(BatchNorm, an_empty_batch_leaves_the_running_state) {
  float mean = 0.25F, variance = 0.75F;
  const NormChannel norm = norm_prepare_channel(ChannelStatistics{}, 0, 1.0F, 0.0F, &mean, &variance);
  EXPECT_EQ(mean, 0.25F);
  EXPECT_EQ(variance, 0.75F);
  EXPECT_EQ(norm.mean, 0.0F);
  const NormGradientResult gradient = norm_gradient_channel(NormGradientSums{}, norm, 0);
  EXPECT_EQ(gradient.gradient.c, 0.0F);
  EXPECT_EQ(gradient.gradient.k, 0.0F);
}

}  // namespace
}  // namespace bitcycle
