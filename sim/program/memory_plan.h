// SPDX-License-Identifier: Apache-2.0
// Where a program's tensors lie: tensors of a step share memory where they do not live at the same time, everything
// else lies side by side. Tensors that an operation takes as a list are neighbours in its order, and nothing else lies
// there, so that a device can treat them as one. Which stretch a tensor lives for is the device's word: it depends on
// what is fused.
#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <vector>

#include "sim/program/program.h"

namespace bitcycle {

/// From the first to the last event that needs a tensor, both included; begin < 0: it is never made.
struct LiveSpan {
  int begin = -1, end = -1;
};

/// Events are nodes, each executed for itself. Tensors of `kept` live to the end of the step.
std::vector<LiveSpan> live_spans(const Program& program, const std::vector<Tensor>& kept);

/// Bytes from the start of one stretch of memory, by tensor.
struct TensorPlan {
  static constexpr std::size_t kNowhere = static_cast<std::size_t>(-1);
  static constexpr std::size_t kAlignment = 64;
  std::vector<std::size_t> offset;
  std::size_t bytes = 0;
  /// Of a step: lists lie before this, whose gaps must stay 0; everything behind it may be overwritten between steps.
  std::size_t list_bytes = 0;
};

/// Tensors of lifetime kStep. Greedy: the largest first, each at the lowest offset that is free while it lives.
TensorPlan plan_step(const Program& program, const std::vector<LiveSpan>& live);
/// Tensors of another lifetime, lists first, then in the order of the program.
TensorPlan plan_side_by_side(const Program& program, Lifetime lifetime);

/// Where the state of a run lies: the state tensors of all its programs, by name. Lists as above.
struct StatePlan {
  struct Allocation {
    TensorSpec spec;
    std::size_t offset = 0;
  };
  std::map<std::string, Allocation> allocations;
  std::size_t bytes = 0;

  /// Throws std::invalid_argument where two programs have different tensors of one name.
  explicit StatePlan(const std::vector<const Program*>& programs);
  /// Throws std::invalid_argument: no such tensor.
  const Allocation& allocation(const std::string& name) const;
  /// The same for a program's tensor; it must be of the same kind.
  const Allocation& allocation(const TensorSpec& spec) const;
};

}  // namespace bitcycle
