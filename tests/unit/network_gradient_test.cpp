// SPDX-License-Identifier: Apache-2.0
// The whole network against binary64: in float32 its loss and every gradient follow the definitions; in wide integers
// they come close to them.
#include <gtest/gtest.h>

#include <cmath>

#include "nn/run/findings.h"
#include "nn/run/network_state.h"
#include "sim/device/device.h"
#include "sim/program/products.h"
#include "small_network.h"

namespace bitcycle::test {
namespace {

constexpr std::int64_t kBatch = 4;

struct Gradients {
  double loss;
  std::map<std::string, std::vector<double>> by_name;
};

/// Gradients of a step without an update, and the parameters that it had.
Gradients network_gradients(const SmallBatch& batch, LayerWidths width, Parameters64& parameters) {
  builder::Options options = small_options(kBatch, width);
  options.seed = 1;
  options.sgd.reset();
  const auto network = small_network(options);
  const auto device = make_reference_device();
  const auto memory = device->make_state(network->program);
  const auto executable = device->compile(network->program, {memory, network->gradients});
  NetworkState state(*network, memory,
                     [&](std::size_t number, float* host) { executable->read(network->gradients[number], host); });
  initialise(state, 11);
  parameters = parameters64(state);
  StepInputs inputs(network->program);
  inputs.point(network->images, batch.x.data());
  inputs.point(network->labels, batch.labels.data());
  inputs.set(network->step, std::uint32_t{0});
  for (const auto& layer : network->layers) {
    if (layer.forward) inputs.set(layer.forward, width.forward);
    if (layer.gradient) inputs.set(layer.gradient, width.gradient);
  }
  const StepResult result = findings_of(*network, executable->run(inputs));
  EXPECT_EQ(result.non_finite, "");
  Gradients gradients{result.loss, {}};
  for (const auto& tensor : save_gradients(state)) {
    gradients.by_name[tensor.name].assign(tensor.data.begin(), tensor.data.end());
  }
  return gradients;
}

/// Central differences of every parameter.
Gradients finite_differences(const SmallBatch& batch, Parameters64 parameters,
                             const std::map<std::string, std::vector<double>>& wanted) {
  const SmallNetwork64 reference(batch);
  Gradients gradients{reference.loss(parameters), {}};
  constexpr double kStep = 1e-6;
  for (const auto& [name, unused] : wanted) {
    for (double& value : parameters.at(name)) {
      const double kept = value;
      value = kept + kStep;
      const double above = reference.loss(parameters);
      value = kept - kStep;
      const double below = reference.loss(parameters);
      value = kept;
      gradients.by_name[name].push_back((above - below) / (2.0 * kStep));
    }
  }
  return gradients;
}

double relative_error(const std::vector<double>& a, const std::vector<double>& b) {
  double difference = 0.0, norm = 0.0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    difference += (a[i] - b[i]) * (a[i] - b[i]);
    norm += b[i] * b[i];
  }
  return std::sqrt(difference / norm);
}

void expect_near(const Gradients& computed, const Gradients& expected, double loss_tolerance, double tolerance) {
  EXPECT_NEAR(computed.loss, expected.loss, loss_tolerance);
  ASSERT_EQ(computed.by_name.size(), 20U);
  for (const auto& [name, gradient] : computed.by_name) {
    EXPECT_LT(relative_error(gradient, expected.by_name.at(name)), tolerance) << name;
  }
}

TEST(NetworkGradient, OfAFloat32NetworkEqualsFiniteDifferences) {
  const SmallBatch batch = small_batch(kBatch, 3);
  Parameters64 parameters;
  const Gradients computed = network_gradients(batch, {BitWidth::float32(), BitWidth::float32()}, parameters);
  expect_near(computed, finite_differences(batch, parameters, computed.by_name), 1e-6, 1e-4);
}

TEST(NetworkGradient, OfA24BitNetworkIsCloseToFiniteDifferences) {
  const SmallBatch batch = small_batch(kBatch, 3);
  Parameters64 parameters;
  const Gradients computed = network_gradients(batch, {BitWidth::integer(24), BitWidth::integer(24)}, parameters);
  // The error pass is on a 16-bit grid.
  expect_near(computed, finite_differences(batch, parameters, computed.by_name), 1e-5, 2e-3);
}

TEST(NetworkGradient, IsNotComputedForTheInputOfTheFirstLayerOnly) {
  const auto network = small_network(small_options(1, {BitWidth::integer(8), BitWidth::integer(8)}));
  std::vector<std::string> without;
  for (const auto& operation : workload_of(network->program).matrix) {
    if (!operation.input_gradient) without.push_back(operation.layer);
  }
  EXPECT_EQ(without, std::vector<std::string>{"conv1"});
}

/// 65,536 positions of 8-bit gradients overflow 32 bits against 8-bit activations, not against 3-bit ones; a program's
/// check sees bytes in both cases.
TEST(NetworkProgram, NarrowActivationsAndWideGradientsOfALargeBatchAreAProgram) {
  for (const int bits : {2, 3, 7, 8}) {
    EXPECT_NO_THROW(small_network(small_options(1024, {BitWidth::integer(bits), BitWidth::integer(8)}))) << bits;
    EXPECT_NO_THROW(small_network(small_options(1024, {BitWidth::integer(8), BitWidth::integer(bits)}))) << bits;
  }
}

}  // namespace
}  // namespace bitcycle::test
