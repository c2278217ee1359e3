// SPDX-License-Identifier: Apache-2.0
// A config's training as a program on the reference device ends with the bits of the reference device: the same state,
// losses and evaluation, for every kind of container, both variants of the error pass, and float32.
#include <gtest/gtest.h>

#include "nn/models/model.h"
#include "nn/run/initial_state.h"
#include "nn/run/network_run.h"
#include "sim/program/products.h"
#include "training_fixture.h"

namespace bitcycle::test {
namespace {

/// What a training leaves, and what each step reported.
struct Reported {
  Outcome outcome;
  std::vector<std::int64_t> correct, min_scale_bound;
  void note(const StepResult& result) {
    outcome.losses.push_back(result.loss);
    correct.push_back(result.correct);
    min_scale_bound.push_back(result.min_scale_bound);
  }
  void note(const EvaluationResult& evaluation) {
    outcome.test_accuracy = evaluation.accuracy;
    outcome.test_loss = evaluation.loss;
  }
};

Reported train_program(const Config& config, Device& device) {
  const Dataset dataset = load_dataset(config.data, config.model.classes);
  NetworkRun run(config, dataset, device);
  set_initial_state(run, config);
  Reported reported;
  for (std::int64_t step = 0; step < config.train.steps; ++step) reported.note(run.step(step));
  reported.outcome.digest = digest_state(run.state());
  reported.note(run.evaluate(config.train.steps, run.max_widths()));
  return reported;
}

struct Case {
  const char* name;
  void (*change)(Config&);
};

void constant(Config& config, BitWidth forward, BitWidth gradient) {
  config.precision.forward = {"constant", forward, forward, 1, config.train.steps};
  config.precision.gradient = {"constant", gradient, gradient, 1, config.train.steps};
}

class ProgramDigest : public ::testing::TestWithParam<Case> {};

TEST_P(ProgramDigest, IsThatOfTheReference) {
  Config config = short_config(2, 2);
  config.data.test_images = 3;  // a last batch of one image
  GetParam().change(config);
  const Reported expected = train_program(config, *make_cpu_device(Isa::kAuto, 2));
  const Reported actual = train_program(config, *make_reference_device());
  EXPECT_TRUE(same_outcome(expected.outcome, actual.outcome));
  EXPECT_EQ(expected.correct, actual.correct);
  EXPECT_EQ(expected.min_scale_bound, actual.min_scale_bound);
  EXPECT_EQ(expected.outcome.digest.tensors.size(), actual.outcome.digest.tensors.size());
  EXPECT_EQ(to_text(expected.outcome.digest.root), to_text(actual.outcome.digest.root));
}

INSTANTIATE_TEST_SUITE_P(
    Cases, ProgramDigest,
    ::testing::Values(
        Case{"shared", [](Config&) {}},
        Case{"requantised", [](Config& c) { c.precision.error_weights = ErrorWeights::kRequantised; }},
        Case{"min_scale_that_binds",
             [](Config& c) {
               c.precision.min_scale.narrow = 0.01F;
               c.precision.error_weights = ErrorWeights::kRequantised;
             }},
        Case{"wide_8_to_32",
             [](Config& c) {
               c.precision.forward = {"cyclic_cosine", BitWidth::integer(8), BitWidth::integer(32), 1, 2};
               c.precision.gradient = {"constant", BitWidth::integer(16), BitWidth::integer(16), 1, 2};
             }},
        Case{"requantised_32",
             [](Config& c) {
               constant(c, BitWidth::integer(32), BitWidth::integer(32));
               c.precision.error_weights = ErrorWeights::kRequantised;
             }},
        Case{"float32", [](Config& c) { constant(c, BitWidth::float32(), BitWidth::float32()); }},
        Case{"float32_gradient", [](Config& c) { constant(c, BitWidth::integer(8), BitWidth::float32()); }},
        Case{"float32_gradient_requantised",
             [](Config& c) {
               constant(c, BitWidth::integer(8), BitWidth::float32());
               c.precision.error_weights = ErrorWeights::kRequantised;
             }},
        Case{"float32_forward", [](Config& c) { constant(c, BitWidth::float32(), BitWidth::integer(8)); }},
        Case{"layer_override",
             [](Config& c) {
               PrecisionOverride first{"conv1", ScheduleSpec{"constant", {}, BitWidth::float32(), 1, 2}, {}};
               PrecisionOverride third{"group3_*", ScheduleSpec{"constant", {}, BitWidth::integer(16), 1, 2},
                                       ScheduleSpec{"constant", {}, BitWidth::integer(12), 1, 2}};
               c.precision.layers = {first, third};
             }},
        Case{"zero_on_grid_nearest",
             [](Config& c) {
               c.precision.zero_on_grid = true;
               c.precision.stochastic = false;
             }},
        Case{"error_grid_24", [](Config& c) { c.precision.error_grid_bits = 24; }}),
    [](const auto& param) { return std::string(param.param.name); });

/// The products of the program are the workload that cost models price.
TEST(ProgramProducts, AreTheModelsWorkload) {
  Config config = short_config(3, 2);
  for (const char* model : {"resnet8", "resnet20"}) {
    config.model.name = model;
    const Workload workload = model_workload(config);
    const auto network = training_program(config);
    std::map<std::string, std::map<Pass, const ProgramProduct*>> by_layer;
    const auto products = products_of(network->program);
    for (const auto& product : products) by_layer[product.site.layer][product.over.pass] = &product;
    ASSERT_EQ(by_layer.size(), workload.matrix.size());
    for (const MatrixOperation& operation : workload.matrix) {
      const auto& passes = by_layer.at(operation.layer);
      EXPECT_EQ(passes.size(), operation.input_gradient ? 3U : 2U) << operation.layer;
      for (const auto& [pass, product] : passes) {
        EXPECT_EQ(product->site.pass, pass);
        EXPECT_EQ(product->macs, operation.shape.macs()) << operation.layer;
        EXPECT_EQ(product->integer, operation.quantised) << operation.layer;
        EXPECT_EQ(product->rhs_bits, operation.quantised && pass == Pass::kError ? 16 : 0) << operation.layer;
      }
    }
  }
}

/// A probe: the integer sums of a layer, and what the report says of the same step.
TEST(NetworkRun, ReadsAnyTensorThatWasKept) {
  const Config config = short_config(2, 2);
  const Dataset dataset = load_dataset(config.data, config.model.classes);
  const auto device = make_reference_device();
  NetworkRun run(config, dataset, *device, {"conv1/y sums", "conv1/y"});
  set_initial_state(run, config);
  run.step(0);
  const Program& program = run.network().program;
  std::vector<std::int32_t> sums(static_cast<std::size_t>(program.spec(program.find("conv1/y sums")).size()));
  run.read("conv1/y sums", sums.data());
  EXPECT_GT(*std::max_element(sums.begin(), sums.end()), 0);
  std::vector<float> other(static_cast<std::size_t>(program.spec(program.find("group1_layer0.conv1/y")).size()));
  EXPECT_THROW(run.read("group1_layer0.conv1/y", other.data()), std::invalid_argument);
  EXPECT_THROW(NetworkRun(config, dataset, *device, {"conv9/y"}), std::invalid_argument);
}

TEST(NetworkRun, AStepThatIsNotFiniteIsReportedAndLeavesTheParameters) {
  Config config = short_config(2, 2);
  const Dataset dataset = load_dataset(config.data, config.model.classes);
  const auto device = make_reference_device();
  NetworkRun run(config, dataset, *device);
  set_initial_state(run, config);
  auto values = run.state().values();
  const Parameter* weight = run.network().parameters.find("group2_layer0.conv1.weight");
  values[weight->offset + 3] = std::numeric_limits<float>::infinity();
  run.state().set_values(values);
  try {
    run.step(0);
    FAIL() << "a step of infinite weights passed";
  } catch (const std::runtime_error& error) {
    EXPECT_NE(std::string(error.what()).find("output of group2_layer0.conv1, channel 0"), std::string::npos)
        << error.what();
  }
  EXPECT_EQ(run.state().values()[weight->offset], values[weight->offset]);
}

}  // namespace
}  // namespace bitcycle::test
