// SPDX-License-Identifier: Apache-2.0
// Whole trainings on the CUDA backend, run by the host execution layer with fusion and step graphs as on a GPU, have
// the CPU's digests: at any grid size, in any order of blocks and threads.
#include <gtest/gtest.h>

#include "tests/cuda_on_host/host_runtime.h"
#include "tests/property/training_fixture.h"

namespace bitcycle::test {
namespace {

using cuda_on_host::GraphCounts;
using cuda_on_host::HostOptions;
using cuda_on_host::make_cuda_backend_on_host;

TEST(CudaOnHostTraining, HasTheDigestOfTheReferenceInBothReadings) {
  Config config = short_config(4);
  for (const auto reading : {ErrorWeights::kShared, ErrorWeights::kRequantised}) {
    config.precision.error_weights = reading;
    const Outcome expected = train_steps(config, *make_reference_backend());
    for (const auto& options : {HostOptions{2, 0, 0, false}, HostOptions{132, 1, 21, false}, HostOptions{5, 0, 22, false}}) {
      EXPECT_TRUE(same_outcome(expected, train_steps(config, *make_cuda_backend_on_host(options))))
          << options.processors << " multiprocessors, seed " << options.seed;
    }
  }
}

struct WidthCase {
  const char* name;
  BitWidth low, high, gradient;
};

class CudaOnHostWidths : public ::testing::TestWithParam<WidthCase> {};

/// Every container class, and crossing from one to the next within a run.
TEST_P(CudaOnHostWidths, TrainToTheBitsOfTheReference) {
  Config config = short_config(3, 2);
  config.precision.forward = {"cyclic_cosine", GetParam().low, GetParam().high, 1, 3};
  if (GetParam().high.is_float32()) config.precision.forward.name = "constant";
  config.precision.gradient = {"constant", GetParam().gradient, GetParam().gradient, 1, 3};
  const Outcome expected = train_steps(config, *make_reference_backend());
  EXPECT_TRUE(same_outcome(expected, train_steps(config, *make_cuda_backend_on_host())));
}

INSTANTIATE_TEST_SUITE_P(
    Cases, CudaOnHostWidths,
    ::testing::Values(
        WidthCase{"crossing_containers", BitWidth::integer(8), BitWidth::integer(12), BitWidth::integer(8)},
        WidthCase{"wide_8_to_32", BitWidth::integer(8), BitWidth::integer(32), BitWidth::integer(16)},
        WidthCase{"gradient_32", BitWidth::integer(3), BitWidth::integer(8), BitWidth::integer(32)},
        WidthCase{"float32", BitWidth::float32(), BitWidth::float32(), BitWidth::float32()},
        WidthCase{"float32_gradient", BitWidth::integer(8), BitWidth::integer(8), BitWidth::float32()}),
    [](const auto& param) { return std::string(param.param.name); });

/// One graph a container class; a change of width or step updates nodes and makes no graph.
TEST(CudaOnHostTraining, StepsAreGraphsThatAreMadeOnceAContainerClass) {
  GraphCounts graphs;
  Config config = short_config(6, 2);
  auto backend = make_cuda_backend_on_host({}, nullptr, &graphs);
  train_steps(config, *backend);
  EXPECT_EQ(graphs.made, 1);
  EXPECT_EQ(graphs.replayed, 5);
  EXPECT_GT(graphs.updated, 0);
  EXPECT_LT(graphs.updated, graphs.replayed * graphs.nodes);
  graphs = {};
  config.precision.forward = {"cyclic_cosine", BitWidth::integer(7), BitWidth::integer(10), 1, 6};
  backend = make_cuda_backend_on_host({}, nullptr, &graphs);
  train_steps(config, *backend);
  EXPECT_EQ(graphs.made, 2);
}

/// Quickstart as it is, its first ten steps.
TEST(CudaOnHostTraining, QuickstartFor10StepsHasTheDigestOfTheCpu) {
  Config config = load_config(BITCYCLE_SOURCE "/configs/quickstart.yaml", {parse_override("train.steps=10")});
  const Dataset dataset = load_dataset(config.data, config.model.classes);
  const auto digest = [&](Backend& backend) {
    NetworkRun run(config, dataset, backend);
    set_initial_state(run, config, backend);
    for (std::int64_t step = 0; step < config.train.steps; ++step) run.step(step);
    return to_text(digest_state(run.network(), backend).root);
  };
  EXPECT_EQ(digest(*make_cpu_backend()), digest(*make_cuda_backend_on_host()));
}

/// A larger model through half a cycle of its schedule.
TEST(CudaOnHostTraining, Resnet20Cpt3To8For3StepsHasTheDigestOfTheCpu) {
  Config config = short_config(3, 32);
  config.model.name = "resnet20";
  const Outcome expected = train_steps(config, *make_cpu_backend());
  EXPECT_TRUE(same_outcome(expected, train_steps(config, *make_cuda_backend_on_host({132, 0, 5, false}))));
}

}  // namespace
}  // namespace bitcycle::test
