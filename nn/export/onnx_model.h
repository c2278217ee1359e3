// SPDX-License-Identifier: Apache-2.0
// OnnxModel: nodes, constants and ends of an ONNX graph, and their bytes as onnx.proto lays them down. Only operators
// of the default domain; tensors of fixed shape but for the batch, `N`.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "nn/io/protobuf_writer.h"

namespace bitcycle {

/// onnx.TensorProto.DataType
enum class OnnxType : std::uint8_t { kFloat32 = 1, kUint8 = 2, kInt32 = 6, kInt64 = 7, kFloat64 = 11 };
template <typename T>
OnnxType onnx_type_of();

struct OnnxAttributes {
  std::map<std::string, std::int64_t> integers;
  std::map<std::string, std::vector<std::int64_t>> lists;
};

class OnnxModel {
 public:
  explicit OnnxModel(std::string name) : name_(std::move(name)) {}

  /// A constant; the name is returned. Contract: names are unique.
  template <typename T>
  std::string constant(const std::string& name, const std::vector<std::int64_t>& shape, const std::vector<T>& values);

  /// A node with one output, which is returned and is the node's name, too.
  std::string node(const std::string& op, const std::vector<std::string>& inputs, const std::string& output,
                   const OnnxAttributes& attributes = {});
  /// An end of the graph: (N, sizes...).
  void input(const std::string& name, OnnxType type, const std::vector<std::int64_t>& sizes);
  void output(const std::string& name, OnnxType type, const std::vector<std::int64_t>& sizes);

  /// The bytes of the file. `metadata`: what the model's properties say.
  std::string bytes(const std::string& producer_version, const std::string& description,
                    const std::map<std::string, std::string>& metadata) const;

 private:
  void add_constant(const std::string& name, OnnxType type, const std::vector<std::int64_t>& shape,
                    std::string_view raw);

  std::string name_;
  std::vector<ProtobufWriter> nodes_, constants_, inputs_, outputs_;
};

template <>
inline OnnxType onnx_type_of<float>() {
  return OnnxType::kFloat32;
}
template <>
inline OnnxType onnx_type_of<double>() {
  return OnnxType::kFloat64;
}
template <>
inline OnnxType onnx_type_of<std::uint8_t>() {
  return OnnxType::kUint8;
}
template <>
inline OnnxType onnx_type_of<std::int64_t>() {
  return OnnxType::kInt64;
}

template <typename T>
std::string OnnxModel::constant(const std::string& name, const std::vector<std::int64_t>& shape,
                                const std::vector<T>& values) {
  add_constant(name, onnx_type_of<T>(), shape,
               {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)});
  return name;
}

}  // namespace bitcycle
