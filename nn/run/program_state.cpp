// SPDX-License-Identifier: Apache-2.0
#include "nn/run/program_state.h"

#include <algorithm>
#include <stdexcept>

namespace bitcycle {

std::vector<float> ProgramState::fetch(const std::string& tensor) {
  const Program& program = network_.program;
  std::vector<float> host(static_cast<std::size_t>(program.spec(program.find(tensor)).size()));
  state_->read(tensor, host.data());
  return host;
}

std::vector<float> ProgramState::values() {
  std::vector<float> arena(static_cast<std::size_t>(parameters().size()));
  std::size_t i = 0;
  for (const auto& parameter : parameters().all()) {
    const auto& place = network_.places[i++];
    const std::vector<float> tensor = fetch(place.tensor);
    std::copy_n(tensor.begin() + static_cast<std::ptrdiff_t>(place.first), parameter.size(),
                arena.begin() + static_cast<std::ptrdiff_t>(parameter.offset));
  }
  return arena;
}

void ProgramState::set_values(const std::vector<float>& arena) {
  std::size_t i = 0;
  for (const auto& parameter : parameters().all()) {
    const auto& place = network_.places[i++];
    std::vector<float> tensor = fetch(place.tensor);
    std::copy_n(arena.begin() + static_cast<std::ptrdiff_t>(parameter.offset), parameter.size(),
                tensor.begin() + static_cast<std::ptrdiff_t>(place.first));
    state_->write(place.tensor, tensor.data());
  }
}

std::vector<float> ProgramState::momenta() {
  std::vector<float> arena(static_cast<std::size_t>(parameters().trained_size()));
  for (const auto& parameter : parameters().all()) {
    if (!parameter.trained) continue;
    const std::vector<float> tensor = fetch(momentum_name(parameter.name));
    std::copy(tensor.begin(), tensor.end(), arena.begin() + static_cast<std::ptrdiff_t>(parameter.offset));
  }
  return arena;
}

void ProgramState::set_momenta(const std::vector<float>& arena) {
  for (const auto& parameter : parameters().all()) {
    if (parameter.trained) state_->write(momentum_name(parameter.name), arena.data() + parameter.offset);
  }
}

std::vector<float> ProgramState::gradients() {
  if (gradients_of_ == nullptr) throw std::logic_error("no program has kept the gradients");
  std::vector<float> arena(static_cast<std::size_t>(parameters().trained_size()));
  std::size_t i = 0;
  for (const auto& parameter : parameters().all()) {
    if (parameter.trained) gradients_of_->read(network_.gradients[i++], arena.data() + parameter.offset);
  }
  return arena;
}

}  // namespace bitcycle
