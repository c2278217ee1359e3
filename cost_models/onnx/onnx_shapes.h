// SPDX-License-Identifier: Apache-2.0
// Shapes of the values of an ONNX graph, from those of its inputs: a rule for each operator that multiplies no
// matrices. Small whole numbers are followed, too, since Reshape, Slice and the like read shapes as values.
#pragma once

#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "cost_models/onnx/onnx_graph.h"
#include "sim/program/tensor.h"

namespace bitcycle {

/// What is known of a value of the graph.
struct OnnxValue {
  std::optional<OnnxShape> shape;
  std::optional<std::vector<std::int64_t>> numbers;  // elements, in order, of a small tensor of whole numbers
  const OnnxTensor* tensor = nullptr;                // its data, where a constant is read as it is
  bool constant = false;                             // made of constants alone: a weight
  bool trained = false;                              // some weights lie before it: it has a gradient
  std::string unknown;                               // why there is no shape
};

/// The shape of a value is needed and not known; the text says why.
struct UnknownShape : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// One node, its inputs and outputs.
class ShapeTask {
 public:
  ShapeTask(const OnnxNode& of, std::int64_t version, std::vector<const OnnxValue*> read,
            std::vector<OnnxValue>& written)
      : node(of), opset(version), inputs_(std::move(read)), outputs_(written) {}

  const OnnxNode& node;
  const std::int64_t opset;

  std::size_t inputs() const { return inputs_.size(); }
  /// False for an input that is left out.
  bool has(std::size_t i) const { return i < inputs_.size() && inputs_[i] != nullptr; }
  const OnnxValue& value(std::size_t i) const;
  /// Throws UnknownShape.
  const OnnxShape& shape(std::size_t i) const;
  /// The elements of a small tensor of whole numbers. Throws UnknownShape.
  const std::vector<std::int64_t>& numbers(std::size_t i) const;
  /// numbers(i), or null where they are not known.
  const std::vector<std::int64_t>* maybe_numbers(std::size_t i) const;

  std::size_t outputs() const { return outputs_.size(); }
  void put(std::size_t i, OnnxShape shape);
  void put_numbers(std::vector<std::int64_t> numbers);  // of output 0, whose shape is put

  /// An axis of a tensor of `rank` axes, which may be counted from the end. Throws std::invalid_argument.
  std::size_t axis(std::int64_t axis, std::size_t rank) const;
  /// Attribute `axes`, or input i where newer versions have it. Nothing where it is left out.
  std::optional<std::vector<std::int64_t>> axes(std::size_t i) const;

  [[noreturn]] void fail(const std::string& message) const;

 private:
  std::vector<const OnnxValue*> inputs_;
  std::vector<OnnxValue>& outputs_;
};

using ShapeRule = void (*)(ShapeTask& task);

/// The rule of an operator of the default domain; null where it is not known.
ShapeRule shape_rule(const std::string& op);
/// True for operators that multiply no matrices and whose results' shapes depend on values: only the file can tell.
bool is_shaped_by_values(const std::string& op);

/// The number of elements. Throws std::invalid_argument where it has more than 63 bits.
std::int64_t elements_of(const OnnxShape& shape);
/// Both shapes as numpy broadcasts them. Throws std::invalid_argument.
OnnxShape broadcast(const OnnxShape& a, const OnnxShape& b);

// Rules of their own files.
void reshape_rule(ShapeTask& task);
void flatten_rule(ShapeTask& task);
void transpose_rule(ShapeTask& task);
void squeeze_rule(ShapeTask& task);
void unsqueeze_rule(ShapeTask& task);
void concat_rule(ShapeTask& task);
void split_rule(ShapeTask& task);
void slice_rule(ShapeTask& task);
void gather_rule(ShapeTask& task);
void gather_nd_rule(ShapeTask& task);
void expand_rule(ShapeTask& task);
void tile_rule(ShapeTask& task);
void pad_rule(ShapeTask& task);
void depth_to_space_rule(ShapeTask& task);
void space_to_depth_rule(ShapeTask& task);
void resize_rule(ShapeTask& task);
void reduce_rule(ShapeTask& task);
void arg_rule(ShapeTask& task);
void top_k_rule(ShapeTask& task);
void one_hot_rule(ShapeTask& task);
void pool_rule(ShapeTask& task);
void global_pool_rule(ShapeTask& task);
void shape_of_rule(ShapeTask& task);
void size_of_rule(ShapeTask& task);
void constant_rule(ShapeTask& task);
void constant_of_shape_rule(ShapeTask& task);
void range_rule(ShapeTask& task);
/// Elementwise on one value; whole numbers go through Cast and Identity as they are.
void unary_rule(ShapeTask& task);
/// Elementwise on any number of values, broadcast.
void broadcast_rule(ShapeTask& task);

}  // namespace bitcycle
