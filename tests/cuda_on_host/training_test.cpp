// SPDX-License-Identifier: Apache-2.0
// Whole trainings on the CUDA backend, run by the host execution layer with fusion and step graphs as on a GPU, have
// the CPU's digests: at any grid size, in any order of blocks and threads.
#include <gtest/gtest.h>

#include <cstdio>

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

/// Accesses of the first block of each kernel over a step: what the products do in shared memory has next to no bank
/// conflicts, and every kernel's requests to global memory are counted. Prints the table of docs/results.md.
TEST(CudaOnHostTraining, AccessesOfAStepAreCountedByKernel) {
  cuda_on_host::AccessCounts counts;
  Config config = short_config(2, 128);
  config.model.name = "resnet20";
  const Dataset dataset = load_dataset(config.data, config.model.classes);
  const auto backend = make_cuda_backend_on_host({132, 0, 0, true}, &counts);
  NetworkRun run(config, dataset, *backend);
  set_initial_state(run, config, *backend);
  run.step(0);
  std::printf(
      "| kernel | sectors of 32 bytes a global request | of the fewest | cycles a shared request | of the fewest |\n");
  for (const auto& [name, c] : counts) {
    const auto ratio = [](std::int64_t a, std::int64_t b) {
      return b == 0 ? 0.0 : static_cast<double>(a) / static_cast<double>(b);
    };
    std::printf("| %s | %.1f | %.2f | %.1f | %.2f |\n", name.c_str(), ratio(c.global_sectors, c.global_requests),
                ratio(c.global_sectors, c.least_sectors), ratio(c.shared_cycles, c.shared_requests),
                ratio(c.shared_cycles, c.least_cycles));
  }
  for (const char* name : {"convolution forward", "convolution error", "convolution weight gradient"}) {
    ASSERT_TRUE(counts.contains(name)) << name;
    EXPECT_GT(counts[name].shared_requests, 0) << name;
    EXPECT_LT(static_cast<double>(counts[name].shared_cycles), 2.0 * static_cast<double>(counts[name].least_cycles))
        << name;
  }
}

}  // namespace
}  // namespace bitcycle::test
