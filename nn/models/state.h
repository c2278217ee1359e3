// SPDX-License-Identifier: Apache-2.0
// A network's state as files and digests have it: canonical order (NCHW, OIHW), binary32, by name.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "nn/io/safetensors.h"
#include "nn/layers/network.h"
#include "sim/number/digest.h"

namespace bitcycle {

/// "momentum/<name>": how checkpoints and digests name the momentum of a parameter.
std::string momentum_name(const std::string& parameter);

/// Initial state of docs/numerics.md, 8.4; statistics 0 and 1, ranges 0, momenta 0.
void initialise(Network& network, Backend& backend, std::uint64_t seed);

/// Parameters, momenta, running statistics and ranges, in the order in which the model has them.
std::vector<NamedTensor> save_state(const Network& network, Backend& backend);
/// Gradients of all trained parameters, canonical.
std::vector<NamedTensor> save_gradients(const Network& network, Backend& backend);

/// Sets parameters (all are needed), and running statistics and ranges where the file has them. Names may have the
/// prefix "module."; what a layer of the model does not use is ignored. Throws std::runtime_error naming `origin` and
/// everything that is missing, has another shape, is not finite, or belongs to a layer that the model does not have.
void load_weights(Network& network, Backend& backend, const TensorFile& file, const std::string& origin);
/// The same for a checkpoint: momenta, statistics and ranges are needed too.
void load_state(Network& network, Backend& backend, const TensorFile& file, const std::string& origin);

/// Digests of all tensors in the order of their names, and their root (docs/numerics.md, 10.1).
struct StateDigest {
  Digest128 root;
  std::vector<std::pair<std::string, Digest128>> tensors;
};
StateDigest digest_state(const Network& network, Backend& backend);
/// The name of the first parameter, statistic, range or momentum that is not finite; empty: none.
std::string non_finite_state(const Network& network, Backend& backend);

}  // namespace bitcycle
