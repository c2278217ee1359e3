// SPDX-License-Identifier: Apache-2.0
// Topology: layers of one's own, read from a CSV file in SCALE-Sim's format, versions 2 and 3.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "cost_models/passes.h"
#include "sim/workload.h"

namespace bitcycle {

struct TopologyLayer {
  MatrixOperation operation;
  std::optional<OperandBits> bits;  // columns lhs_bits, rhs_bits
  bool names_passes = false;        // column pass
  bool has_batch = false;           // the shape holds a whole batch, not one sample
};

struct Topology {
  std::string name;
  std::vector<TopologyLayer> layers;
  bool has_batch = false;                    // some layer's shape holds a whole batch
  bool has_bits = false;                     // some layer has widths of its own
  std::vector<std::string> notes, warnings;  // sentences: what was read in which way, and what may be a mistake

  /// As a workload that a schedule gives widths to. Layers that do not name their passes have all three.
  Workload workload() const;
  /// Makes every layer's shape hold a whole batch: `batch` samples where the file states none. Throws
  /// std::invalid_argument where that is too large to be counted.
  void fill_batches(std::int64_t batch);
};

/// The first line names the columns, in any order (topology_header.h). Convolutions: layer, ifmap height and width,
/// filter height and width, channels, filters, stride (or stride height and stride width); products: Layer, M, N, K.
/// More columns, whose cells may be empty:
///   batch       samples a step; where it is not given the schedule's batch, else 1
///   padding     on every side, or `same`; with this column the output size is rounded down, without it up, as
///               SCALE-Sim does, whose topologies have no padding
///   dilation, groups
///   pass        forward, error, weight_gradient, joined by +; training (all three); inference (forward)
///   rhs         weight, or activation: a right operand for each sample (products)
///   lhs_bits, rhs_bits
///   sparsity    SCALE-Sim 3's N:M; only dense layers (N = M) are priced
/// A layer with the word DP in its name and no column `groups` is depthwise, as in SCALE-Sim: Conv_DP2. A name that is
/// there already gets a number, "conv#2", and a warning says so.
/// Throws std::invalid_argument "FILE:LINE: ...".
Topology parse_topology(const std::string& text, const std::string& file);
/// The same of a file of at most 16 MiB.
Topology read_topology(const std::string& path);

}  // namespace bitcycle
