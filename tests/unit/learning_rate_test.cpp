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

TEST(LearningRate, EqualsThePapersFormulasOverTheWholeRun) {
  const auto piecewise = spec_of("piecewise"), linear = spec_of("linear"), cosine = spec_of("anneal_cosine");
  for (std::int64_t step = 0; step < 64000; step += step % 1000 == 999 ? 1 : 37) {
    const double t = static_cast<double>(step) / 64000.0;
    const double falls = step >= 48000 ? 2.0 : step >= 32000 ? 1.0 : 0.0;
    EXPECT_FLOAT_EQ(learning_rate_at(piecewise, step), static_cast<float>(0.1 * std::pow(0.1, falls))) << step;
    const double line = t < 0.5 ? 0.1 : t < 0.9 ? 0.1 * (1.0 - 0.99 * (t - 0.5) / 0.4) : 0.001;
    EXPECT_FLOAT_EQ(learning_rate_at(linear, step), static_cast<float>(line)) << step;
    const double curve = 0.001 + 0.5 * (0.1 - 0.001) * (1.0 + std::cos(t * 3.141592653));
    EXPECT_NEAR(learning_rate_at(cosine, step), curve, 1e-8) << step;
  }
}

TEST(LearningRate, InverseSquareRootRisesInALineAndFallsFromItsEnd) {
  auto spec = spec_of("inverse_square_root", 50'000);
  spec.lr = 5e-4;
  spec.warm_up = true;
  spec.warm_up_steps = 4000;
  spec.warm_up_lr = 1e-7;
  EXPECT_EQ(learning_rate_at(spec, 0), 1e-7F);
  EXPECT_FLOAT_EQ(learning_rate_at(spec, 1000), static_cast<float>(1e-7 + (5e-4 - 1e-7) / 4));
  EXPECT_EQ(learning_rate_at(spec, 4000), 5e-4F);
  EXPECT_EQ(learning_rate_at(spec, 16'000), 2.5e-4F);
  EXPECT_EQ(learning_rate_until(spec, 10), 11);
}

TEST(LearningRate, CosineRisesInALineAndEndsAtItsFloor) {
  auto spec = spec_of("cosine", 286'000);
  spec.lr = 1.0;
  spec.cyclic_min = 1e-4;
  spec.warm_up = true;
  spec.warm_up_steps = 16'000;
  spec.warm_up_lr = 1e-7;
  EXPECT_FLOAT_EQ(learning_rate_at(spec, 8000), 0.5F);
  EXPECT_EQ(learning_rate_at(spec, 16'000), 1.0F);
  EXPECT_FLOAT_EQ(learning_rate_at(spec, 151'000), static_cast<float>(1e-4 + 0.5 * (1 - 1e-4)));
  EXPECT_NEAR(learning_rate_at(spec, 285'999), 1e-4, 1e-8);
  spec.warm_up = false;
  EXPECT_EQ(learning_rate_at(spec, 0), 1.0F);
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

TEST(LearningRate, APlateauFallsWithEachEvaluationThatIsNoBetter) {
  LearningRateSpec spec;
  spec.schedule = "plateau";
  spec.lr = 20.0;
  spec.factor = 0.25;
  EXPECT_EQ(learning_rate_at(spec, 5), 20.0F);
  EXPECT_EQ(learning_rate_at(spec, 5, 1), 5.0F);
  EXPECT_EQ(learning_rate_at(spec, 5, 3), 0.3125F);
  LearningRateSpec longer = spec;
  longer.steps = 900;
  EXPECT_TRUE(same_learning_rates(spec, longer));
  longer.factor = 0.5;
  EXPECT_FALSE(same_learning_rates(spec, longer));
  longer.factor = 1.0;
  EXPECT_THROW(check_learning_rate(longer), std::invalid_argument) << "it would never fall";
}

}  // namespace
}  // namespace bitcycle
