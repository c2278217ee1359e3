// SPDX-License-Identifier: Apache-2.0
// KernelEntry: one kernel of a device, and the nodes of a program that it can stand for. Fusion is a table of these,
// not the shape of the interface: a device tries its entries in the order of its table, the most fused first, and the
// chosen kernels together execute the program. A kernel is tested by being in the table: its bytes are compared with
// the reference of the nodes that it matched (tests/exact/kernel_entry_test.cpp).
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "sim/program/program.h"

namespace bitcycle {

/// What a kernel would execute.
struct Match {
  std::vector<int> nodes;           // that it executes
  std::vector<int> recomputed;      // producers whose results it makes again for itself, instead of reading them
  std::vector<Tensor> makes;        // results of `nodes` that it can write; what is not among them stays inside
  std::vector<Tensor> holds;        // results that it keeps in a form of the device's own
  std::vector<Tensor> takes;        // results that it takes in that form, from the kernel that holds them
  std::vector<Tensor> from_memory;  // results of `recomputed` that it reads all the same
};

/// A program while kernels are being chosen for it.
class Candidates {
 public:
  Candidates(const Program& program, const std::vector<Tensor>& kept);

  const Program& program() const { return program_; }
  /// A kernel executes it already.
  bool taken(int node) const { return taken_[static_cast<std::size_t>(node)]; }
  /// The node as this operation, where it is one and not taken; else null.
  template <typename Op>
  const Op* get(int node) const {
    return node < 0 || taken(node) ? nullptr : std::get_if<Op>(&program_.node(node).operation);
  }
  /// The same, taken or not.
  template <typename Op>
  const Op* any(int node) const {
    return node < 0 ? nullptr : std::get_if<Op>(&program_.node(node).operation);
  }
  /// First reader of a tensor that is this operation and not taken; -1: none.
  template <typename Op>
  int reader(Tensor tensor) const {
    for (const int node : program_.readers(tensor)) {
      if (get<Op>(node) != nullptr) return node;
    }
    return -1;
  }
  /// Somebody outside the program looks at it: state, a report, kept by a probe.
  bool is_visible(Tensor tensor) const { return visible_[static_cast<std::size_t>(tensor.id)]; }

 private:
  friend class KernelChoice;
  const Program& program_;
  std::vector<bool> taken_, visible_;
};

struct KernelEntry {
  std::string name;
  /// The match that begins with this node, if any. What would not be right is left out afterwards (choose_kernels): the
  /// pattern need not look at who reads the results.
  std::optional<Match> (*pattern)(const Candidates& candidates, int node) = nullptr;
  /// Shapes and element types that this device's kernel takes; null: all.
  bool (*supports)(const Program& program, const Match& match) = nullptr;
  /// Kernels that depend on state alone may be wanted before everything else.
  bool early = false;
  /// It writes all results of its nodes, also those that nobody reads: plain loops know no other way.
  bool writes_all = false;
};

/// A kernel that was chosen.
struct ChosenKernel {
  const KernelEntry* entry = nullptr;
  Match match;
  std::vector<Tensor> reads, writes;  // in memory; updates are in both. What is held or taken is in neither
};

/// Kernels for every node whose results somebody needs, in an order in which they can run. A match is taken where it
/// stays inside what it makes, and where no node between its own needs its results. Throws std::invalid_argument naming
/// the first node that no entry takes.
std::vector<ChosenKernel> choose_kernels(const Program& program, const std::vector<KernelEntry>& table,
                                         const std::vector<Tensor>& kept);

/// From the first to the last kernel that touches a tensor.
struct LiveSpan;
std::vector<LiveSpan> live_spans(const Program& program, const std::vector<ChosenKernel>& kernels,
                                 const std::vector<Tensor>& kept);

}  // namespace bitcycle
