// SPDX-License-Identifier: Apache-2.0
// The device tests on a GPU; all of them skip, with the reason, where there is none.
#include <gtest/gtest.h>

#include <iostream>

#include "tests/golden/backends.h"

namespace bitcycle::test {

std::vector<NamedBackend> backends_under_test() { return {{"gpu", make_cuda_backend}}; }

namespace {

class GpuAtHand : public ::testing::Environment {
 public:
  void SetUp() override {
    try {
      std::cout << make_cuda_backend()->name() << std::endl;
    } catch (const std::runtime_error& error) {
      GTEST_SKIP() << error.what();
    }
  }
};

}  // namespace
}  // namespace bitcycle::test

int main(int count, char** arguments) {
  ::testing::InitGoogleTest(&count, arguments);
  ::testing::AddGlobalTestEnvironment(new bitcycle::test::GpuAtHand);
  return RUN_ALL_TESTS();
}
