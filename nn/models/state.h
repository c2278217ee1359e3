// SPDX-License-Identifier: Apache-2.0
// A network's state as files and digests have it: canonical order (NCHW, OIHW), binary32, by name.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "nn/io/safetensors.h"
#include "nn/models/parameter_store.h"
#include "sim/number/digest.h"

namespace bitcycle {

/// "momentum/<name>": how checkpoints and digests name the momentum of a parameter.
std::string momentum_name(const std::string& parameter);

/// Before the names of averaged parameters and their statistics (nn/run/averaged_network.h) in checkpoints and digests.
/// They are no part of a network's own state, and load_state() passes over them.
inline constexpr const char* kAveragedPrefix = "swa/";

/// Where the state of a network lies, whatever runs it: arenas with the offsets of a ParameterStore, values of all
/// parameters, momenta and gradients of the trained ones.
class StateArenas {
 public:
  virtual ~StateArenas() = default;
  virtual const ParameterStore& parameters() const = 0;
  virtual const std::string& model() const = 0;
  /// False: the optimiser has none, and files and digests neither.
  virtual bool keeps_momenta() const { return true; }
  /// Of one parameter, or its momentum, as it lies in an arena: no whole arena is made.
  virtual std::vector<float> value_of(const Parameter& parameter) = 0;
  virtual std::vector<float> momentum_of(const Parameter& parameter) = 0;
  virtual std::vector<float> values() = 0;
  virtual std::vector<float> momenta() = 0;
  virtual std::vector<float> gradients() = 0;
  virtual void set_values(const std::vector<float>& arena) = 0;
  virtual void set_momenta(const std::vector<float>& arena) = 0;
};

/// Initial state of docs/numerics.md, 8.4; statistics 0 and 1, ranges 0, momenta 0.
void initialise(StateArenas& state, std::uint64_t seed);

/// Parameters, momenta, running statistics and ranges, in the order in which the model has them.
std::vector<NamedTensor> save_state(StateArenas& state);
/// The same one after the other, and what each of them will be.
std::vector<TensorEntry> state_entries(StateArenas& state);
void visit_state(StateArenas& state, const std::function<void(const std::vector<float>& canonical)>& visit);
/// Gradients of all trained parameters, canonical.
std::vector<NamedTensor> save_gradients(StateArenas& state);

/// Sets parameters (all are needed), and running statistics and ranges where the file has them. Names may have the
/// prefix "module."; what a layer of the model does not use is ignored. Throws std::runtime_error naming `origin` and
/// everything that is missing, has another shape, is not finite, or belongs to a layer that the model does not have.
void load_weights(StateArenas& state, const TensorFile& file, const std::string& origin);
/// The same for a checkpoint: momenta, statistics and ranges are needed too.
void load_state(StateArenas& state, const TensorFile& file, const std::string& origin);

/// Digests of all tensors in the order of their names, and their root (docs/numerics.md, 10.1).
struct StateDigest {
  Digest128 root;
  std::vector<std::pair<std::string, Digest128>> tensors;
};
StateDigest digest_state(StateArenas& state);
/// The name of the first parameter, statistic, range or momentum that is not finite; empty: none.
std::string non_finite_state(StateArenas& state);

}  // namespace bitcycle
