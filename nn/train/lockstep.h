// SPDX-License-Identifier: Apache-2.0
// Trains on two devices at once, kernel by kernel, and compares every tensor that both of them write, bit by bit: finds
// the first kernel and the first element in which a device differs from another one.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "nn/config/config.h"
#include "sim/device/device.h"

namespace bitcycle {

struct LockstepResult {
  std::int64_t steps = 0;       // done by both, all tensors equal
  std::int64_t operations = 0;  // kernels of the first device whose results were compared
  std::int64_t tensors = 0;
  bool equal = true;
  // Where they first differ.
  std::int64_t operation = -1;  // number of the first device's kernel within its step, from 1
  std::string what;             // "convolution backward of group1_layer0.conv1"
  std::string tensor;           // "group1_layer0.conv1/dx, float32 (2, 32, 32, 16)"
  std::int64_t element = -1, elements = 0, different = 0;
  std::string first, second;  // the element, as number and as bits
};

/// `steps` training steps of `config` from its initial state. Kernels are run one by one, so that what differs only in
/// a device's graph of a whole step is not seen here. A device that fuses less writes more: only what both write is
/// compared.
LockstepResult train_in_lockstep(const Config& config, Device& first, Device& second, std::int64_t steps,
                                 const std::function<void(std::int64_t step)>& progress = {});

}  // namespace bitcycle
