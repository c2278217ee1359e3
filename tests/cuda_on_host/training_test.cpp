// SPDX-License-Identifier: Apache-2.0
// Whole trainings on the CUDA library, run by the host execution layer with fusion and step graphs as on a GPU, have
// the CPU's digests: at any grid size, in any order of blocks and threads.
#include <gtest/gtest.h>

#include <cstdio>

#include "cuda/host/host_runtime.h"
#include "nn/train/trainer.h"
#include "tests/cuda_on_host/step_table.h"
#include "tests/golden/photographs.h"
#include "tests/golden/temporary_folder.h"
#include "tests/property/training_fixture.h"

namespace bitcycle::test {
namespace {

using cuda_on_host::GraphCounts;
using cuda_on_host::HostOptions;
using cuda_on_host::make_cuda_device_on_host;

TEST(CudaOnHostTraining, HasTheDigestOfTheReferenceOnAnyGridInAnyOrder) {
  Config config = device_config(3);
  for (const auto error_weights : {ErrorWeights::kShared, ErrorWeights::kRequantised}) {
    config.precision.error_weights = error_weights;
    const Outcome expected = train_steps(config, *make_reference_device());
    for (const auto& options : {HostOptions{132, 1, 21, false}, HostOptions{5, 0, 22, false}}) {
      EXPECT_TRUE(same_outcome(expected, train_steps(config, *make_cuda_device_on_host(options))))
          << options.processors << " multiprocessors, seed " << options.seed;
    }
  }
}

/// Branches beside the main sequence take any turn that the graph's edges allow: a missing edge shows in some of them.
TEST(CudaOnHostTraining, HasTheSameDigestInManyOrdersOfBranches) {
  const Config config = device_config(6, 1);
  const Outcome expected = train_steps(config, *make_cpu_device());
  for (std::uint64_t seed = 1; seed <= 12; ++seed) {
    EXPECT_TRUE(same_outcome(expected, train_steps(config, *make_cuda_device_on_host({3, 0, seed, false}))))
        << "seed " << seed;
  }
}

/// Steps of a training without evaluations, which are graphs of their own.
void run_steps(const Config& config, Device& device, std::int64_t steps) {
  const Dataset dataset = load_dataset(config.data, config.model.classes);
  NetworkRun run(config, dataset, device);
  set_initial_state(run, config);
  for (std::int64_t step = 0; step < steps; ++step) run.step(step);
}

/// One graph a container class. Widths, learning rate and step number are records in device memory: a step changes the
/// launch that writes them and the one that loads its images, whatever its widths are.
TEST(CudaOnHostTraining, StepsAreGraphsThatAreMadeOnceAContainerClass) {
  GraphCounts graphs;
  Config config = short_config(6, 2);
  auto device = make_cuda_device_on_host({}, nullptr, &graphs);
  run_steps(config, *device, 6);
  EXPECT_EQ(graphs.made, 1);
  EXPECT_EQ(graphs.replayed, 5);
  EXPECT_EQ(graphs.updated, 2 * graphs.replayed);
  graphs = {};
  config.precision.forward = {"cyclic_cosine", BitWidth::integer(7), BitWidth::integer(10), 1, 6};
  device = make_cuda_device_on_host({}, nullptr, &graphs);
  run_steps(config, *device, 6);
  EXPECT_EQ(graphs.made, 2);
  EXPECT_EQ(graphs.updated, 2 * graphs.replayed);
}

/// What a step at 8/8 bits is on a GPU: launches, how many of them wait for each other, bytes and products by kernel.
/// Prints a table of bench/results/cuda-static.md.
GraphCounts counts_of_a_step(const std::string& model, std::int64_t batch, Dataset dataset) {
  GraphCounts graphs;
  Config config = short_config(2, batch);
  config.model.name = model;
  config.model.classes = dataset.train.classes;
  config.precision.forward = {"constant", BitWidth::integer(8), BitWidth::integer(8), 1, 2};
  HostOptions options;
  options.processors = 132;
  options.executes = false;
  const auto device = make_cuda_device_on_host(options, nullptr, &graphs);
  NetworkRun run(config, dataset, *device);
  // Nothing is computed. The first step takes memory on its way, the second one is what all others are.
  for (const std::int64_t step : {0, 1}) EXPECT_THROW(run.step(step), NonFiniteError);
  print_step_table(graphs, device->memory_bytes());
  return graphs;
}

TEST(CudaOnHostTraining, TheStepOfResnet74IsAFewHundredLaunches) {
  const Config config = short_config(2, 128);
  GraphCounts graphs = counts_of_a_step("resnet74", 128, load_dataset(config.data, 10));
  std::int64_t products = 0;
  for (const auto& [name, kernel] : graphs.kernels) products += kernel.macs;
  // 75 convolutions: a quantisation and a product forward; range, quantisation and product backward; weight gradients
  // beside them. 37 sums of a residual stream. The rest is the two ends of the network.
  EXPECT_EQ(graphs.kernels["convolution forward"].launches, 75);
  EXPECT_EQ(graphs.kernels["convolution error"].launches, 74);
  EXPECT_EQ(graphs.kernels["convolution weight gradient"].in_branches, 75);
  EXPECT_EQ(graphs.kernels["batch norm forward"].launches, 37);
  EXPECT_EQ(graphs.kernels.count("batch norm prepare"), 0U);
  EXPECT_LE(graphs.critical_path, 2 * 75 + 37 + 3 * 75 + 17);
  EXPECT_GT(products, 0);
}

/// The 17 depthwise layers have kernels of their own in all three passes.
TEST(CudaOnHostTraining, TheStepOfMobileNetV2IsAFewHundredLaunches) {
  const Config config = short_config(2, 128);
  GraphCounts graphs = counts_of_a_step("mobilenet_v2", 128, load_dataset(config.data, 10));
  for (const char* kernel : {"depthwise forward", "depthwise error", "depthwise weight gradient"}) {
    EXPECT_EQ(graphs.kernels[kernel].launches, 17) << kernel;
    EXPECT_GT(graphs.kernels[kernel].bytes, 0) << kernel;
  }
  for (const auto& [name, kernel] : graphs.kernels) {
    EXPECT_TRUE(name.find("direct") == std::string::npos) << name;
  }
  EXPECT_LE(graphs.critical_path, 700);
}

/// Four images stand for all: nothing is computed.
TEST(CudaOnHostTraining, TheStepOfResnet50IsAFewHundredLaunches) {
  Dataset dataset;
  dataset.train = {4, 224, 224, 3, 1000, std::vector<std::uint8_t>(4 * 224 * 224 * 3), {0, 1, 2, 3}};
  dataset.test = dataset.train;
  GraphCounts graphs = counts_of_a_step("resnet50", 256, std::move(dataset));
  // 48 integer convolutions; the first one and four shortcuts are float32.
  EXPECT_EQ(graphs.kernels["convolution forward"].launches, 48);
  EXPECT_EQ(graphs.kernels["convolution error"].launches, 48);
  EXPECT_EQ(graphs.kernels["convolution weight gradient"].launches, 48);
  EXPECT_LE(graphs.critical_path, 700);
}

/// A folder's images are uploaded batch by batch, two lying on the device at a time, while the step before runs.
TEST(CudaOnHostTraining, StreamedImageFoldersHaveTheDigestOfTheCpu) {
  const TemporaryFolder folder;
  make_image_folder(folder.path(), 2, 5, 3);
  Config config = device_config(7, 4);  // through two epochs of 10 images; 6 test images are a batch and a half
  config.model.classes = 2;
  config.data.name = "imagefolder";
  config.data.path = folder.path().string();
  config.data.train_images = config.data.test_images = 0;
  config.data.image_size = 32;
  config.data.resize = 40;
  const Outcome expected = train_steps(config, *make_cpu_device());
  EXPECT_GT(expected.losses.back(), 0.0);
  EXPECT_TRUE(same_outcome(expected, train_steps(config, *make_cuda_device_on_host({3, 0, 31, false}))));
}

/// A larger model through half a cycle of its schedule.
TEST(CudaOnHostTraining, Resnet20Cpt3To8For3StepsHasTheDigestOfTheCpu) {
  Config config = device_config(3, 16);
  config.data.test_images = 1;
  config.model.name = "resnet20";
  const Outcome expected = train_steps(config, *make_cpu_device());
  EXPECT_TRUE(same_outcome(expected, train_steps(config, *make_cuda_device_on_host({132, 0, 5, false}))));
}

/// Accesses of the first block of each kernel over a step: what the products do in shared memory has next to no bank
/// conflicts, and every kernel's requests to global memory are counted. Prints the table of docs/results.md.
TEST(CudaOnHostTraining, AccessesOfAStepAreCountedByKernel) {
  cuda_on_host::AccessCounts counts;
  Config config = short_config(2, 128);
  const Dataset dataset = load_dataset(config.data, config.model.classes);
  const auto device = make_cuda_device_on_host({132, 0, 0, true}, &counts);
  NetworkRun run(config, dataset, *device);
  set_initial_state(run, config);
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
