// SPDX-License-Identifier: Apache-2.0
// NetworkState: the state of a network's programs as arenas, for files and digests.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "nn/builder/builder.h"
#include "nn/models/state.h"
#include "sim/device/device.h"

namespace bitcycle {

class NetworkState final : public StateArenas {
 public:
  /// `network` is a training program; it must live on. `read_gradient` reads a gradient of the last step from an
  /// executable that has kept it; without it, gradients() throws std::logic_error.
  using ReadGradient = std::function<void(std::size_t number, float* host)>;
  NetworkState(const builder::NetworkProgram& network, std::shared_ptr<State> state, ReadGradient read_gradient = {})
      : network_(network), state_(std::move(state)), read_gradient_(std::move(read_gradient)) {}

  const ParameterStore& parameters() const override { return network_.parameters; }
  const std::string& model() const override { return network_.program.name(); }
  /// Plain SGD with clipped gradients has none.
  bool keeps_momenta() const override;
  std::vector<float> value_of(const Parameter& parameter) override;
  std::vector<float> momentum_of(const Parameter& parameter) override;
  std::vector<float> values() override;
  std::vector<float> momenta() override;
  std::vector<float> gradients() override;
  void set_values(const std::vector<float>& arena) override;
  void set_momenta(const std::vector<float>& arena) override;

 private:
  /// A program without an optimiser has no momenta: they count as 0.
  bool has_momentum(const Parameter& parameter) const;
  /// Values of parameters, or momenta; those of one tensor are read once.
  std::map<std::string, std::vector<float>> fetch(const std::vector<std::string>& tensors);

  /// Number of a parameter in the model's order.
  std::size_t number_of(const Parameter& parameter) const;

  const builder::NetworkProgram& network_;
  std::shared_ptr<State> state_;
  ReadGradient read_gradient_;
};

}  // namespace bitcycle
