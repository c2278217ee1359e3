// SPDX-License-Identifier: Apache-2.0
// What the patterns of fused operations share.
#pragma once

#include <algorithm>
#include <optional>
#include <vector>

#include "sim/device/fused/fused_entry.h"

namespace bitcycle::fused {

template <typename Op>
const Op* writer_as(const Candidates& c, Tensor tensor, bool taken_too = false) {
  if (!tensor) return nullptr;
  const int node = c.program().writer(tensor);
  return taken_too ? c.any<Op>(node) : c.get<Op>(node);
}

inline bool same_layer(const Candidates& c, int a, int b) {
  return c.program().node(a).site.layer == c.program().node(b).site.layer;
}

/// First reader that is this operation, not taken, of the same layer.
template <typename Op>
int reader_in_layer(const Candidates& c, Tensor tensor, int node) {
  for (const int reader : c.program().readers(tensor)) {
    if (c.get<Op>(reader) != nullptr && same_layer(c, reader, node)) return reader;
  }
  return -1;
}

inline void add(std::vector<int>& nodes, int node) {
  if (node >= 0 && std::find(nodes.begin(), nodes.end(), node) == nodes.end()) nodes.push_back(node);
}

bool is_linear(const Candidates& c, const ops::FloatProduct& product);

/// z = relu(norm(y)) that only its range, one product and the backward pass look at: nobody needs z itself.
struct Normalised {
  int apply = -1, relu = -1;
  explicit operator bool() const { return relu >= 0; }
};

Normalised normalised(const Candidates& c, Tensor z);

/// Behind a first contribution dx: the others added, the rectifier's mask, and the sums of the batch norms.
void take_gradient_sum(const Candidates& c, Tensor dx, int own_bound, Match& match);

/// A node for itself.
template <typename Op>
std::optional<Match> alone(const Candidates& c, int node) {
  if (c.get<Op>(node) == nullptr) return {};
  Match match;
  match.nodes = {node};
  each_tensor(c.program().node(node).operation, [&](const char*, Tensor tensor, Access access) {
    if (access != Access::kRead) match.makes.push_back(tensor);
  });
  return match;
}

}  // namespace bitcycle::fused
