// SPDX-License-Identifier: Apache-2.0
// Trains on two devices at once, operation by operation, and compares every tensor that an operation writes, bit by
// bit: finds the first operation and the first element in which a device differs from another one.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "nn/config/config.h"
#include "sim/backend.h"

namespace bitcycle {

struct LockstepResult {
  std::int64_t steps = 0;       // done by both, all tensors equal
  std::int64_t operations = 0;  // compared
  std::int64_t tensors = 0;
  bool equal = true;
  // Where they first differ.
  std::int64_t operation = -1;  // number within its step, from 1
  std::string what;             // "convolution backward of group1_layer0.conv1, 128x32x32x16 ..."
  std::string tensor;           // "dx"
  std::int64_t element = -1, elements = 0, different = 0;
  std::string first, second;  // the element, as number and as bits
};

/// `steps` training steps of `config` from its initial state. Operations are run one by one, so that what differs only
/// in a device's graph of a whole step is not seen here.
LockstepResult train_in_lockstep(const Config& config, Backend& first, Backend& second, std::int64_t steps,
                                 const std::function<void(std::int64_t step)>& progress = {});

}  // namespace bitcycle
