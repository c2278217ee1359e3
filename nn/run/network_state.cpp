// SPDX-License-Identifier: Apache-2.0
#include "nn/run/network_state.h"

#include <algorithm>
#include <stdexcept>

namespace bitcycle {

std::map<std::string, std::vector<float>> NetworkState::fetch(const std::vector<std::string>& tensors) {
  const Program& program = network_.program;
  std::map<std::string, std::vector<float>> found;
  for (const auto& name : tensors) {
    found[name].resize(static_cast<std::size_t>(program.spec(program.find(name)).size()));
  }
  std::vector<State::Read> reads;
  for (auto& [name, values] : found) reads.push_back({name, values.data()});
  state_->read(reads);
  return found;
}

bool NetworkState::has_momentum(const Parameter& parameter) const {
  return parameter.trained && static_cast<bool>(network_.program.find(momentum_name(parameter.name)));
}

std::size_t NetworkState::number_of(const Parameter& parameter) const {
  const auto& all = parameters().all();
  const auto found = std::find_if(all.begin(), all.end(), [&](const auto& one) { return one.name == parameter.name; });
  if (found == all.end()) throw std::logic_error("the model has no parameter '" + parameter.name + "'");
  return static_cast<std::size_t>(found - all.begin());
}

bool NetworkState::keeps_momenta() const {
  if (!network_.gradient_norm) return true;
  for (const auto& parameter : network_.parameters.all()) {
    if (parameter.trained) return has_momentum(parameter);
  }
  return false;
}

std::vector<float> NetworkState::value_of(const Parameter& parameter) {
  const auto& slice = network_.parameter_slices[number_of(parameter)];
  std::vector<float> tensor = std::move(fetch({slice.tensor}).begin()->second);
  const auto first = tensor.begin() + static_cast<std::ptrdiff_t>(slice.first);
  if (slice.first == 0 && static_cast<std::int64_t>(tensor.size()) == parameter.size()) return tensor;
  return {first, first + parameter.size()};
}

std::vector<float> NetworkState::momentum_of(const Parameter& parameter) {
  if (!has_momentum(parameter)) return std::vector<float>(static_cast<std::size_t>(parameter.size()));
  return std::move(fetch({momentum_name(parameter.name)}).begin()->second);
}

std::vector<float> NetworkState::values() {
  std::vector<std::string> tensors;
  for (const auto& slice : network_.parameter_slices) tensors.push_back(slice.tensor);
  const auto found = fetch(tensors);
  std::vector<float> arena(static_cast<std::size_t>(parameters().size()));
  std::size_t i = 0;
  for (const auto& parameter : parameters().all()) {
    const auto& slice = network_.parameter_slices[i++];
    std::copy_n(found.at(slice.tensor).begin() + static_cast<std::ptrdiff_t>(slice.first), parameter.size(),
                arena.begin() + static_cast<std::ptrdiff_t>(parameter.offset));
  }
  return arena;
}

void NetworkState::set_values(const std::vector<float>& arena) {
  std::vector<std::string> tensors;
  for (const auto& slice : network_.parameter_slices) tensors.push_back(slice.tensor);
  auto changed = fetch(tensors);
  std::size_t i = 0;
  for (const auto& parameter : parameters().all()) {
    const auto& slice = network_.parameter_slices[i++];
    std::copy_n(arena.begin() + static_cast<std::ptrdiff_t>(parameter.offset), parameter.size(),
                changed.at(slice.tensor).begin() + static_cast<std::ptrdiff_t>(slice.first));
  }
  for (const auto& [name, values] : changed) state_->write(name, values.data());
}

std::vector<float> NetworkState::momenta() {
  std::vector<std::string> tensors;
  for (const auto& parameter : parameters().all()) {
    if (has_momentum(parameter)) tensors.push_back(momentum_name(parameter.name));
  }
  const auto found = fetch(tensors);
  std::vector<float> arena(static_cast<std::size_t>(parameters().trained_size()));
  for (const auto& parameter : parameters().all()) {
    if (!has_momentum(parameter)) continue;
    const auto& tensor = found.at(momentum_name(parameter.name));
    std::copy(tensor.begin(), tensor.end(), arena.begin() + static_cast<std::ptrdiff_t>(parameter.offset));
  }
  return arena;
}

void NetworkState::set_momenta(const std::vector<float>& arena) {
  for (const auto& parameter : parameters().all()) {
    if (has_momentum(parameter)) state_->write(momentum_name(parameter.name), arena.data() + parameter.offset);
  }
}

std::vector<float> NetworkState::gradients() {
  if (!read_gradient_) throw std::logic_error("no program has kept the gradients");
  std::vector<float> arena(static_cast<std::size_t>(parameters().trained_size()));
  std::size_t i = 0;
  for (const auto& parameter : parameters().all()) {
    if (parameter.trained) read_gradient_(i++, arena.data() + parameter.offset);
  }
  return arena;
}

}  // namespace bitcycle
