// SPDX-License-Identifier: Apache-2.0
// Whole trainings on a device have the CPU's digests after every step; a checkpoint goes on where it was not written.
#include <gtest/gtest.h>

#include <cstdlib>

#include "nn/train/trainer.h"
#include "tests/golden/devices.h"
#include "tests/golden/source_paths.h"
#include "tests/golden/temporary_folder.h"
#include "tests/property/run_files.h"
#include "tests/property/training_fixture.h"

namespace bitcycle::test {
namespace {

std::unique_ptr<Device> device() {
  auto devices = tested_devices();
  return std::move(devices.at(0));
}

/// Digest after every step.
std::vector<std::string> digests(const Config& config, Device& on, std::int64_t steps) {
  const Dataset dataset = load_dataset(config.data, config.model.classes);
  NetworkRun run(config, dataset, on);
  set_initial_state(run, config);
  std::vector<std::string> texts;
  for (std::int64_t step = 0; step < steps; ++step) {
    run.step(step);
    texts.push_back(to_text(digest_state(run.state()).root));
  }
  return texts;
}

TEST(DeviceTraining, HasTheDigestOfTheReferenceWithBothErrorWeights) {
  Config config = device_config(4);
  for (const auto error_weights : {ErrorWeights::kShared, ErrorWeights::kRequantised}) {
    config.precision.error_weights = error_weights;
    const Outcome expected = train_steps(config, *make_reference_device());
    EXPECT_TRUE(same_outcome(expected, train_steps(config, *device())));
  }
}

struct WidthCase {
  const char* name;
  BitWidth low, high, gradient;
};

class DeviceWidths : public ::testing::TestWithParam<WidthCase> {};

/// Every container class, and crossing from one to the next within a run.
TEST_P(DeviceWidths, TrainToTheBitsOfTheReference) {
  Config config = device_config(3, 2);
  config.precision.forward = {"cyclic_cosine", GetParam().low, GetParam().high, 1, 3};
  if (GetParam().high.is_float32()) config.precision.forward.name = "constant";
  config.precision.gradient = {"constant", GetParam().gradient, GetParam().gradient, 1, 3};
  const Outcome expected = train_steps(config, *make_reference_device());
  EXPECT_TRUE(same_outcome(expected, train_steps(config, *device())));
}

INSTANTIATE_TEST_SUITE_P(
    Cases, DeviceWidths,
    ::testing::Values(WidthCase{"crossing_containers", BitWidth::integer(8), BitWidth::integer(12),
                                BitWidth::integer(8)},
                      WidthCase{"wide_8_to_32", BitWidth::integer(8), BitWidth::integer(32), BitWidth::integer(16)},
                      WidthCase{"gradient_32", BitWidth::integer(3), BitWidth::integer(8), BitWidth::integer(32)},
                      WidthCase{"float32", BitWidth::float32(), BitWidth::float32(), BitWidth::float32()},
                      WidthCase{"float32_gradient", BitWidth::integer(8), BitWidth::integer(8), BitWidth::float32()}),
    [](const auto& param) { return std::string(param.param.name); });

/// Crop, flip, shuffle and normalisation, across the end of an epoch.
TEST(DeviceTraining, LoadsTheImagesThatTheCpuLoads) {
  for (const bool augment : {false, true}) {
    Config config = device_config(4);
    config.data.train_images = 10;  // the third batch reaches into the second epoch
    config.data.augment = augment;
    const Dataset dataset = load_dataset(config.data, config.model.classes);
    const auto images = [&](Device& on) {
      NetworkRun run(config, dataset, on, {"images"});
      set_initial_state(run, config);
      std::vector<std::vector<float>> batches;
      for (std::int64_t step = 0; step < 4; ++step) {
        run.step(step);
        const auto size = run.network().program.spec(run.network().images).size();
        run.read("images", batches.emplace_back(static_cast<std::size_t>(size)).data());
      }
      return batches;
    };
    EXPECT_EQ(images(*make_cpu_device()), images(*device())) << (augment ? "augmented" : "as they are");
  }
}

/// Quickstart as it is: its first ten steps, or, where a device takes half a minute a step, three;
/// BITCYCLE_LONG_TESTS=1 asks for all ten.
TEST(DeviceTraining, QuickstartHasTheDigestsOfTheCpu) {
  const auto gpu = device();
  const bool slow = gpu->name().find("host") != std::string::npos && std::getenv("BITCYCLE_LONG_TESTS") == nullptr;
  const std::int64_t steps = slow ? 3 : 10;
  const Config config = load_config(source_path("/configs/quickstart.yaml"), {parse_override("train.steps=10")});
  EXPECT_EQ(digests(config, *make_cpu_device(), steps), digests(config, *gpu, steps));
}

/// Two steps on one, the state carried over as a checkpoint has it, two on the other: the bits of four on either.
TEST(DeviceTraining, ACheckpointMovesBetweenDevices) {
  const Config config = device_config(4);
  const Dataset dataset = load_dataset(config.data, config.model.classes);
  const auto cpu = make_cpu_device();
  const std::string expected = digests(config, *cpu, 4).back();
  const auto move = [&](Device& from, Device& to) {
    NetworkRun first(config, dataset, from);
    set_initial_state(first, config);
    for (std::int64_t step = 0; step < 2; ++step) first.step(step);
    TensorFile file;
    file.tensors = save_state(first.state());
    NetworkRun second(config, dataset, to);
    load_state(second.state(), file, "the checkpoint");
    for (std::int64_t step = 2; step < 4; ++step) second.step(step);
    return to_text(digest_state(second.state()).root);
  };
  const auto gpu = device();
  EXPECT_EQ(move(*cpu, *gpu), expected);
  EXPECT_EQ(move(*gpu, *cpu), expected);
}

/// A network of other shapes: depthwise convolutions, batch norms without a rectifier, statistics large enough to share
/// memory.
TEST(DeviceTraining, MobileNetV2HasTheDigestOfTheCpu) {
  Config config = device_config(2, 1);
  config.data.test_images = 1;
  config.model.name = "mobilenet_v2";
  config.precision.forward = {"cyclic_cosine", BitWidth::integer(3), BitWidth::integer(8), 1, 2};
  EXPECT_TRUE(same_outcome(train_steps(config, *make_cpu_device()), train_steps(config, *device())));
}

/// A number that is not finite is reported as the CPU reports it.
TEST(DeviceTraining, ANumberThatIsNotFiniteIsFoundWhereTheCpuFindsIt) {
  Config config = device_config(2);
  const Dataset dataset = load_dataset(config.data, config.model.classes);
  const auto found = [&](Device& on) {
    NetworkRun run(config, dataset, on);
    set_initial_state(run, config);
    const Parameter* p = run.network().parameters.find("group2_layer0.conv1.weight");
    if (p == nullptr) return std::string("no such parameter");
    auto values = run.state().values();
    values[p->offset + 7] = std::numeric_limits<float>::infinity();
    run.state().set_values(values);
    try {
      run.step(0);
    } catch (const NonFiniteError& error) {
      return std::string(error.what());
    }
    return std::string("nothing found");
  };
  const std::string expected = found(*make_cpu_device());
  EXPECT_NE(expected.find("group2_layer0.conv1"), std::string::npos) << expected;
  EXPECT_EQ(found(*device()), expected);
}

/// The trainer starts a step before it has seen the one before. Its records, evaluations and checkpoints are the CPU's,
/// also where it is stopped and goes on, on another device.
TEST(DeviceTraining, TheTrainersFilesAreThoseOfTheCpu) {
  const TemporaryFolder folder;
  Config config = device_config(7, 2);
  config.train.evaluate_every = 4;
  config.train.checkpoint_every = 3;
  config.digest.every = 3;
  RecordingListener listener;
  const auto cpu = make_cpu_device();
  train_to(config, *cpu, folder.path() / "cpu", listener);
  train_to(config, *device(), folder.path() / "device", listener);
  expect_same_run(folder.path() / "cpu", folder.path() / "device");
  TrainOptions options;
  options.run = folder.path() / "moved";
  options.stop_after = 4;  // between checkpoints, and with a step that could have been started
  train(config, *device(), options, listener);
  options.stop_after = 0;
  train(config, *cpu, options, listener);
  expect_same_run(folder.path() / "cpu", folder.path() / "moved");
}

/// A number that is not finite stops a run that is a step ahead; the last checkpoint is whole and the run goes on from
/// it.
TEST(DeviceTraining, ARunThatFailsLeavesItsLastCheckpoint) {
  const TemporaryFolder folder;
  Config config = device_config(8, 2);
  config.data.test_images = 4;
  config.train.checkpoint_every = 2;
  config.learning_rate.schedule = "piecewise";
  config.learning_rate.points = {2};
  config.learning_rate.factor = 1e37;  // from step 2 on
  RecordingListener listener;
  std::string errors[2];
  int i = 0;
  for (const auto& library : {make_cpu_device(), device()}) {
    const auto run = folder.path() / std::to_string(i);
    try {
      train_to(config, *library, run, listener);
    } catch (const NonFiniteError& error) {
      errors[i] = error.what();
    }
    std::vector<std::string> warnings;
    const auto checkpoint = RunFolder::existing(run).newest_checkpoint(warnings);
    ASSERT_TRUE(checkpoint);
    EXPECT_EQ(checkpoint->step, 2);
    ++i;
  }
  EXPECT_FALSE(errors[0].empty());
  EXPECT_EQ(errors[0], errors[1]);
}

TEST(DeviceTraining, ProfilesByKernel) {
  const auto library = device();
  if (library->name().starts_with("cpu")) GTEST_SKIP() << "the CPU counts no bytes";
  library->set_profiling(true);
  train_steps(device_config(2), *library);
  double seconds = 0.0;
  std::int64_t macs = 0, bytes = 0;
  for (const auto& entry : library->profile()) {
    seconds += entry.seconds;
    macs += entry.macs;
    bytes += entry.bytes;
  }
  EXPECT_GT(seconds, 0.0);
  EXPECT_GT(macs, 0);
  EXPECT_GT(bytes, 0);
}

}  // namespace
}  // namespace bitcycle::test
