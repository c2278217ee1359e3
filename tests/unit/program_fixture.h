// SPDX-License-Identifier: Apache-2.0
// A program of a few nodes, written by hand: inputs with values, results that are reported, and one step of it.
#pragma once

#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "sim/device/device.h"
#include "sim/ops/norm.h"

namespace bitcycle::test {

template <typename T>
constexpr Element element_of() {
  if constexpr (std::is_same_v<T, float>) return Element::kFloat32;
  if constexpr (std::is_same_v<T, double>) return Element::kFloat64;
  if constexpr (std::is_same_v<T, std::int32_t>) return Element::kInt32;
  if constexpr (std::is_same_v<T, std::int64_t>) return Element::kInt64;
  if constexpr (std::is_same_v<T, std::uint8_t>) return Element::kCodes8;
  if constexpr (std::is_same_v<T, std::uint32_t>) return Element::kUint32;
  if constexpr (std::is_same_v<T, BitWidth>) return Element::kBitWidth;
  if constexpr (std::is_same_v<T, Range>) return Element::kRange;
  if constexpr (std::is_same_v<T, Affine>) return Element::kGrid;
  if constexpr (std::is_same_v<T, ChannelStatistics>) return Element::kStatistics;
  if constexpr (std::is_same_v<T, NormChannel>) return Element::kNorm;
  if constexpr (std::is_same_v<T, NormGradientChannel>) return Element::kNormGradient;
  if constexpr (std::is_same_v<T, bitcycle::NormGradientSums>) return Element::kNormGradientSums;
  return Element::kLoss;
}

class ProgramFixture {
 public:
  using Shape = std::vector<std::int64_t>;
  explicit ProgramFixture(std::int64_t batch = 1) : program("test", batch) {}

  template <typename T>
  Tensor input(const std::string& name, std::vector<T> values, Shape shape = {}, int sample_axis = -1) {
    if (shape.empty() && values.size() != 1) shape = {static_cast<std::int64_t>(values.size())};
    const Tensor tensor = program.add({name, element_of<T>(), std::move(shape), Lifetime::kInput, sample_axis});
    auto copy = std::make_shared<std::vector<T>>(std::move(values));
    inputs_.push_back({tensor, copy, copy->data()});
    return tensor;
  }
  Tensor width(int bits) { return input<BitWidth>("width " + std::to_string(width_++), {BitWidth::integer(bits)}); }
  Affine grid(double lo, double step, int bits) { return {lo, step, BitWidth::integer(bits).max_code(), 0}; }
  template <typename T>
  Tensor state(const std::string& name, std::vector<T> values) {
    const Tensor tensor =
        program.add({name, element_of<T>(), {static_cast<std::int64_t>(values.size())}, Lifetime::kState, -1});
    states_.push_back({name, std::make_shared<std::vector<T>>(std::move(values))});
    return tensor;
  }
  Tensor result(const std::string& name, Element element, Shape shape = {}, int sample_axis = -1) {
    return program.add({name, element, std::move(shape), Lifetime::kReport, sample_axis});
  }
  template <typename Op>
  void node(const Op& op) {
    program.add(Site{"layer", Pass::kForward}, op);
  }
  /// One step; results are read after it.
  void run(std::int64_t samples = 1) {
    const auto device = make_reference_device();
    state_ = device->make_state(program);
    for (const auto& [name, values] : states_) state_->write(name, values->data());
    executable_ = device->compile(program, {state_, {}});
    StepInputs inputs(program);
    inputs.set_samples(samples);
    for (const auto& input : inputs_) inputs.point(input.tensor, input.data);
    executable_->run(inputs);
  }
  template <typename T>
  std::vector<T> read(Tensor tensor) {
    std::vector<T> values(static_cast<std::size_t>(program.spec(tensor).size()));
    executable_->read(tensor, values.data());
    return values;
  }

  Program program;

 private:
  struct Input {
    Tensor tensor;
    std::shared_ptr<void> owner;
    const void* data;
  };
  struct Held {
    std::string name;
    std::shared_ptr<std::vector<float>> values;
  };
  std::vector<Input> inputs_;
  std::vector<Held> states_;
  std::shared_ptr<State> state_;
  std::unique_ptr<Executable> executable_;
  int width_ = 0;
};

/// What a call says when it throws std::invalid_argument; empty: it does not.
template <typename Call>
std::string refusal(Call call) {
  try {
    call();
  } catch (const std::invalid_argument& error) {
    return error.what();
  }
  return "";
}

}  // namespace bitcycle::test
