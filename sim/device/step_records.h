// SPDX-License-Identifier: Apache-2.0
// StepRecords: what the host says of a step in single values (widths, learning rate, step number), side by side in the
// memory of a device that has memory of its own. One small write a step carries them, and kernels read them there, so
// that a step of other widths is the same sequence of launches with the same arguments.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "sim/device/kernel_library.h"
#include "sim/program/host_records.h"

namespace bitcycle {

class StepRecords {
 public:
  /// Empty where the library's memory is the host's: its kernels are given the values.
  StepRecords(KernelLibrary& library, const Program& program) : library_(library) {
    if (library.on_host()) return;
    std::size_t bytes = 0;
    for (std::int32_t id = 0; id < static_cast<std::int32_t>(program.tensors().size()); ++id) {
      const TensorSpec& spec = program.spec({id});
      if (spec.lifetime != Lifetime::kInput || spec.sample_axis >= 0) continue;
      const std::size_t unit = bytes_of(spec.element, 1);
      bytes = (bytes + unit - 1) / unit * unit;
      records_.push_back({{id}, bytes, spec.bytes()});
      bytes += spec.bytes();
    }
    host_.resize(bytes);
    device_ = Buffer(library, bytes);
  }

  /// Null for what is no record.
  void* address(Tensor tensor) {
    for (const Record& one : records_) {
      if (one.tensor == tensor) return device_.as<std::byte>() + one.offset;
    }
    return nullptr;
  }

  /// To the device, in the order of the library's queue.
  void write(const StepInputs& inputs) {
    if (host_.empty()) return;
    for (const Record& one : records_) std::memcpy(host_.data() + one.offset, inputs.data(one.tensor), one.bytes);
    library_.write_records(device_.as<void>(), host_.data(), host_.size());
  }

 private:
  struct Record {
    Tensor tensor;
    std::size_t offset, bytes;
  };
  KernelLibrary& library_;
  std::vector<Record> records_;
  std::vector<std::byte> host_;
  Buffer device_;
};

}  // namespace bitcycle
