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

TEST(CudaOnHostTraining, HasTheDigestOfTheReferenceOnAnyGridInAnyOrder) {
  Config config = short_config(4);
  for (const auto reading : {ErrorWeights::kShared, ErrorWeights::kRequantised}) {
    config.precision.error_weights = reading;
    const Outcome expected = train_steps(config, *make_reference_backend());
    for (const auto& options : {HostOptions{132, 1, 21, false}, HostOptions{5, 0, 22, false}}) {
      EXPECT_TRUE(same_outcome(expected, train_steps(config, *make_cuda_backend_on_host(options))))
          << options.processors << " multiprocessors, seed " << options.seed;
    }
  }
}

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

/// A larger model through half a cycle of its schedule.
TEST(CudaOnHostTraining, Resnet20Cpt3To8For3StepsHasTheDigestOfTheCpu) {
  Config config = short_config(3, 32);
  config.model.name = "resnet20";
  const Outcome expected = train_steps(config, *make_cpu_backend());
  EXPECT_TRUE(same_outcome(expected, train_steps(config, *make_cuda_backend_on_host({132, 0, 5, false}))));
}

}  // namespace
}  // namespace bitcycle::test
