// SPDX-License-Identifier: Apache-2.0
// NodeKernels: what a library has for nodes that no fused kernel takes, one node at a time, in the place of the
// reference loops and to the same bits; and fused kernels of its own.
#pragma once

#include <vector>

#include "sim/ops/operation.h"

namespace bitcycle {

struct FusedEntry;

class NodeKernels {
 public:
  virtual ~NodeKernels() = default;
  /// Whether run_node() takes the operation, whatever a step's widths are.
  virtual bool has_kernel(const Operation& operation) const = 0;
  /// memory: addresses of the library's device.
  virtual void run_node(const Operation& operation, const StepMemory& memory) = 0;
  /// Patterns of nodes that this library alone has kernels for; they are tried before those of all libraries. Null:
  /// none.
  virtual const std::vector<FusedEntry>* own_entries() const { return nullptr; }
};

}  // namespace bitcycle
