// SPDX-License-Identifier: Apache-2.0
#include "sim/ops/op.h"

namespace bitcycle {

void Operands::fail(const std::string& what) const { throw std::invalid_argument(operation_ + ": " + what); }

const TensorSpec& Operands::of(Tensor tensor, const char* role) const {
  if (!tensor) fail(std::string(role) + " is missing");
  if (static_cast<std::size_t>(tensor.id) >= specs_.size()) {
    fail(std::string(role) + " is a tensor of another program");
  }
  return specs_[static_cast<std::size_t>(tensor.id)];
}

void Operands::require(Tensor tensor, const char* role, Element element, std::int64_t size) const {
  const TensorSpec& spec = of(tensor, role);
  if (spec.element == element && spec.size() == size) return;
  fail(std::string(role) + " '" + spec.name + "' is " + spec.text() + "; it must be " + element_name(element) + " of " +
       std::to_string(size) + (size == 1 ? " element" : " elements"));
}

void Operands::require(Tensor tensor, const char* role, Element element, const std::vector<std::int64_t>& shape) const {
  const TensorSpec& spec = of(tensor, role);
  if (spec.element == element && spec.shape == shape) return;
  fail(std::string(role) + " '" + spec.name + "' is " + spec.text() + "; it must be " + element_name(element) + " " +
       shape_text(shape));
}

}  // namespace bitcycle
