// SPDX-License-Identifier: Apache-2.0
#include "sim/program/program.h"

#include <stdexcept>
#include <utility>

namespace bitcycle {

Program::Program(std::string name, std::int64_t batch) : name_(std::move(name)), batch_(batch) {
  if (batch < 1) {
    throw std::invalid_argument("program " + name_ + ": a batch of " + std::to_string(batch) +
                                " samples; at least 1 is needed");
  }
}

Tensor Program::add(TensorSpec spec) {
  const auto fail = [&](const std::string& what) {
    throw std::invalid_argument("program " + name_ + ": tensor '" + spec.name + "' " + what);
  };
  if (spec.name.empty()) fail("has no name");
  if (find(spec.name)) fail("is there already; names are unique");
  for (const auto extent : spec.shape) {
    if (extent < 1) fail("has shape " + shape_text(spec.shape) + "; extents are at least 1");
  }
  if (spec.sample_axis >= static_cast<int>(spec.shape.size())) {
    fail("has no axis " + std::to_string(spec.sample_axis) + " that could count samples");
  }
  // Samples lie one behind the other, so that a step of fewer uses the front.
  for (int axis = 0; axis < spec.sample_axis; ++axis) {
    if (spec.shape[static_cast<std::size_t>(axis)] != 1) fail("has samples behind another axis");
  }
  if (spec.sample_axis >= 0 && spec.shape[static_cast<std::size_t>(spec.sample_axis)] % batch_ != 0) {
    fail("has shape " + shape_text(spec.shape) + ": axis " + std::to_string(spec.sample_axis) +
         " counts samples, so it is a multiple of the batch, " + std::to_string(batch_));
  }
  specs_.push_back(std::move(spec));
  writers_.push_back(-1);
  readers_.emplace_back();
  by_name_.emplace(specs_.back().name, static_cast<std::int32_t>(specs_.size()) - 1);
  return {static_cast<std::int32_t>(specs_.size()) - 1};
}

int Program::add(Site site, Operation operation) {
  Node node{std::move(site), std::move(operation)};
  const Operands operands(specs_, "program " + name_ + ", " + node_text(node), batch_);
  check(node.operation, operands);
  const int number = static_cast<int>(nodes_.size());
  each_tensor(node.operation, [&](const char* role, Tensor tensor, Access access) {
    const TensorSpec& of = operands.of(tensor, role);
    const auto fail = [&](const std::string& what) { operands.fail(std::string(role) + " '" + of.name + "' " + what); };
    const bool written = writer(tensor) >= 0;
    const bool from_outside = of.lifetime == Lifetime::kState || of.lifetime == Lifetime::kInput;
    if (access != Access::kWrite && !written && !from_outside) fail("is read before anything writes it");
    if (access == Access::kRead) return;
    if (of.lifetime == Lifetime::kInput) fail("is an input, which only the host writes");
    if (of.lifetime == Lifetime::kState) return;
    if (access == Access::kUpdate) fail("is updated; only state outlives a step");
    if (written) fail("is written already, by " + node_text(this->node(writer(tensor))));
    writers_[static_cast<std::size_t>(tensor.id)] = number;
  });
  each_tensor(node.operation, [&](const char*, Tensor tensor, Access access) {
    auto& readers = readers_[static_cast<std::size_t>(tensor.id)];
    if (access != Access::kWrite && (readers.empty() || readers.back() != number)) readers.push_back(number);
  });
  nodes_.push_back(std::move(node));
  return number;
}

Tensor Program::find(const std::string& name) const {
  const auto found = by_name_.find(name);
  return found == by_name_.end() ? Tensor{} : Tensor{found->second};
}

void Program::validate() const {
  for (std::size_t i = 0; i < specs_.size(); ++i) {
    const TensorSpec& spec = specs_[i];
    const bool written = writers_[i] >= 0, read = !readers_[i].empty();
    const auto fail = [&](const std::string& what) {
      throw std::invalid_argument("program " + name_ + ": tensor '" + spec.name + "' " + what);
    };
    if (spec.lifetime == Lifetime::kReport && !written) fail("is to be reported, and nothing writes it");
    if (spec.lifetime == Lifetime::kStep && !written && !read) fail("is neither written nor read");
  }
}

std::string node_text(const Node& node) {
  const std::string layer = node.site.layer.empty() ? "" : node.site.layer + ", ";
  return layer + pass_text(node.site.pass) + ": " + name_of(node.operation);
}

}  // namespace bitcycle
