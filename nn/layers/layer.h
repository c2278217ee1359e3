// SPDX-License-Identifier: Apache-2.0
// Layer: a part of a network that runs forward and backward on a backend. A network is a list of layers in
// topological order over a table of values; nothing assumes a chain of convolutions.
#pragma once

#include <cstdint>
#include <string>

#include "nn/layers/memory_plan.h"
#include "sim/backend.h"
#include "sim/schedule/precision_plan.h"
#include "sim/workload.h"

namespace bitcycle {

/// How a run quantises, the widths apart.
struct QuantisationOptions {
  bool stochastic = true;
  bool zero_on_grid = false;
  ErrorWeights error_weights = ErrorWeights::kShared;
  int error_grid_bits = 16;
  MinScale min_scale;
};

/// What a pass is run with.
struct StepContext {
  Backend& backend;
  bool training = true;
  std::int64_t step = 0;
  std::int64_t batch = 0;  // images in this call, at most the network's batch
  std::uint64_t seed = 0;
  const LayerWidths* widths = nullptr;  // by convolution, in the order in which the network has them
  QuantisationOptions quantisation;
};

/// What the host learns from a step's records.
struct StepFindings {
  std::int64_t min_scale_bound = 0;  // quantisers whose step was min_scale
  std::string non_finite;            // the first tensor that holds a number that is not finite; empty: none
};

class Layer {
 public:
  virtual ~Layer() = default;
  virtual const std::string& name() const = 0;
  /// Reserves all memory that this layer will ever use.
  virtual void plan(MemoryPlan& plan) = 0;
  /// Once a training step, and once an evaluation before its batches: what depends on parameters alone.
  virtual void prepare(const StepContext& context) = 0;
  virtual void forward(const StepContext& context) = 0;
  virtual void backward(const StepContext& context) = 0;
  /// Looks at the records of the last training step, forward ones first.
  virtual void inspect_forward(const StepContext& context, StepFindings& findings) = 0;
  virtual void inspect_backward(const StepContext& context, StepFindings& findings) = 0;
  /// Adds this layer's operations of one sample.
  virtual void describe(Workload& workload) const = 0;
};

}  // namespace bitcycle
