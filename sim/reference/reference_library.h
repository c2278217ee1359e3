// SPDX-License-Identifier: Apache-2.0
// ReferenceLibrary: the specification. Every operation is a plain loop over docs/numerics.md, one thread, host memory;
// other libraries are right where they give the same bits.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "sim/device/kernel_library.h"
#include "sim/device/operation_profile.h"
#include "sim/reference/operations.h"

namespace bitcycle {

class ReferenceLibrary final : public KernelLibrary {
 public:
  std::string name() const override { return "reference"; }
  int threads() const override { return 1; }

  void* allocate(std::size_t bytes) override;
  void release(void* data) noexcept override;
  void to_device(void* device, const void* host, std::size_t bytes) override;
  void to_host(void* host, const void* device, std::size_t bytes) override;
  void fill_zero(void* device, std::size_t bytes) override;
  void synchronise() override {}

#include "sim/device/kernel_library_overrides.inl"

 private:
  OperationProfile profile_;
};

}  // namespace bitcycle
