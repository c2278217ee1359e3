// SPDX-License-Identifier: Apache-2.0
#include "nn/layers/parameter_store.h"

#include <stdexcept>
#include <utility>

namespace bitcycle {
namespace {

constexpr std::size_t kAlignment = 16;  // floats: 64 bytes

std::size_t aligned(std::size_t floats) { return (floats + kAlignment - 1) / kAlignment * kAlignment; }

}  // namespace

Parameter* ParameterStore::add(const std::string& name, std::vector<std::int64_t> shape, bool ohwi, bool trained,
                               bool adjacent) {
  if (find(name) != nullptr) throw std::logic_error("the model has two parameters named " + name);
  Parameter parameter;
  parameter.name = name;
  parameter.shape = std::move(shape);
  parameter.ohwi = ohwi;
  parameter.trained = trained;
  std::size_t& end = trained ? trained_size_ : state_size_;
  if (adjacent) {
    const Parameter& previous = parameters_.back();
    parameter.offset = previous.offset + static_cast<std::size_t>(previous.size());
  } else {
    parameter.offset = end;
  }
  end = aligned(parameter.offset + static_cast<std::size_t>(parameter.size()));
  parameters_.push_back(std::move(parameter));
  return &parameters_.back();
}

Parameter* ParameterStore::add_trained(const std::string& name, std::vector<std::int64_t> shape, bool ohwi) {
  return add(name, std::move(shape), ohwi, true, false);
}

Parameter* ParameterStore::add_state(const std::string& name, std::vector<std::int64_t> shape) {
  return add(name, std::move(shape), false, false, false);
}

Parameter* ParameterStore::add_adjacent_state(const std::string& name, std::vector<std::int64_t> shape) {
  return add(name, std::move(shape), false, false, true);
}

void ParameterStore::allocate(Backend& backend) {
  values_ = Buffer(backend, (trained_size_ + state_size_) * sizeof(float));
  gradients_ = Buffer(backend, trained_size_ * sizeof(float));
  momenta_ = Buffer(backend, trained_size_ * sizeof(float));
  for (auto& parameter : parameters_) {
    if (!parameter.trained) parameter.offset += trained_size_;
    parameter.value = values() + parameter.offset;
    if (!parameter.trained) continue;
    parameter.gradient = gradients() + parameter.offset;
    parameter.momentum = momenta() + parameter.offset;
  }
}

const Parameter* ParameterStore::find(const std::string& name) const {
  for (const auto& parameter : parameters_) {
    if (parameter.name == name) return &parameter;
  }
  return nullptr;
}

const Parameter& ParameterStore::trained_at(std::int64_t element) const {
  const Parameter* found = nullptr;
  for (const auto& parameter : parameters_) {
    if (!parameter.trained || static_cast<std::int64_t>(parameter.offset) > element) continue;
    if (found == nullptr || parameter.offset > found->offset) found = &parameter;
  }
  if (found == nullptr) throw std::logic_error("no parameter at element " + std::to_string(element));
  return *found;
}

}  // namespace bitcycle
