// SPDX-License-Identifier: Apache-2.0
#include "cost_models/onnx/onnx_batch.h"

#include <algorithm>
#include <cctype>
#include <stdexcept>

namespace bitcycle {
namespace {

/// The name of an open axis: the file's, or INPUT[AXIS].
std::string name_of(const OnnxValueInfo& value, std::size_t axis) {
  const std::string& name = (*value.shape)[axis].name;
  return name.empty() ? value.name + "[" + std::to_string(axis) + "]" : name;
}

bool says_batch(std::string name) {
  std::transform(name.begin(), name.end(), name.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return name.find("batch") != std::string::npos;
}

}  // namespace

OnnxBatch::OnnxBatch(const OnnxGraph& graph, const std::map<std::string, std::int64_t>& sizes) : sizes_(sizes) {
  std::set<std::string> open, first;
  std::optional<std::int64_t> samples;  // of the first input that states its first axis
  for (const auto& input : graph.inputs) {
    if (!input.shape) continue;
    for (std::size_t i = 0; i < input.shape->size(); ++i) {
      const OnnxDimension& dimension = (*input.shape)[i];
      const std::string name = name_of(input, i);
      if (!dimension.size) open.insert(name);
      const auto given = sizes.find(name);
      const bool is_known = dimension.size || given != sizes.end();
      if (!is_known && i == 0) first.insert(name);
      if (!is_known && says_batch(name)) batch_.insert(name);
      if (is_known && i == 0 && !samples) samples = dimension.size ? *dimension.size : given->second;
      // A batch that is given stands for the first axis wherever it lies.
      if (!dimension.size && given != sizes.end() && says_batch(name)) samples = given->second;
    }
  }
  for (const auto& [name, size] : sizes) {
    if (open.count(name) != 0) continue;
    std::string known;
    for (const auto& other : open) known += (known.empty() ? "" : ", ") + other;
    throw std::invalid_argument("--dim " + name + "=" + std::to_string(size) + ": the model has no open axis '" + name +
                                "'; " + (known.empty() ? "all its axes have sizes" : "its open axes are " + known));
  }
  if (batch_.empty()) batch_ = first;
  fixed_ = batch_.empty() && samples.value_or(1) > 1;
  if (fixed_) notes_.push_back("The model is written for batches of " + std::to_string(*samples) + " samples.");
}

std::optional<std::int64_t> OnnxBatch::size_of(const OnnxDimension& dimension, const std::string& name) const {
  if (dimension.size) return dimension.size;
  if (const auto given = sizes_.find(name); given != sizes_.end()) return given->second;
  if (batch_.count(name) != 0) return 1;
  return std::nullopt;
}

OnnxShape OnnxBatch::shape_of_input(const OnnxValueInfo& input) const {
  OnnxShape shape;
  for (std::size_t i = 0; i < input.shape->size(); ++i) {
    const std::string name = name_of(input, i);
    const auto size = size_of((*input.shape)[i], name);
    if (!size) {
      throw std::invalid_argument("axis " + std::to_string(i) + " of the input '" + input.name +
                                  "' has no size in the file; give it: --dim '" + name + "=SIZE'");
    }
    shape.push_back(*size);
  }
  return shape;
}

std::optional<OnnxShape> OnnxBatch::shape_of(const OnnxValueInfo& value) const {
  OnnxShape shape;
  for (std::size_t i = 0; i < value.shape->size(); ++i) {
    const auto size = size_of((*value.shape)[i], (*value.shape)[i].name);
    if (!size) return std::nullopt;
    shape.push_back(*size);
  }
  return shape;
}

}  // namespace bitcycle
