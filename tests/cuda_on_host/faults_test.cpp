// SPDX-License-Identifier: Apache-2.0
// What happens when something goes wrong on the device, and the means to find it: failing launches, one kernel at a
// time, two devices side by side.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cuda/host/host_runtime.h"
#include "nn/train/lockstep.h"
#include "nn/train/trainer.h"
#include "tests/exact/library_fixture.h"
#include "tests/golden/temporary_folder.h"
#include "tests/property/run_files.h"
#include "tests/property/training_fixture.h"

namespace bitcycle::test {
namespace {

using cuda_on_host::HostOptions;
using cuda_on_host::make_cuda_device_on_host;
using cuda_on_host::make_cuda_library_on_host;
using ::testing::HasSubstr;

/// The step that is being queued fails while the one before it is on its way: the message is the failure's, and the
/// last checkpoint is whole.
TEST(CudaOnHostFaults, AStepThatFailsWhileItIsQueuedEndsInItsMessage) {
  const TemporaryFolder folder;
  Config config = device_config(4, 1);
  config.train.checkpoint_every = 1;
  config.train.evaluate_every = 100;
  RecordingListener listener;
  HostOptions options;
  std::string message;
  for (options.fails_at = 500; message.empty() && options.fails_at < 1600; options.fails_at += 331) {
    const auto path = folder.path() / std::to_string(options.fails_at);
    try {
      train_to(config, *make_cuda_device_on_host(options), path, listener);
      break;
    } catch (const std::runtime_error& error) {
      EXPECT_THAT(error.what(), HasSubstr("a failure on purpose"));
    }
    std::vector<std::string> warnings;
    RunFolder::existing(path).newest_checkpoint(warnings);
    EXPECT_TRUE(warnings.empty());
  }
}

/// The same at the first launch of a step, where nothing of it has been queued.
TEST(CudaOnHostFaults, ARunThatIsGivenUpAfterAFailedStartEndsQuietly) {
  const Config config = device_config(3, 1);
  const Dataset dataset = load_dataset(config.data, config.model.classes);
  HostOptions options;
  options.fails_at = 1;
  const auto probe = make_cuda_device_on_host({});
  std::string message;
  const auto device = make_cuda_device_on_host(options);
  try {
    NetworkRun run(config, dataset, *device);
    set_initial_state(run, config);
    run.start(0);
    run.start(1);
  } catch (const std::runtime_error& error) {
    message = error.what();
  }
  EXPECT_THAT(message, HasSubstr("a failure on purpose"));
}

/// Two linear layers in one step: their gradients are branches of their own and may run in any order, so that each
/// needs its own bounds.
TEST(CudaOnHostFaults, LinearLayersOfOneStepDoNotShareTheirBounds) {
  struct Layer {
    std::int64_t n, inputs, outputs;
    float scale;
  };
  const Layer layers[2] = {{5, 12, 7, 1.0F}, {5, 9, 3, 1e-12F}};
  const auto gradients = [&](KernelLibrary& library) {
    std::vector<Buffer> kept;
    std::vector<std::vector<float>> results;
    std::vector<LinearBackward> calls;
    for (int i = 0; i < 2; ++i) {
      const Layer& l = layers[i];
      const auto seed = static_cast<std::uint64_t>(10 * i);
      LinearBackward call;
      call.n = l.n;
      call.inputs = l.inputs;
      call.outputs = l.outputs;
      const auto push = [&](std::int64_t size, std::uint64_t s, float scale) {
        kept.push_back(upload(library, random_normal(size, s, scale)));
        return kept.back().as<float>();
      };
      call.x = push(l.n * l.inputs, seed + 1, l.scale);
      call.w = push(l.inputs * l.outputs, seed + 2, 1.0F);
      call.dy = push(l.n * l.outputs, seed + 3, l.scale);
      call.dw = push(l.inputs * l.outputs, seed + 4, 0.0F);
      call.dbias = push(l.outputs, seed + 5, 0.0F);
      calls.push_back(call);
    }
    library.begin_step(0);
    for (const auto& call : calls) library.linear_backward(call);
    library.end_step();
    for (const auto& call : calls) {
      results.push_back(download(library, call.dw, call.inputs * call.outputs));
      results.push_back(download(library, call.dbias, call.outputs));
    }
    return results;
  };
  const auto expected = gradients(*make_reference_library());
  for (std::uint64_t seed = 1; seed <= 16; ++seed) {
    EXPECT_EQ(expected, gradients(*make_cuda_library_on_host({2, 0, seed}))) << "seed " << seed;
  }
}

/// Schedules with widths for every layer make many sequences of kernels; the graphs that are kept are bounded.
TEST(CudaOnHostFaults, ARunOfManyWidthsKeepsABoundedNumberOfGraphs) {
  cuda_on_host::GraphCounts graphs;
  Config config = short_config(60, 1);
  config.precision.forward = {"cyclic_cosine", BitWidth::integer(7), BitWidth::integer(10), 7, 60};
  const char* patterns[] = {"group1*conv1", "group2*conv1", "group3*conv1", "group2*conv2", "group3*conv2"};
  int cycles = 1;
  for (const char* pattern : patterns) {
    PrecisionOverride layer;
    layer.pattern = pattern;
    layer.forward = ScheduleSpec{"cyclic_cosine", BitWidth::integer(7), BitWidth::integer(10), ++cycles, 60};
    config.precision.layers.push_back(layer);
  }
  HostOptions options;
  options.executes = false;
  const auto device = make_cuda_device_on_host(options, nullptr, &graphs);
  const Dataset dataset = load_dataset(config.data, config.model.classes);
  NetworkRun run(config, dataset, *device);
  for (std::int64_t step = 0; step < 60; ++step) {
    run.start(step);
    try {
      run.finish();
    } catch (const NonFiniteError&) {
      // Nothing is computed.
    }
  }
  EXPECT_GT(graphs.made, 16);
  EXPECT_LE(graphs.kept, 16);
}

TEST(CudaOnHostFaults, OneKernelAtATimeAndWithoutAGraphTheBitsAreTheSame) {
  const Config config = device_config(2, 2);
  const Outcome expected = train_steps(config, *make_cpu_device());
  HostOptions options;
  options.cuda.serial = true;
  EXPECT_TRUE(same_outcome(expected, train_steps(config, *make_cuda_device_on_host(options))));
  options.cuda = {};
  options.cuda.graph = false;
  EXPECT_TRUE(same_outcome(expected, train_steps(config, *make_cuda_device_on_host(options))));
}

TEST(CudaOnHostFaults, InLockstepEveryTensorEqualsTheCpu) {
  const Config config = device_config(2, 2);
  const auto cpu = make_cpu_device(), device = make_cuda_device_on_host({});
  const LockstepResult result = train_in_lockstep(config, *device, *cpu, 2);
  EXPECT_TRUE(result.equal) << result.what << ": " << result.tensor;
  EXPECT_EQ(result.steps, 2);
  EXPECT_GT(result.tensors, 100);
}

/// A kernel that does nothing is named by the operation that has it, the layer and the tensor.
TEST(CudaOnHostFaults, InLockstepAFaultIsFoundWhereItIs) {
  const Config config = device_config(2, 2);
  struct Case {
    const char *kernel, *what, *tensor;
  };
  for (const Case& one :
       {Case{"weight gradient finish", "convolution backward of", "gradient/"},
        Case{"convolution forward", "convolution forward of conv1", "conv1/y"}, Case{"sgd", "sgd", "momentum/"}}) {
    HostOptions options;
    options.skips = one.kernel;
    const auto cpu = make_cpu_device(), device = make_cuda_device_on_host(options);
    const LockstepResult result = train_in_lockstep(config, *device, *cpu, 1);
    EXPECT_FALSE(result.equal) << one.kernel;
    EXPECT_THAT(result.what, HasSubstr(one.what));
    EXPECT_THAT(result.tensor, HasSubstr(one.tensor));
    EXPECT_GT(result.different, 0);
    EXPECT_EQ(result.steps, 0);
  }
}

}  // namespace
}  // namespace bitcycle::test
