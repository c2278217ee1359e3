// SPDX-License-Identifier: Apache-2.0
// Longer trainings on a GPU against the CPU, digest by digest: resnet20 for 50 steps on real CIFAR-10, resnet38 with
// CPT 3-8 for 20 steps. On the host execution layer they take ten minutes, so they run there only when they are asked
// for: BITCYCLE_LONG_TESTS=1 ./run-tests --cuda-on-host --filter DeviceRealData
#include <gtest/gtest.h>

#include <cstdlib>

#include "tests/golden/devices.h"
#include "tests/golden/source_paths.h"
#include "tests/property/training_fixture.h"

namespace bitcycle::test {
namespace {

/// True where the test is not to be run: the host layer is slow.
bool too_long(const Device& device) {
  return device.name().find("host") != std::string::npos && std::getenv("BITCYCLE_LONG_TESTS") == nullptr;
}

void compare(const Config& config) {
  const auto devices = tested_devices();
  if (too_long(*devices.at(0))) {
    GTEST_SKIP() << "takes minutes on the host execution layer; BITCYCLE_LONG_TESTS=1 runs it";
  }
  const auto cpu = make_cpu_device();
  const Dataset dataset = load_dataset(config.data, config.model.classes);
  NetworkRun expected(config, dataset, *cpu), actual(config, dataset, *devices.at(0));
  set_initial_state(expected, config);
  set_initial_state(actual, config);
  for (std::int64_t step = 0; step < config.train.steps; ++step) {
    expected.step(step);
    actual.step(step);
    ASSERT_EQ(to_text(digest_state(expected.state()).root), to_text(digest_state(actual.state()).root))
        << "after step " << step;
  }
}

TEST(DeviceRealData, Resnet20For50StepsOnCifar10) {
  const char* data = std::getenv("BITCYCLE_DATA");
  if (data == nullptr) GTEST_SKIP() << "BITCYCLE_DATA does not name a folder with CIFAR-10's binary files";
  compare(load_config(source_path("/configs/experiments/cifar10/resnet20-cpt-3-8.yaml"),
                      {parse_override(std::string("data.path=") + data), parse_override("train.steps=50")}));
}

TEST(DeviceRealData, Resnet38Cpt3To8For20Steps) {
  Config config = short_config(20, 64);
  config.model.name = "resnet38";
  compare(config);
}

}  // namespace
}  // namespace bitcycle::test
