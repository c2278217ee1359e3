// SPDX-License-Identifier: Apache-2.0
// What every operation of a program has. An operation is a struct in a file of its own:
//   kName                     as programs print it
//   each_tensor(self, visit)  what it reads and writes, said once: visit("role", tensor, access) for each operand;
//                             operands that are not there are skipped by the visitors, lists are visited one by one
//   check(op, Operands)       shapes and element types, against what the operation is defined for
//   run(op, StepMemory)       plain loops on host memory: the specification
// Registration is one line in operation.h.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

#include "sim/number/bit_width.h"
#include "sim/program/tensor.h"

namespace bitcycle {

/// The specs of a program's tensors, as an operation's check sees them. Failures are std::invalid_argument naming the
/// operation, the operand, what it is and what it must be.
class Operands {
 public:
  Operands(const std::vector<TensorSpec>& specs, std::string operation, std::int64_t batch)
      : specs_(specs), operation_(std::move(operation)), batch_(batch) {}

  const TensorSpec& of(Tensor tensor, const char* role) const;
  std::int64_t batch() const { return batch_; }
  /// The operand is there, has this element type and as many elements.
  void require(Tensor tensor, const char* role, Element element, std::int64_t size) const;
  /// The same with this shape.
  void require(Tensor tensor, const char* role, Element element, const std::vector<std::int64_t>& shape) const;
  /// The same as `require`, where the operand is there.
  void allow(Tensor tensor, const char* role, Element element, std::int64_t size) const {
    if (tensor) require(tensor, role, element, size);
  }
  [[noreturn]] void fail(const std::string& what) const;

 private:
  const std::vector<TensorSpec>& specs_;
  std::string operation_;
  std::int64_t batch_;
};

/// Host memory of a step's tensors, for the reference loops.
class StepMemory {
 public:
  StepMemory(const std::vector<TensorSpec>& specs, const std::vector<void*>& addresses, std::int64_t batch,
             std::int64_t samples)
      : specs_(specs), addresses_(addresses), batch_(batch), samples_(samples) {}

  template <typename T>
  T* data(Tensor tensor) const {
    return static_cast<T*>(addresses_[static_cast<std::size_t>(tensor.id)]);
  }
  template <typename T>
  T& value(Tensor tensor) const {
    return *data<T>(tensor);
  }
  const TensorSpec& spec(Tensor tensor) const { return specs_[static_cast<std::size_t>(tensor.id)]; }
  /// A number that grows with the batch, at this step's samples.
  std::int64_t at_samples(std::int64_t at_batch) const { return at_batch / batch_ * samples_; }
  /// Elements that this step's samples use.
  std::int64_t size(Tensor tensor) const {
    const TensorSpec& of = spec(tensor);
    return of.sample_axis < 0 ? of.size() : at_samples(of.size());
  }
  std::int64_t last_extent(Tensor tensor) const { return spec(tensor).shape.back(); }

 private:
  const std::vector<TensorSpec>& specs_;
  const std::vector<void*>& addresses_;
  std::int64_t batch_, samples_;
};

}  // namespace bitcycle
