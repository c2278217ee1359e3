// SPDX-License-Identifier: Apache-2.0
// ProgramState: the state of a network's programs as arenas, for files and digests.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "nn/builder/builder.h"
#include "nn/models/state_arenas.h"
#include "sim/device/device.h"

namespace bitcycle {

class ProgramState final : public StateArenas {
 public:
  /// `network` is a training program with an optimiser; it and `gradients_of`, which may be null and else has kept the
  /// gradients, must live on.
  ProgramState(const builder::NetworkProgram& network, std::shared_ptr<State> state, Executable* gradients_of = nullptr)
      : network_(network), state_(std::move(state)), gradients_of_(gradients_of) {}

  const ParameterStore& parameters() const override { return network_.parameters; }
  const std::string& model() const override { return network_.program.name(); }
  std::vector<float> values() override;
  std::vector<float> momenta() override;
  std::vector<float> gradients() override;
  void set_values(const std::vector<float>& arena) override;
  void set_momenta(const std::vector<float>& arena) override;

 private:
  std::vector<float> fetch(const std::string& tensor);

  const builder::NetworkProgram& network_;
  std::shared_ptr<State> state_;
  Executable* gradients_of_;
};

}  // namespace bitcycle
