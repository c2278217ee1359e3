// SPDX-License-Identifier: Apache-2.0
// The device tests on a GPU; all of them skip, with the reason, where there is none. BITCYCLE_TEST_DEVICE names another
// device to try the tests themselves on: cpu, cuda-on-host or reference (which also records what the reference gives in
// the file that BITCYCLE_OUTCOMES names). With --kernel NAME only steps that launch this kernel count, one kernel at a
// time; a line is printed as each case ends, and without a device it is an error.
#include <gtest/gtest.h>

#include <cstdlib>
#include <iostream>

#include "cuda/cuda_device.h"
#include "tests/exact/recorded_outcome.h"
#include "tests/golden/devices.h"

namespace bitcycle::test {
namespace {

std::string device_name() {
  const char* name = std::getenv("BITCYCLE_TEST_DEVICE");
  return name == nullptr || *name == '\0' ? "cuda" : name;
}

std::unique_ptr<KernelLibrary> make_device() {
  const std::string name = device_name();
  if (name == "cpu") return make_cpu_library();
  if (name == "reference") return make_reference_library();
  if (name == "cuda-on-host") return make_cuda_on_host_library();
  return make_cuda_library();
}

class DeviceAtHand : public ::testing::Environment {
 public:
  void SetUp() override {
    try {
      std::cout << make_device()->name() << std::endl;
    } catch (const std::runtime_error& error) {
      GTEST_SKIP() << error.what();
    }
  }
};

/// For --kernel: each case as it ends, in place of GoogleTest's own words, which say PASSED where nothing was compared.
class KernelProgress : public ::testing::EmptyTestEventListener {
 public:
  void OnTestPartResult(const ::testing::TestPartResult& result) override {
    if (result.failed()) std::cout << result.message() << '\n';
  }
  void OnTestEnd(const ::testing::TestInfo& test) override {
    const int all = ::testing::UnitTest::GetInstance()->test_to_run_count();
    const char* outcome = test.result()->Skipped() ? "skipped" : test.result()->Passed() ? "equal" : "DIFFERENT";
    std::cout << "case " << ++done_ << " of " << all << ": " << test.name() << ": " << outcome << std::endl;
  }

 private:
  int done_ = 0;
};

int check_one_kernel(const KernelCheck& check) {
  try {
    const std::string name = make_device()->name();
    std::cout << "kernel '" << check.kernel << "' on " << name << std::endl;
  } catch (const std::runtime_error& error) {
    std::cerr << "test_gpu: error: nothing was compared: " << error.what() << std::endl;
    return 1;
  }
  GTEST_FLAG_SET(filter, "*DeviceStep*Reference*:*DeviceStep*Width*");
  auto& listeners = ::testing::UnitTest::GetInstance()->listeners();
  delete listeners.Release(listeners.default_result_printer());
  listeners.Append(new KernelProgress);
  const int failed = RUN_ALL_TESTS();
  std::cout << "kernel '" << check.kernel << "': " << check.steps << " steps launch it, " << check.different
            << " of them differ from the reference\n";
  if (check.steps > 0) return failed;
  std::cout << "nothing was compared; the kernels that were launched:\n";
  for (const auto& name : check.seen) std::cout << "  " << name << '\n';
  return 1;
}

}  // namespace

std::vector<NamedLibrary> libraries_under_test() { return {{"gpu", make_device}}; }

}  // namespace bitcycle::test

int main(int count, char** arguments) {
  using namespace bitcycle::test;
  KernelCheck& check = kernel_check();
  for (int i = 1; i + 1 < count; ++i) {
    if (std::string(arguments[i]) == "--kernel") check.kernel = arguments[i + 1];
  }
  ::testing::InitGoogleTest(&count, arguments);
  if (!check.kernel.empty()) return check_one_kernel(check);
  ::testing::AddGlobalTestEnvironment(new DeviceAtHand);
  return RUN_ALL_TESTS();
}
