// SPDX-License-Identifier: Apache-2.0
// What passes between the host and a step: StepInputs, written before it, and Report, read after it. Both lie side by
// side as the program has them, so that a device moves each in one copy.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <vector>

#include "sim/program/memory_plan.h"
#include "sim/program/program.h"

namespace bitcycle {

/// Host memory of the tensors of one lifetime, zero-filled.
class HostRecords {
 public:
  HostRecords(const Program& program, Lifetime lifetime)
      : plan_(plan_side_by_side(program, lifetime)), data_((plan_.bytes + kUnit - 1) / kUnit) {}

  template <typename T>
  T* at(Tensor tensor) {
    return reinterpret_cast<T*>(bytes() + offset(tensor));
  }
  template <typename T>
  const T* at(Tensor tensor) const {
    return reinterpret_cast<const T*>(bytes() + offset(tensor));
  }
  const TensorPlan& plan() const { return plan_; }
  std::byte* bytes() { return reinterpret_cast<std::byte*>(data_.data()); }
  const std::byte* bytes() const { return reinterpret_cast<const std::byte*>(data_.data()); }

 private:
  static constexpr std::size_t kUnit = sizeof(std::max_align_t);
  std::size_t offset(Tensor tensor) const {
    const std::size_t offset = plan_.offset.at(static_cast<std::size_t>(tensor.id));
    if (offset == TensorPlan::kNowhere) throw std::logic_error("a tensor of another lifetime");
    return offset;
  }
  TensorPlan plan_;
  std::vector<std::max_align_t> data_;
};

/// The inputs of one step. Large ones are pointed at: their memory must stay until the step is finished.
class StepInputs {
 public:
  explicit StepInputs(const Program& program)
      : records_(program, Lifetime::kInput), pointed_(program.tensors().size()), samples_(program.batch()) {}

  /// Samples of the step, at most the batch.
  std::int64_t samples() const { return samples_; }
  void set_samples(std::int64_t samples) { samples_ = samples; }

  template <typename T>
  void set(Tensor tensor, const T& value) {
    *records_.at<T>(tensor) = value;
  }
  void point(Tensor tensor, const void* data) { pointed_.at(static_cast<std::size_t>(tensor.id)) = data; }

  const void* data(Tensor tensor) const {
    const void* pointed = pointed_.at(static_cast<std::size_t>(tensor.id));
    return pointed != nullptr ? pointed : records_.at<void>(tensor);
  }
  template <typename T>
  const T& value(Tensor tensor) const {
    return *static_cast<const T*>(data(tensor));
  }

 private:
  HostRecords records_;
  std::vector<const void*> pointed_;
  std::int64_t samples_;
};

/// The reported tensors of one step.
using Report = HostRecords;

}  // namespace bitcycle
