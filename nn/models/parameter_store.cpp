// SPDX-License-Identifier: Apache-2.0
#include "nn/models/parameter_store.h"

#include <stdexcept>
#include <utility>

namespace bitcycle {
namespace {

constexpr std::size_t kAlignment = 16;  // floats: 64 bytes

std::size_t aligned(std::size_t floats) { return (floats + kAlignment - 1) / kAlignment * kAlignment; }

}  // namespace

Parameter* ParameterStore::add(const std::string& name, std::vector<std::int64_t> shape, bool ohwi, bool trained) {
  if (find(name) != nullptr) throw std::logic_error("the model has two parameters named " + name);
  Parameter parameter;
  parameter.name = name;
  parameter.shape = std::move(shape);
  parameter.ohwi = ohwi;
  parameter.trained = trained;
  std::size_t& end = trained ? trained_size_ : state_size_;
  parameter.offset = end;
  end = aligned(parameter.offset + static_cast<std::size_t>(parameter.size()));
  parameters_.push_back(std::move(parameter));
  return &parameters_.back();
}

Parameter* ParameterStore::add_trained(const std::string& name, std::vector<std::int64_t> shape, bool ohwi) {
  return add(name, std::move(shape), ohwi, true);
}

Parameter* ParameterStore::add_state(const std::string& name, std::vector<std::int64_t> shape) {
  return add(name, std::move(shape), false, false);
}

void ParameterStore::finish() {
  for (auto& parameter : parameters_) {
    if (!parameter.trained) parameter.offset += trained_size_;
  }
}

const Parameter* ParameterStore::find(const std::string& name) const {
  for (const auto& parameter : parameters_) {
    if (parameter.name == name) return &parameter;
  }
  return nullptr;
}

}  // namespace bitcycle
