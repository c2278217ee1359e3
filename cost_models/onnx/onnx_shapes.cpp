// SPDX-License-Identifier: Apache-2.0
#include "cost_models/onnx/onnx_shapes.h"

#include <algorithm>
#include <map>
#include <set>

namespace bitcycle {
namespace {

constexpr std::int64_t kMostSize = std::int64_t{1} << 53;

/// The first output is like the first input; further ones are statistics by channel or the like, which no matrix reads.
const std::set<std::string>& same_shape() {
  static const std::set<std::string> ops{"Abs",
                                         "Acos",
                                         "Acosh",
                                         "Asin",
                                         "Asinh",
                                         "Atan",
                                         "Atanh",
                                         "Bernoulli",
                                         "BitwiseNot",
                                         "Cast",
                                         "CastLike",
                                         "Ceil",
                                         "Celu",
                                         "Clip",
                                         "Cos",
                                         "Cosh",
                                         "CumSum",
                                         "Elu",
                                         "Erf",
                                         "Exp",
                                         "EyeLike",
                                         "Floor",
                                         "Gelu",
                                         "HardSigmoid",
                                         "HardSwish",
                                         "Hardmax",
                                         "Identity",
                                         "IsInf",
                                         "IsNaN",
                                         "LeakyRelu",
                                         "Log",
                                         "LogSoftmax",
                                         "LpNormalization",
                                         "LRN",
                                         "Mish",
                                         "Neg",
                                         "Not",
                                         "PRelu",
                                         "QuantizeLinear",
                                         "DequantizeLinear",
                                         "RandomNormalLike",
                                         "RandomUniformLike",
                                         "Reciprocal",
                                         "Relu",
                                         "ReverseSequence",
                                         "Round",
                                         "Scatter",
                                         "ScatterElements",
                                         "ScatterND",
                                         "Selu",
                                         "Shrink",
                                         "Sigmoid",
                                         "Sign",
                                         "Sin",
                                         "Sinh",
                                         "Softmax",
                                         "Softplus",
                                         "Softsign",
                                         "Sqrt",
                                         "Swish",
                                         "Tan",
                                         "Tanh",
                                         "ThresholdedRelu",
                                         "Trilu",
                                         "MeanVarianceNormalization",
                                         "Dropout",
                                         "BatchNormalization",
                                         "InstanceNormalization",
                                         "LayerNormalization",
                                         "GroupNormalization",
                                         "RMSNormalization",
                                         "DynamicQuantizeLinear"};
  return ops;
}

const std::set<std::string>& broadcast_ops() {
  static const std::set<std::string> ops{"Add",
                                         "Sub",
                                         "Mul",
                                         "Div",
                                         "Pow",
                                         "Mod",
                                         "And",
                                         "Or",
                                         "Xor",
                                         "Equal",
                                         "Greater",
                                         "Less",
                                         "GreaterOrEqual",
                                         "LessOrEqual",
                                         "Where",
                                         "Min",
                                         "Max",
                                         "Sum",
                                         "Mean",
                                         "BitShift",
                                         "BitwiseAnd",
                                         "BitwiseOr",
                                         "BitwiseXor"};
  return ops;
}

const std::set<std::string>& reduce_ops() {
  static const std::set<std::string> ops{"ReduceMean",      "ReduceSum",      "ReduceMax", "ReduceMin",
                                         "ReduceProd",      "ReduceL1",       "ReduceL2",  "ReduceLogSum",
                                         "ReduceLogSumExp", "ReduceSumSquare"};
  return ops;
}

const std::map<std::string, ShapeRule>& rules() {
  static const std::map<std::string, ShapeRule> all = [] {
    std::map<std::string, ShapeRule> table{{"Reshape", reshape_rule},
                                           {"Flatten", flatten_rule},
                                           {"Transpose", transpose_rule},
                                           {"Squeeze", squeeze_rule},
                                           {"Unsqueeze", unsqueeze_rule},
                                           {"Concat", concat_rule},
                                           {"Split", split_rule},
                                           {"Slice", slice_rule},
                                           {"Gather", gather_rule},
                                           {"GatherElements", [](ShapeTask& task) { task.put(0, task.shape(1)); }},
                                           {"GatherND", gather_nd_rule},
                                           {"Expand", expand_rule},
                                           {"Tile", tile_rule},
                                           {"Pad", pad_rule},
                                           {"DepthToSpace", depth_to_space_rule},
                                           {"SpaceToDepth", space_to_depth_rule},
                                           {"Resize", resize_rule},
                                           {"Upsample", resize_rule},
                                           {"ArgMax", arg_rule},
                                           {"ArgMin", arg_rule},
                                           {"TopK", top_k_rule},
                                           {"OneHot", one_hot_rule},
                                           {"MaxPool", pool_rule},
                                           {"AveragePool", pool_rule},
                                           {"LpPool", pool_rule},
                                           {"GlobalAveragePool", global_pool_rule},
                                           {"GlobalMaxPool", global_pool_rule},
                                           {"GlobalLpPool", global_pool_rule},
                                           {"Shape", shape_of_rule},
                                           {"Size", size_of_rule},
                                           {"Constant", constant_rule},
                                           {"ConstantOfShape", constant_of_shape_rule},
                                           {"Range", range_rule}};
    for (const auto& op : same_shape()) table.emplace(op, unary_rule);
    for (const auto& op : broadcast_ops()) table.emplace(op, broadcast_rule);
    for (const auto& op : reduce_ops()) table.emplace(op, reduce_rule);
    return table;
  }();
  return all;
}

}  // namespace

ShapeRule shape_rule(const std::string& op) {
  const auto found = rules().find(op);
  return found == rules().end() ? nullptr : found->second;
}

bool is_shaped_by_values(const std::string& op) {
  static const std::set<std::string> ops{"NonZero",     "NonMaxSuppression", "Unique",        "Compress",
                                         "Multinomial", "RandomNormal",      "RandomUniform", "RoiAlign",
                                         "MaxRoiPool",  "MaxUnpool",         "GridSample",    "CenterCropPad",
                                         "Col2Im",      "BlackmanWindow",    "HannWindow",    "HammingWindow"};
  return ops.count(op) != 0;
}

const OnnxValue& ShapeTask::value(std::size_t i) const {
  if (!has(i)) fail("input " + std::to_string(i + 1) + " is missing");
  return *inputs_[i];
}

const OnnxShape& ShapeTask::shape(std::size_t i) const {
  const OnnxValue& read = value(i);
  if (!read.shape) throw UnknownShape(read.unknown);
  return *read.shape;
}

const std::vector<std::int64_t>& ShapeTask::numbers(std::size_t i) const {
  const OnnxValue& read = value(i);
  if (!read.numbers) {
    throw UnknownShape(node.label() + " reads a shape or positions from '" + node.inputs[i] +
                       "', which are known only when the model runs, or lie in another file");
  }
  return *read.numbers;
}

const std::vector<std::int64_t>* ShapeTask::maybe_numbers(std::size_t i) const {
  return has(i) && inputs_[i]->numbers ? &*inputs_[i]->numbers : nullptr;
}

void ShapeTask::put(std::size_t i, OnnxShape shape) {
  if (i >= outputs_.size()) return;
  for (const std::int64_t size : shape) {
    if (size < 0 || size > kMostSize) fail("its result would have the shape " + shape_text(shape));
  }
  outputs_[i].shape = std::move(shape);
}

void ShapeTask::put_numbers(std::vector<std::int64_t> numbers) {
  if (!outputs_.empty() && outputs_[0].shape &&
      elements_of(*outputs_[0].shape) == static_cast<std::int64_t>(numbers.size())) {
    outputs_[0].numbers = std::move(numbers);
  }
}

std::size_t ShapeTask::axis(std::int64_t axis, std::size_t rank) const {
  const auto axes = static_cast<std::int64_t>(rank);
  if (axis < -axes || axis >= axes) {
    fail("axis " + std::to_string(axis) + " does not exist in a tensor of " + std::to_string(rank) + " axes");
  }
  return static_cast<std::size_t>(axis < 0 ? axis + axes : axis);
}

std::optional<std::vector<std::int64_t>> ShapeTask::axes(std::size_t i) const {
  if (const auto* list = node.list("axes")) return *list;
  if (has(i)) return numbers(i);
  return std::nullopt;
}

void ShapeTask::fail(const std::string& message) const { throw std::invalid_argument(node.label() + ": " + message); }

std::int64_t elements_of(const OnnxShape& shape) {
  std::int64_t count = 1;
  for (const std::int64_t size : shape) {
    if (__builtin_mul_overflow(count, size, &count)) {
      throw std::invalid_argument("a tensor of the shape " + shape_text(shape) + " has too many elements");
    }
  }
  return count;
}

OnnxShape broadcast(const OnnxShape& a, const OnnxShape& b) {
  const OnnxShape& longer = a.size() >= b.size() ? a : b;
  const OnnxShape& shorter = a.size() >= b.size() ? b : a;
  OnnxShape result = longer;
  const std::size_t lead = longer.size() - shorter.size();
  for (std::size_t i = 0; i < shorter.size(); ++i) {
    std::int64_t& size = result[lead + i];
    if (size == 1) {
      size = shorter[i];
    } else if (shorter[i] != 1 && shorter[i] != size) {
      throw std::invalid_argument("the shapes " + shape_text(a) + " and " + shape_text(b) + " do not go together");
    }
  }
  return result;
}

}  // namespace bitcycle
