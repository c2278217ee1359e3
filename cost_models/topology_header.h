// SPDX-License-Identifier: Apache-2.0
// The first line of a file of layers: which column holds what. Columns are found by their names, in any order.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

namespace bitcycle {

struct TopologyHeader {
  bool products = false;                       // M, N, K; else convolutions
  std::vector<std::string> written;            // the names as the file writes them
  std::map<std::string, std::size_t> columns;  // our names: layer, ifmap_height, ..., filters, stride, batch, ...

  bool has(const std::string& name) const { return columns.count(name) != 0; }
  bool two_strides() const { return has("stride_height"); }
};

/// Names may be written in capitals, with blanks or dashes, and as SCALE-Sim, PyTorch or a short form have them:
/// "IFMAP Height", "input_h", "H". Throws std::invalid_argument, without a line, for a line that is no header, and for
/// columns that are unknown, missing, or there twice.
TopologyHeader read_topology_header(const std::vector<std::string>& cells);

}  // namespace bitcycle
