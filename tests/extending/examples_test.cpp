// SPDX-License-Identifier: Apache-2.0
// The examples of docs/extending.md, compiled as they stand there (CMakeLists.txt takes them out of the page), do what
// the page says, registered by the lines that it gives.
#include <gtest/gtest.h>

#include "nn/builder/builder.h"
#include "nn/models/model.h"
#include "nn/run/findings.h"
#include "nn/run/network_state.h"
#include "sim/device/kernel_device.h"
#include "sim/number/philox.h"
#include "sim/quantisers/quantiser.h"
#include "sim/schedule/precision_plan.h"

namespace bitcycle {

namespace builder {
Value* sum_of(Builder& builder, Value* a, Value* b);
}

namespace {

BitWidth bits(int n) { return BitWidth::integer(n); }

builder::Options options_of(std::int64_t batch) {
  builder::Options options;
  options.batch = batch;
  options.seed = 3;
  options.widest = [](const std::string&) { return LayerWidths{bits(5), bits(8)}; };
  options.sgd = builder::Options::Sgd{0.5F, 0.125F};
  return options;
}

/// Digest of the state after two steps of one batch.
std::string train(const builder::NetworkProgram& network, Device& device) {
  const auto memory = device.make_state(network.program);
  const auto executable = device.compile(network.program, {memory, {}});
  NetworkState state(network, memory);
  initialise(state, 7);
  const std::int64_t batch = network.program.batch();
  const auto stream = philox_stream(5, 0, RandomPurpose::kSyntheticData, 1);
  std::vector<float> x(static_cast<std::size_t>(network.program.spec(network.images).size()));
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = rounding_noise(philox_word(stream, i));
  const std::vector<std::int32_t> labels(static_cast<std::size_t>(batch), 1);
  StepInputs inputs(network.program);
  inputs.point(network.images, x.data());
  inputs.point(network.labels, labels.data());
  inputs.set(network.rate, 0.05F);
  for (const auto& layer : network.layers) {
    inputs.set(layer.forward, bits(5));
    inputs.set(layer.gradient, bits(8));
  }
  for (std::uint32_t step = 0; step < 2; ++step) {
    inputs.set(network.step, step);
    EXPECT_EQ(findings_of(network, executable->run(inputs)).non_finite, "");
  }
  return to_text(digest_state(state).root);
}

TEST(Extending, AScheduleWorksUnderItsName) {
  const PrecisionPlan plan({{"linear_decay", bits(4), bits(8), 2, 20}, {"constant", bits(8), bits(8), 1, 20}, {}}, 20);
  EXPECT_EQ(plan.at(0).forward, bits(8));
  EXPECT_EQ(plan.at(5).forward, bits(6));
  EXPECT_EQ(plan.at(9).forward, bits(4));
  EXPECT_EQ(plan.at(10).forward, bits(8));
}

TEST(Extending, AQuantiserMakesItsGridUnderItsName) {
  const auto grid = find_quantiser("power_of_two").grid;
  const Affine affine = grid({-0.3F, 1.2F}, bits(4), {});
  EXPECT_EQ(affine.step, 0.125);  // 15 steps of 0.0625 do not reach from -0.3 to 1.2
  EXPECT_EQ(affine.lo, -0.375);
  EXPECT_EQ(grid({2.0F, 2.0F}, bits(4), {}).lo, 2.0);
  EXPECT_THROW(find_quantiser("no such quantiser"), std::invalid_argument);
}

TEST(Extending, AQuantiserTrainsToTheSameBitsOnTheFastDeviceAndToOthersThanTheAffineOne) {
  const auto digest = [](const std::string& quantiser, Device& device) {
    builder::Options options = options_of(2);
    options.quantisation.quantiser = quantiser;
    builder::Builder b("small", options);
    using namespace builder;
    Value* x = relu(b, batch_norm(b, conv(b, b.images(8, 8, 3), {"conv1", 8}), "bn1"));
    x = relu(b, batch_norm(b, conv(b, x, {"conv2", 8}), "bn2"));
    softmax_loss(b, linear(b, average_pool(b, x, "pool"), "fc", 5));
    return train(*b.finish(), device);
  };
  const auto fast = make_cpu_device(Isa::kAuto, 2), reference = make_reference_device();
  const std::string expected = digest("power_of_two", *reference);
  EXPECT_EQ(digest("power_of_two", *fast), expected);
  EXPECT_NE(digest("affine", *fast), expected);
}

TEST(Extending, AModelTrainsToTheSameBitsOnTheFastDevice) {
  const auto network = write_model("plain4", 10, options_of(2));
  EXPECT_EQ(network->layers.size(), 4U);
  EXPECT_EQ(train(*network, *make_cpu_device(Isa::kAuto, 2)), train(*network, *make_reference_device()));
}

TEST(Extending, ALayerHasItsGradients) {
  builder::Builder b("two branches", options_of(2));
  using namespace builder;
  Value* x = relu(b, batch_norm(b, conv(b, b.images(8, 8, 3), {"conv1", 8}), "bn1"));
  Value* y = batch_norm(b, conv(b, x, {"conv2", 8}), "bn2");
  softmax_loss(b, linear(b, average_pool(b, relu(b, sum_of(b, y, x)), "pool"), "fc", 5));
  const auto network = b.finish();
  EXPECT_EQ(train(*network, *make_cpu_device(Isa::kAuto, 1)), train(*network, *make_reference_device()));
}

}  // namespace
}  // namespace bitcycle
