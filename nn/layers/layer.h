// SPDX-License-Identifier: Apache-2.0
// Layer: a part of a network that runs forward and backward on a backend. A network is a list of layers in
// topological order over a table of values; nothing assumes a chain of convolutions.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "sim/backend.h"
#include "sim/schedule/precision_plan.h"
#include "sim/workload.h"

namespace bitcycle {

/// A tensor of the training state, in device memory, and how it looks in files.
struct Parameter {
  std::string name;                    // canonical, as in the paper's code: "conv1.weight"
  std::vector<std::int64_t> shape;     // canonical: OIHW for convolutions
  bool ohwi = false;                   // device layout is OHWI, files are OIHW
  bool trained = true;                 // false: running statistics and ranges (no gradient, no momentum)
  Buffer value;
  Buffer gradient;
  Buffer momentum;
  std::int64_t size() const {
    std::int64_t n = 1;
    for (const auto extent : shape) n *= extent;
    return n;
  }
};

/// What a step is run with.
struct StepContext {
  Backend& backend;
  bool training = true;
  std::int64_t step = 0;
  std::int64_t batch = 0;  // images in this call, at most the network's batch
  std::uint64_t seed = 0;
  std::function<LayerWidths(const std::string& layer)> widths;
};

class Layer {
 public:
  virtual ~Layer() = default;
  virtual const std::string& name() const = 0;
  virtual void forward(const StepContext& context) = 0;
  virtual void backward(const StepContext& context) = 0;
  virtual void collect_parameters(std::vector<Parameter*>& out) = 0;
  /// Adds this layer's operations of one sample.
  virtual void describe(Workload& workload) const = 0;
};

}  // namespace bitcycle
