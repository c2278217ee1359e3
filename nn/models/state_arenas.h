// SPDX-License-Identifier: Apache-2.0
// StateArenas: where the state of a network lies, whatever runs it, and what files, digests and initial values do with
// it: the functions of state.h.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "nn/models/state.h"

namespace bitcycle {

/// Arenas with the offsets of a ParameterStore: values of all parameters, momenta and gradients of the trained ones.
class StateArenas {
 public:
  virtual ~StateArenas() = default;
  virtual const ParameterStore& parameters() const = 0;
  virtual const std::string& model() const = 0;
  virtual std::vector<float> values() = 0;
  virtual std::vector<float> momenta() = 0;
  virtual std::vector<float> gradients() = 0;
  virtual void set_values(const std::vector<float>& arena) = 0;
  virtual void set_momenta(const std::vector<float>& arena) = 0;
};

void initialise(StateArenas& state, std::uint64_t seed);
std::vector<NamedTensor> save_state(StateArenas& state);
std::vector<NamedTensor> save_gradients(StateArenas& state);
void load_weights(StateArenas& state, const TensorFile& file, const std::string& origin);
void load_state(StateArenas& state, const TensorFile& file, const std::string& origin);
StateDigest digest_state(StateArenas& state);
std::string non_finite_state(StateArenas& state);

}  // namespace bitcycle
