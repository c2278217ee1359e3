// SPDX-License-Identifier: Apache-2.0
#include "nn/train/learning_rate.h"

#include <gtest/gtest.h>

#include <cmath>

namespace bitcycle {
namespace {

LearningRateSpec spec_of(const std::string& schedule, std::int64_t steps = 64000) {
  LearningRateSpec spec;
  spec.schedule = schedule;
  spec.steps = steps;
  return spec;
}

TEST(LearningRate, PiecewiseFallsAtFractionsAndAtSteps) {
  auto spec = spec_of("piecewise");
  for (const auto& points : {std::vector<double>{0.5, 0.75}, std::vector<double>{32000, 48000}}) {
    spec.points = points;
    EXPECT_EQ(learning_rate_at(spec, 0), 0.1F);
    EXPECT_EQ(learning_rate_at(spec, 31999), 0.1F);
    EXPECT_FLOAT_EQ(learning_rate_at(spec, 32000), 0.01F);
    EXPECT_FLOAT_EQ(learning_rate_at(spec, 47999), 0.01F);
    EXPECT_FLOAT_EQ(learning_rate_at(spec, 48000), 0.001F);
  }
}

TEST(LearningRate, LinearFallsFromTheMiddleToOnePercentAtNineTenths) {
  const auto spec = spec_of("linear", 1000);
  EXPECT_EQ(learning_rate_at(spec, 499), 0.1F);
  EXPECT_FLOAT_EQ(learning_rate_at(spec, 700), static_cast<float>(0.1 * (1.0 - 0.99 * 0.5)));
  EXPECT_FLOAT_EQ(learning_rate_at(spec, 900), 0.001F);
  EXPECT_FLOAT_EQ(learning_rate_at(spec, 999), 0.001F);
}

TEST(LearningRate, AnnealCosineEndsAtItsFloor) {
  const auto spec = spec_of("anneal_cosine", 1000);
  EXPECT_FLOAT_EQ(learning_rate_at(spec, 0), 0.1F);
  EXPECT_FLOAT_EQ(learning_rate_at(spec, 500), static_cast<float>(0.001 + 0.5 * 0.099));
  EXPECT_NEAR(learning_rate_at(spec, 999), 0.001F, 1e-6F);
}

TEST(LearningRate, CyclicRestartsEveryPeriod) {
  auto spec = spec_of("cyclic", 1000);
  spec.cycles = 4;
  EXPECT_FLOAT_EQ(learning_rate_at(spec, 0), 0.1F);
  EXPECT_FLOAT_EQ(learning_rate_at(spec, 125), 0.05F);
  EXPECT_LT(learning_rate_at(spec, 249), 0.0001F);
  EXPECT_FLOAT_EQ(learning_rate_at(spec, 250), 0.1F);
}

TEST(LearningRate, WarmUpComesFirst) {
  auto spec = spec_of("constant");
  spec.warm_up = true;
  EXPECT_EQ(learning_rate_at(spec, 399), 0.01F);
  EXPECT_EQ(learning_rate_at(spec, 400), 0.1F);
}

TEST(LearningRate, RefusesWhatCannotBe) {
  auto spec = spec_of("stepwise");
  EXPECT_THROW(check_learning_rate(spec), std::invalid_argument);
  spec = spec_of("piecewise");
  spec.lr = 0.0;
  EXPECT_THROW(check_learning_rate(spec), std::invalid_argument);
  spec = spec_of("cyclic", 10);
  EXPECT_THROW(check_learning_rate(spec), std::invalid_argument) << "32 cycles in 10 steps";
  spec = spec_of("piecewise");
  spec.points = {std::nan("")};
  EXPECT_THROW(check_learning_rate(spec), std::invalid_argument);
}

}  // namespace
}  // namespace bitcycle
