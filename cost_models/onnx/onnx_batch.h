// SPDX-License-Identifier: Apache-2.0
// OnnxBatch: which of the axes that an ONNX model leaves open are its batch, and the sizes of the others.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "cost_models/onnx/onnx_shapes.h"

namespace bitcycle {

class OnnxBatch {
 public:
  /// `sizes`: of open axes, by name. The batch is 1 wherever it is open. Throws std::invalid_argument where an input
  /// has an open axis that is neither the batch nor among the sizes, or a size belongs to none.
  OnnxBatch(const OnnxGraph& graph, const std::map<std::string, std::int64_t>& sizes);

  /// The inputs hold a whole batch of more than one sample.
  bool is_fixed() const { return fixed_; }
  OnnxShape shape_of_input(const OnnxValueInfo& input) const;
  /// Of any value; nothing where an axis is open and has no size.
  std::optional<OnnxShape> shape_of(const OnnxValueInfo& value) const;
  /// What a reader should know.
  const std::vector<std::string>& notes() const { return notes_; }

 private:
  std::optional<std::int64_t> size_of(const OnnxDimension& dimension, const std::string& name) const;

  const std::map<std::string, std::int64_t>& sizes_;
  std::set<std::string> batch_;  // names
  bool fixed_ = false;
  std::vector<std::string> notes_;
};

}  // namespace bitcycle
