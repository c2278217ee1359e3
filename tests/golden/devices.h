// SPDX-License-Identifier: Apache-2.0
// The libraries that a test program compares: those of the CPU, the CUDA library run by the host execution layer, or a
// GPU. The same tests are linked with each list.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "sim/device/kernel_device.h"
#include "sim/device/kernel_library.h"

namespace bitcycle::test {

struct NamedLibrary {
  const char* name;
  std::unique_ptr<KernelLibrary> (*make)();  // null where this machine does not have it
};
std::vector<NamedLibrary> libraries_under_test();

/// Those that this machine has.
inline std::vector<std::unique_ptr<KernelLibrary>> all_libraries() {
  std::vector<std::unique_ptr<KernelLibrary>> libraries;
  for (const auto& named : libraries_under_test()) {
    if (auto library = named.make()) libraries.push_back(std::move(library));
  }
  return libraries;
}

/// Null where this machine does not have it.
inline std::unique_ptr<Device> device_of(const NamedLibrary& named) {
  auto library = named.make();
  return library ? make_kernel_device(std::move(library)) : nullptr;
}

/// Their devices. The reference is one for which there is nothing to compare.
inline std::vector<std::unique_ptr<Device>> tested_devices() {
  std::vector<std::unique_ptr<Device>> devices;
  for (const auto& named : libraries_under_test()) {
    if (auto library = named.make()) devices.push_back(make_kernel_device(std::move(library)));
  }
  return devices;
}

}  // namespace bitcycle::test
