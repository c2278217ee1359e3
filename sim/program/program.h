// SPDX-License-Identifier: Apache-2.0
// Program: one step as data: small operations in the order in which they happen, over named tensors. It is written
// once (by nn, operation by operation), then only read: devices compile it, cost models price its products, people
// print it. A tensor of a step is written by exactly one node, before the nodes that read it; state may be updated
// by any number of nodes, in their order.
#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

#include "sim/ops/operation.h"
#include "sim/program/site.h"
#include "sim/program/tensor.h"

namespace bitcycle {

struct Node {
  Site site;
  Operation operation;
};

class Program {
 public:
  /// batch: samples of a whole step; a step may have fewer.
  Program(std::string name, std::int64_t batch);

  const std::string& name() const { return name_; }
  std::int64_t batch() const { return batch_; }

  /// Throws std::invalid_argument: a name that is there already, an extent below 1, a sample axis that no axis is or
  /// whose extent is no multiple of the batch.
  Tensor add(TensorSpec spec);
  /// Returns the node's number. Throws std::invalid_argument naming layer, operation, operand and what it must be: a
  /// shape or element type that the operation is not defined for; a tensor read before it is written, written twice,
  /// or written although it is an input.
  int add(Site site, Operation operation);

  const std::vector<TensorSpec>& tensors() const { return specs_; }
  const TensorSpec& spec(Tensor tensor) const { return specs_[static_cast<std::size_t>(tensor.id)]; }
  const std::vector<Node>& nodes() const { return nodes_; }
  const Node& node(int number) const { return nodes_[static_cast<std::size_t>(number)]; }
  /// The tensor of that name; none where there is no such tensor.
  Tensor find(const std::string& name) const;

  /// Node that writes a tensor of the step, -1: none.
  int writer(Tensor tensor) const { return writers_[static_cast<std::size_t>(tensor.id)]; }
  /// Nodes that read a tensor, ascending; updates count.
  const std::vector<int>& readers(Tensor tensor) const { return readers_[static_cast<std::size_t>(tensor.id)]; }

  /// Throws std::invalid_argument where a report is never written or a tensor of a step is neither written nor read.
  void validate() const;

 private:
  std::string name_;
  std::int64_t batch_;
  std::vector<TensorSpec> specs_;
  std::vector<Node> nodes_;
  std::vector<int> writers_;
  std::vector<std::vector<int>> readers_;
  std::unordered_map<std::string, std::int32_t> by_name_;
};

/// "conv1, forward: product"
std::string node_text(const Node& node);

}  // namespace bitcycle
