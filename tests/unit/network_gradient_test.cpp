// SPDX-License-Identifier: Apache-2.0
// The whole network against binary64: in float32 its loss and every gradient follow the definitions; in wide integers
// they come close to them.
#include <gtest/gtest.h>

#include <cmath>

#include "small_network.h"

namespace bitcycle::test {
namespace {

constexpr std::int64_t kBatch = 4;

struct Gradients {
  double loss;
  std::map<std::string, std::vector<double>> by_name;
};

Gradients network_gradients(Backend& backend, Network& network, const SmallBatch& batch, LayerWidths width) {
  const std::vector<LayerWidths> widths(network.convolutions().size(), width);
  network.allocate(backend, kBatch, widths);
  initialise(network, backend, 11);
  network.load(backend, batch.x.data(), batch.labels.data(), batch.n);
  StepContext context{backend, true, 0, batch.n, 1, widths.data(), {}};
  context.quantisation.stochastic = false;
  const StepResult result = network.compute_gradients(context);
  EXPECT_EQ(result.non_finite, "");
  Gradients gradients{result.loss, {}};
  for (const auto& tensor : save_gradients(network, backend)) {
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
  const auto backend = make_reference_backend();
  const auto network = small_network();
  const SmallBatch batch = small_batch(kBatch, 3);
  const Gradients computed = network_gradients(*backend, *network, batch, {BitWidth::float32(), BitWidth::float32()});
  const Gradients expected = finite_differences(batch, parameters64(*network, *backend), computed.by_name);
  expect_near(computed, expected, 1e-6, 1e-4);
}

TEST(NetworkGradient, OfA24BitNetworkIsCloseToFiniteDifferences) {
  const auto backend = make_reference_backend();
  const auto network = small_network();
  const SmallBatch batch = small_batch(kBatch, 3);
  const Gradients computed =
      network_gradients(*backend, *network, batch, {BitWidth::integer(24), BitWidth::integer(24)});
  const Gradients expected = finite_differences(batch, parameters64(*network, *backend), computed.by_name);
  expect_near(computed, expected, 1e-5, 2e-3);  // the error pass is on a 16-bit grid
}

TEST(NetworkGradient, IsNotComputedForTheInputOfTheFirstLayerOnly) {
  const auto network = small_network();
  std::vector<std::string> without;
  for (const auto& operation : network->describe().matrix) {
    if (!operation.input_gradient) without.push_back(operation.layer);
  }
  EXPECT_EQ(without, std::vector<std::string>{"conv1"});
}

}  // namespace
}  // namespace bitcycle::test
