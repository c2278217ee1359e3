// SPDX-License-Identifier: Apache-2.0
// Single operations on every device: programs of a few nodes, whose every result is compared with the reference's.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "sim/number/philox.h"
#include "sim/program/program.h"
#include "tests/golden/devices.h"

namespace bitcycle::test {

using Shape = std::vector<std::int64_t>;

/// A program of a few nodes, whose every result is kept and compared.
class NodeProgram {
 public:
  explicit NodeProgram(std::int64_t batch = 1) : program_("nodes", batch) {}

  Tensor tensor(const std::string& name, Element element, const Shape& shape = {}) {
    const Tensor made = program_.add({name, element, shape, Lifetime::kStep, -1});
    kept_.push_back(made);
    return made;
  }
  Tensor state(const std::string& name, const Shape& shape) {
    const Tensor made = program_.add({name, Element::kFloat32, shape, Lifetime::kState, -1});
    states_.emplace_back(name, made);
    return made;
  }
  /// Values around 0, with zeros of both signs among them.
  Tensor values(const std::string& name, const Shape& shape) {
    const Tensor made = program_.add({name, Element::kFloat32, shape, Lifetime::kInput, -1});
    inputs_.emplace_back(made, random_bytes(made));
    return made;
  }
  template <typename T>
  Tensor input(const std::string& name, Element element, const std::vector<T>& values, const Shape& shape = {}) {
    const Tensor made = program_.add({name, element, shape, Lifetime::kInput, -1});
    std::vector<std::byte> bytes(values.size() * sizeof(T));
    std::memcpy(bytes.data(), values.data(), bytes.size());
    inputs_.emplace_back(made, std::move(bytes));
    return made;
  }
  template <typename Op>
  void node(const Op& op) {
    program_.add(Site{"layer", Pass::kForward}, op);
  }
  ops::Quantised codes(const std::string& name, Tensor x, const Shape& shape, int bits) {
    const Tensor range = tensor(name + " range", Element::kRange), grid = tensor(name + " grid", Element::kGrid);
    node(ops::Range{x, range, ops::one_group()});
    ops::Quantise op;
    op.x = x;
    op.grid = grid;
    op.width = input<BitWidth>(name + " width", Element::kBitWidth, {BitWidth::integer(bits)});
    op.codes = tensor(name, bits <= 8 ? Element::kCodes8 : bits <= 16 ? Element::kCodes16 : Element::kCodes32, shape);
    node(ops::FitGrid{range, op.width, grid, MinScale{}});
    node(op);
    return op.result();
  }
  /// What nobody is to keep: a device may leave it out.
  void forget(Tensor tensor) { std::erase(kept_, tensor); }
  Tensor step() { return input<std::uint32_t>("step", Element::kUint32, {7}); }

  void compare() {
    const auto reference = make_reference_device();
    const auto expected = run(*reference);
    for (const auto& device : tested_devices()) {
      const auto computed = run(*device);
      ASSERT_EQ(computed.size(), expected.size());
      for (std::size_t i = 0; i < expected.size(); ++i) {
        EXPECT_EQ(computed[i].second, expected[i].second) << device->name() << ", " << expected[i].first;
      }
    }
  }

 private:
  std::vector<std::byte> random_bytes(Tensor tensor) {
    const PhiloxStream stream =
        philox_stream(3, 0, RandomPurpose::kSyntheticData, static_cast<std::uint32_t>(tensor.id));
    std::vector<float> values;
    for (std::int64_t e = 0; e < program_.spec(tensor).size(); ++e) {
      const std::uint32_t word = philox_word(stream, static_cast<std::uint64_t>(e));
      const float value = 3.0F * rounding_noise(word);
      values.push_back(word % 16 == 0 ? std::copysign(0.0F, value) : value);
    }
    std::vector<std::byte> bytes(values.size() * sizeof(float));
    std::memcpy(bytes.data(), values.data(), bytes.size());
    return bytes;
  }
  std::vector<std::pair<std::string, std::vector<std::byte>>> run(Device& device) {
    const auto state = device.make_state(program_);
    for (const auto& [name, tensor] : states_) {
      std::vector<std::byte> bytes = random_bytes(tensor);
      // Second moments are not negative.
      if (name.ends_with(" v")) {
        for (std::size_t e = 3; e < bytes.size(); e += 4) bytes[e] &= std::byte{0x7F};
      }
      state->write(name, bytes.data());
    }
    const auto executable = device.compile(program_, {state, kept_});
    StepInputs inputs(program_);
    for (const auto& [tensor, bytes] : inputs_) inputs.point(tensor, bytes.data());
    executable->run(inputs);
    std::vector<std::pair<std::string, std::vector<std::byte>>> results;
    for (const Tensor tensor : kept_) {
      results.emplace_back(program_.spec(tensor).name, std::vector<std::byte>(program_.spec(tensor).bytes()));
      executable->read(tensor, results.back().second.data());
    }
    for (const auto& [name, tensor] : states_) {
      results.emplace_back(name, std::vector<std::byte>(program_.spec(tensor).bytes()));
      state->read(name, results.back().second.data());
    }
    return results;
  }

  Program program_;
  std::vector<Tensor> kept_;
  std::vector<std::pair<std::string, Tensor>> states_;
  std::vector<std::pair<Tensor, std::vector<std::byte>>> inputs_;
};

}  // namespace bitcycle::test
