// SPDX-License-Identifier: Apache-2.0
// The end of a network against binary64 and finite differences: pool, linear layer, softmax cross-entropy; and SGD.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "sim/reference/reference_library.h"
#include "tests/exact/library_fixture.h"

namespace bitcycle {
namespace {

TEST(AveragePool, is_the_mean_over_positions) {
  constexpr std::int64_t kSamples = 3, kPositions = 64, kChannels = 7;
  const std::vector<float> x = test::random_normal(kSamples * kPositions * kChannels, 1);
  std::vector<float> pooled(kSamples * kChannels);
  AveragePool args;
  args.n = kSamples;
  args.positions = kPositions;
  args.channels = kChannels;
  args.x = x.data();
  args.pooled = pooled.data();
  ReferenceLibrary().average_pool(args);
  for (std::size_t n = 0; n < kSamples; ++n) {
    for (std::size_t c = 0; c < kChannels; ++c) {
      double mean = 0.0;
      for (std::size_t p = 0; p < kPositions; ++p) {
        mean += static_cast<double>(x[(n * kPositions + p) * kChannels + c]) / kPositions;
      }
      EXPECT_NEAR(static_cast<double>(pooled[n * kChannels + c]), mean, 1e-6);
    }
  }
}

class LinearTest : public ::testing::Test {
 protected:
  static constexpr std::int64_t kSamples = 6, kInputs = 9, kOutputs = 4;
  std::vector<float> x_ = test::random_normal(kSamples * kInputs, 1);
  std::vector<float> w_ = test::random_normal(kOutputs * kInputs, 2);
  std::vector<float> bias_ = test::random_normal(kOutputs, 3);
  std::vector<float> dy_ = test::random_normal(kSamples * kOutputs, 4);
};

TEST_F(LinearTest, forward_is_one_fma_sum_an_output_then_the_bias) {
  std::vector<float> y(kSamples * kOutputs);
  LinearForward args;
  args.n = kSamples;
  args.inputs = kInputs;
  args.outputs = kOutputs;
  args.x = x_.data();
  args.w = w_.data();
  args.bias = bias_.data();
  args.y = y.data();
  ReferenceLibrary().linear_forward(args);
  for (std::size_t n = 0; n < kSamples; ++n) {
    for (std::size_t o = 0; o < kOutputs; ++o) {
      double exact = static_cast<double>(bias_[o]);
      float sum = 0.0F;
      for (std::size_t i = 0; i < kInputs; ++i) {
        exact += static_cast<double>(x_[n * kInputs + i]) * static_cast<double>(w_[o * kInputs + i]);
        sum = std::fma(x_[n * kInputs + i], w_[o * kInputs + i], sum);
      }
      EXPECT_NEAR(static_cast<double>(y[n * kOutputs + o]), exact, 1e-5);
      EXPECT_EQ(y[n * kOutputs + o], sum + bias_[o]);
    }
  }
}

TEST_F(LinearTest, gradients_are_those_of_a_bilinear_form) {
  std::vector<float> dx(kSamples * kInputs), dw(kOutputs * kInputs), dbias(kOutputs);
  LinearBackward args;
  args.n = kSamples;
  args.inputs = kInputs;
  args.outputs = kOutputs;
  args.x = x_.data();
  args.w = w_.data();
  args.dy = dy_.data();
  args.dx = dx.data();
  args.dw = dw.data();
  args.dbias = dbias.data();
  ReferenceLibrary().linear_backward(args);
  for (std::size_t o = 0; o < kOutputs; ++o) {
    double bias = 0.0;
    for (std::size_t n = 0; n < kSamples; ++n) bias += static_cast<double>(dy_[n * kOutputs + o]);
    EXPECT_NEAR(static_cast<double>(dbias[o]), bias, 1e-6);
    for (std::size_t i = 0; i < kInputs; ++i) {
      double weight = 0.0;
      for (std::size_t n = 0; n < kSamples; ++n) {
        weight += static_cast<double>(dy_[n * kOutputs + o]) * static_cast<double>(x_[n * kInputs + i]);
      }
      EXPECT_NEAR(static_cast<double>(dw[o * kInputs + i]), weight, 1e-5);
    }
  }
  for (std::size_t n = 0; n < kSamples; ++n) {
    for (std::size_t i = 0; i < kInputs; ++i) {
      double input = 0.0;
      for (std::size_t o = 0; o < kOutputs; ++o) {
        input += static_cast<double>(dy_[n * kOutputs + o]) * static_cast<double>(w_[o * kInputs + i]);
      }
      EXPECT_NEAR(static_cast<double>(dx[n * kInputs + i]), input, 1e-5);
    }
  }
}

double exact_loss(const std::vector<double>& logits, const std::vector<std::int32_t>& labels, std::size_t classes) {
  double loss = 0.0;
  for (std::size_t n = 0; n < labels.size(); ++n) {
    double sum = 0.0;
    for (std::size_t j = 0; j < classes; ++j) sum += std::exp(logits[n * classes + j]);
    loss += std::log(sum) - logits[n * classes + static_cast<std::size_t>(labels[n])];
  }
  return loss / static_cast<double>(labels.size());
}

struct LossResult {
  LossRecord record;
  std::vector<float> gradient;
};
LossResult loss_of(const std::vector<float>& logits, const std::vector<std::int32_t>& labels, std::int64_t classes,
                   bool with_gradient = true) {
  LossResult result;
  result.gradient.resize(logits.size());
  SoftmaxCrossEntropy args;
  args.n = static_cast<std::int64_t>(labels.size());
  args.classes = classes;
  args.logits = logits.data();
  args.labels = labels.data();
  args.dlogits = with_gradient ? result.gradient.data() : nullptr;
  args.record = &result.record;
  ReferenceLibrary().softmax_cross_entropy(args);
  return result;
}

TEST(SoftmaxCrossEntropy, loss_and_gradient_equal_binary64_and_finite_differences) {
  constexpr std::size_t kClasses = 10;
  const std::vector<float> logits = test::random_normal(7 * kClasses, 9, 3.0F);
  const std::vector<std::int32_t> labels{3, 0, 9, 4, 4, 1, 7};
  const LossResult result = loss_of(logits, labels, kClasses);
  std::vector<double> exact(logits.begin(), logits.end());
  EXPECT_NEAR(result.record.loss, exact_loss(exact, labels, kClasses), 1e-6);
  for (std::size_t e = 0; e < exact.size(); ++e) {
    const double at = exact[e];
    exact[e] = at + 1e-5;
    const double above = exact_loss(exact, labels, kClasses);
    exact[e] = at - 1e-5;
    const double below = exact_loss(exact, labels, kClasses);
    exact[e] = at;
    EXPECT_NEAR(static_cast<double>(result.gradient[e]), (above - below) / 2e-5, 1e-7) << e;
  }
  EXPECT_EQ(loss_of(logits, labels, kClasses, false).record.loss, result.record.loss);
}

TEST(SoftmaxCrossEntropy, large_logits_do_not_overflow) {
  const LossResult result = loss_of({1000.0F, -1000.0F, 0.0F}, {0}, 3);
  EXPECT_EQ(result.record.loss, 0.0);
  EXPECT_EQ(result.record.correct, 1);
  for (const float g : result.gradient) EXPECT_EQ(g, 0.0F);
  EXPECT_EQ(loss_of({1000.0F, -1000.0F, 0.0F}, {1}, 3).record.loss, 2000.0);
}

TEST(SoftmaxCrossEntropy, the_lowest_index_wins_ties) {
  EXPECT_EQ(loss_of({1.0F, 2.0F, 2.0F}, {1}, 3).record.correct, 1);
  EXPECT_EQ(loss_of({1.0F, 2.0F, 2.0F}, {2}, 3).record.correct, 0);
}

TEST(SoftmaxCrossEntropy, of_no_samples_is_zero) {
  const LossResult result = loss_of({}, {}, 10);
  EXPECT_EQ(result.record.loss, 0.0);
  EXPECT_EQ(result.record.correct, 0);
}

TEST(Sgd, every_operation_is_rounded_as_written_and_follows_binary64) {
  const std::vector<float> gradient = test::random_normal(100, 1);
  std::vector<float> w = test::random_normal(100, 2), m(100, 0.0F);
  std::vector<double> exact_w(w.begin(), w.end()), exact_m(100, 0.0);
  std::vector<float> written_w = w, written_m = m;
  SgdUpdate args;
  args.size = 100;
  args.gradient = gradient.data();
  args.momentum_buffer = m.data();
  args.parameter = w.data();
  args.lr = 0.1F;
  args.momentum = 0.9F;
  args.weight_decay = 1e-4F;
  for (int step = 0; step < 5; ++step) {
    ReferenceLibrary().sgd_update(args);
    for (std::size_t e = 0; e < 100; ++e) {
      exact_m[e] = 0.9 * exact_m[e] + (static_cast<double>(gradient[e]) + 1e-4 * exact_w[e]);
      exact_w[e] -= 0.1 * exact_m[e];
      volatile float decay = args.weight_decay * written_w[e];
      volatile float d = gradient[e] + decay;
      volatile float kept = args.momentum * written_m[e];
      written_m[e] = kept + d;
      volatile float change = args.lr * written_m[e];
      written_w[e] = written_w[e] - change;
    }
  }
  EXPECT_TRUE(test::same_bits(written_w, w));
  EXPECT_TRUE(test::same_bits(written_m, m));
  for (std::size_t e = 0; e < 100; ++e) EXPECT_NEAR(static_cast<double>(w[e]), exact_w[e], 1e-5);
}

TEST(FirstNonFinite, is_the_lowest_index_or_minus_one) {
  std::vector<float> x(100, 1.0F);
  ReferenceLibrary library;
  EXPECT_EQ(library.first_non_finite(x.data(), 100), -1);
  x[70] = std::numeric_limits<float>::infinity();
  x[40] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_EQ(library.first_non_finite(x.data(), 100), 40);
  EXPECT_EQ(library.first_non_finite(x.data(), 40), -1);
  EXPECT_EQ(library.first_non_finite(x.data(), 0), -1);
}

}  // namespace
}  // namespace bitcycle
