// SPDX-License-Identifier: Apache-2.0
// One config, one digest: on the reference, on every instruction set, at every number of threads.
#include <gtest/gtest.h>

#include "training_fixture.h"

namespace bitcycle::test {
namespace {

TEST(TrainingDigest, IsThatOfTheReferenceOnEveryInstructionSet) {
  Config config = short_config(4);
  for (const auto error_weights : {ErrorWeights::kShared, ErrorWeights::kRequantised}) {
    config.precision.error_weights = error_weights;
    const Outcome expected = train_steps(config, *make_reference_device());
    for (const Isa isa : available_isas()) {
      EXPECT_TRUE(same_outcome(expected, train_steps(config, *make_cpu_device(isa, 2)))) << isa_name(isa);
    }
  }
}

TEST(TrainingDigest, Of30StepsIsTheSameOnEveryInstructionSetAtEveryNumberOfThreads) {
  const Config config = short_config(30, 8);
  const Outcome expected = train_steps(config, *make_cpu_device(Isa::kPortable, 1));
  for (const Isa isa : available_isas()) {
    for (const int threads : {1, 2, 7}) {
      EXPECT_TRUE(same_outcome(expected, train_steps(config, *make_cpu_device(isa, threads))))
          << isa_name(isa) << ", " << threads << " threads";
    }
  }
}

struct WidthCase {
  const char* name;
  void (*change)(Config&);
};

void constant(Config& config, BitWidth forward, BitWidth gradient) {
  config.precision.forward = {"constant", forward, forward, 1, config.train.steps};
  config.precision.gradient = {"constant", gradient, gradient, 1, config.train.steps};
}

class Widths : public ::testing::TestWithParam<WidthCase> {};

/// Every kind of container, and what crosses from one to another within a run.
TEST_P(Widths, TrainToTheBitsOfTheReference) {
  Config config = short_config(3, 2);
  GetParam().change(config);
  const Outcome expected = train_steps(config, *make_reference_device());
  for (const double loss : expected.losses) EXPECT_LT(loss, 10.0);
  for (const Isa isa : available_isas()) {
    EXPECT_TRUE(same_outcome(expected, train_steps(config, *make_cpu_device(isa, 2)))) << isa_name(isa);
  }
}

INSTANTIATE_TEST_SUITE_P(
    Cases, Widths,
    ::testing::Values(
        WidthCase{"points_of_every_container",
                  [](Config& c) {
                    const auto bits = [](int b) { return BitWidth::integer(b); };
                    c.precision.forward.name = c.precision.gradient.name = "piecewise";
                    c.precision.forward.points = {{0, bits(4)}, {1, BitWidth::float32()}, {2, bits(20)}};
                    c.precision.gradient.points = {{0, BitWidth::float32()}, {1, bits(12)}, {2, bits(6)}};
                  }},
        WidthCase{"crossing_containers",
                  [](Config& c) {
                    c.precision.forward = {"cyclic_cosine", BitWidth::integer(8), BitWidth::integer(12), 1, 3};
                  }},
        WidthCase{"wide_8_to_32",
                  [](Config& c) {
                    c.precision.forward = {"cyclic_cosine", BitWidth::integer(8), BitWidth::integer(32), 1, 3};
                    c.precision.gradient = {"constant", BitWidth::integer(16), BitWidth::integer(16), 1, 3};
                  }},
        WidthCase{"float32", [](Config& c) { constant(c, BitWidth::float32(), BitWidth::float32()); }},
        WidthCase{"float32_gradient", [](Config& c) { constant(c, BitWidth::integer(8), BitWidth::float32()); }},
        WidthCase{"layer_override",
                  [](Config& c) {
                    PrecisionOverride first{"conv1", ScheduleSpec{"constant", {}, BitWidth::float32(), 1, 3}, {}};
                    PrecisionOverride third{"group3_*", ScheduleSpec{"constant", {}, BitWidth::integer(16), 1, 3},
                                            ScheduleSpec{"constant", {}, BitWidth::integer(12), 1, 3}};
                    c.precision.layers = {first, third};
                  }},
        WidthCase{"zero_on_grid_nearest",
                  [](Config& c) {
                    c.precision.zero_on_grid = true;
                    c.precision.stochastic = false;
                  }},
        WidthCase{"error_grid_24", [](Config& c) { c.precision.error_grid_bits = 24; }}),
    [](const auto& param) { return std::string(param.param.name); });

TEST(TrainingDigest, DependsOnTheSeedTheScheduleAndTheErrorWeights) {
  const Config config = short_config(3, 2);
  const auto device = make_reference_device();
  const Outcome expected = train_steps(config, *device);
  EXPECT_TRUE(same_outcome(expected, train_steps(config, *device)));
  Config other = config;
  other.train.seed = 6;
  EXPECT_FALSE(same_outcome(expected, train_steps(other, *device)));
  other = config;
  other.precision.forward.min = BitWidth::integer(4);
  EXPECT_FALSE(same_outcome(expected, train_steps(other, *device)));
  other = config;
  other.precision.error_weights = ErrorWeights::kRequantised;
  EXPECT_FALSE(same_outcome(expected, train_steps(other, *device)));
}

TEST(TrainingDigest, OfAnOverriddenLayerDiffers) {
  Config config = short_config(2, 2);
  const auto device = make_reference_device();
  const Outcome expected = train_steps(config, *device);
  config.precision.layers = {{"group2_layer0.conv?", ScheduleSpec{"constant", {}, BitWidth::integer(16), 1, 2}, {}}};
  EXPECT_FALSE(same_outcome(expected, train_steps(config, *device)));
}

TEST(NetworkRun, APatternThatMatchesNoLayerIsAnError) {
  Config config = short_config(2, 2);
  config.precision.layers = {{"group4_*", ScheduleSpec{"constant", {}, BitWidth::integer(16), 1, 2}, {}}};
  const auto device = make_reference_device();
  EXPECT_THROW(train_steps(config, *device), std::invalid_argument);
}

TEST(NetworkRun, EvaluatingBeforeAnyStepIsAnError) {
  const Config config = short_config(2, 2);
  const auto device = make_reference_device();
  const Dataset dataset = load_dataset(config.data, config.model.classes);
  NetworkRun run(config, dataset, *device);
  set_initial_state(run, config);
  EXPECT_THROW(run.evaluate(0, run.max_widths()), std::runtime_error);
}

TEST(NetworkRun, TheEvaluationDoesNotDependOnItsBatch) {
  Config config = short_config(2, 4);
  const auto device = make_reference_device();
  const Outcome expected = train_steps(config, *device);
  config.train.evaluation_batch = 7;  // 20 images: 7, 7 and a last batch of 6
  const Outcome other = train_steps(config, *device);
  EXPECT_EQ(other.test_accuracy, expected.test_accuracy);
  EXPECT_EQ(other.test_loss, expected.test_loss);
}

}  // namespace
}  // namespace bitcycle::test
