// SPDX-License-Identifier: Apache-2.0
// The field numbers are those of onnx.proto; fields that are not needed here are passed over.
#include "cost_models/onnx/onnx_graph.h"

#include <cstring>
#include <stdexcept>

#include "cost_models/onnx/protobuf_fields.h"

namespace bitcycle {
namespace {

constexpr std::size_t kMostAxes = 64;
constexpr std::size_t kMostNodes = 1000000;
constexpr std::size_t kMostListed = 65536;  // numbers of an attribute
constexpr std::size_t kMostSmall = 8192;    // elements of a tensor whose values are read

// onnx.TensorProto.DataType
constexpr int kFloat = 1, kUint8 = 2, kInt8 = 3, kInt16 = 5, kInt32 = 6, kInt64 = 7, kBool = 9;

std::string text_of(const ProtobufField& field) {
  if (!field.is_bytes()) throw std::invalid_argument("a name is a number");
  return std::string(field.bytes);
}

/// Calls visit(field) for every field of a message.
template <typename Visit>
void for_each(std::string_view message, Visit visit) {
  ProtobufFields fields(message);
  for (ProtobufField field; fields.next(field);) visit(field);
}

void append_reals(const ProtobufField& field, std::vector<float>& values) {
  const auto put = [&](const char* bytes) {
    float value = 0.0F;
    std::memcpy(&value, bytes, sizeof value);
    values.push_back(value);
  };
  if (field.kind == ProtobufField::Kind::kFixed32) {
    const auto bits = static_cast<std::uint32_t>(field.bits);
    put(reinterpret_cast<const char*>(&bits));
  } else {
    for (std::size_t i = 0; i + sizeof(float) <= field.bytes.size(); i += sizeof(float)) put(field.bytes.data() + i);
  }
}

/// TensorProto: dims 1, data_type 2, float_data 4, int32_data 5, int64_data 7, name 8, raw_data 9, data_location 14.
OnnxTensor tensor_of(std::string_view message) {
  OnnxTensor tensor;
  for_each(message, [&](const ProtobufField& field) {
    switch (field.number) {
      case 1: append_integers(field, tensor.shape, kMostAxes); break;
      case 2: tensor.type = static_cast<int>(field.integer()); break;
      case 8: tensor.name = text_of(field); break;
      case 9: tensor.raw = field.bytes; break;
      case 14: tensor.external = field.integer() == 1; break;
      default: break;
    }
  });
  for (const std::int64_t size : tensor.shape) {
    if (size < 0) throw std::invalid_argument("the constant '" + tensor.name + "' has a negative size");
  }
  if (tensor.elements() <= static_cast<std::int64_t>(kMostSmall)) {
    for_each(message, [&](const ProtobufField& field) {
      if (field.number == 4 && field.bytes.size() <= sizeof(float) * kMostSmall) append_reals(field, tensor.reals);
      if (field.number == 5 || field.number == 7) append_integers(field, tensor.integers, kMostSmall);
    });
  }
  return tensor;
}

/// TensorShapeProto: dim 1, of dim_value 1 or dim_param 2.
std::vector<OnnxDimension> shape_of(std::string_view message) {
  std::vector<OnnxDimension> shape;
  for_each(message, [&](const ProtobufField& dim) {
    if (dim.number != 1) return;
    if (shape.size() == kMostAxes) throw std::invalid_argument("a shape has more than 64 axes");
    OnnxDimension& dimension = shape.emplace_back();
    for_each(dim.bytes, [&](const ProtobufField& field) {
      if (field.number == 1) dimension.size = field.integer();
      if (field.number == 2) dimension.name = text_of(field);
    });
    if (dimension.size && *dimension.size < 0) dimension.size.reset();  // some programs write -1 for "open"
  });
  return shape;
}

/// ValueInfoProto: name 1, type 2; TypeProto: tensor_type 1; its shape 2.
OnnxValueInfo value_of(std::string_view message) {
  OnnxValueInfo value;
  for_each(message, [&](const ProtobufField& field) {
    if (field.number == 1) value.name = text_of(field);
    if (field.number != 2) return;
    for_each(field.bytes, [&](const ProtobufField& type) {
      if (type.number != 1) return;
      for_each(type.bytes, [&](const ProtobufField& part) {
        if (part.number == 2) value.shape = shape_of(part.bytes);
      });
    });
  });
  return value;
}

/// AttributeProto: name 1, i 3, s 4, t 5, g 6, floats 7, ints 8, graphs 11.
void read_attribute(std::string_view message, OnnxNode& node) {
  std::string name;
  std::optional<std::int64_t> integer;
  std::optional<std::string> text;
  std::optional<OnnxTensor> tensor;
  std::vector<std::int64_t> list;
  for_each(message, [&](const ProtobufField& field) {
    switch (field.number) {
      case 1: name = text_of(field); break;
      case 3: integer = field.integer(); break;
      case 4: text = text_of(field); break;
      case 5: tensor = tensor_of(field.bytes); break;
      case 6:
      case 11: node.has_graph = true; break;
      case 8: append_integers(field, list, kMostListed); break;
      default: break;
    }
  });
  if (integer) node.integers[name] = *integer;
  if (text) node.texts[name] = std::move(*text);
  if (tensor) node.tensors[name] = std::move(*tensor);
  if (!list.empty()) node.lists[name] = std::move(list);
}

/// NodeProto: input 1, output 2, name 3, op_type 4, attribute 5, domain 7.
OnnxNode node_of(std::string_view message) {
  OnnxNode node;
  for_each(message, [&](const ProtobufField& field) {
    switch (field.number) {
      case 1: node.inputs.push_back(text_of(field)); break;
      case 2: node.outputs.push_back(text_of(field)); break;
      case 3: node.name = text_of(field); break;
      case 4: node.op = text_of(field); break;
      case 5: read_attribute(field.bytes, node); break;
      case 7: node.domain = text_of(field); break;
      default: break;
    }
  });
  return node;
}

/// GraphProto: node 1, initializer 5, input 11, output 12, value_info 13, sparse_initializer 15.
void read_graph(std::string_view message, OnnxGraph& graph) {
  for_each(message, [&](const ProtobufField& field) {
    switch (field.number) {
      case 1:
        if (graph.nodes.size() == kMostNodes) throw std::invalid_argument("it has more than 1,000,000 nodes");
        graph.nodes.push_back(node_of(field.bytes));
        break;
      case 5: {
        OnnxTensor tensor = tensor_of(field.bytes);
        const std::string name = tensor.name;
        if (!graph.constants.emplace(name, std::move(tensor)).second) {
          throw std::invalid_argument("the constant '" + name + "' is there twice");
        }
        break;
      }
      case 11: graph.inputs.push_back(value_of(field.bytes)); break;
      case 12:
      case 13: {
        OnnxValueInfo value = value_of(field.bytes);
        const std::string name = value.name;
        graph.known.emplace(name, std::move(value));
        break;
      }
      case 15:
        throw std::invalid_argument("it has sparse constants (sparse_initializer), and sparsity is not modelled");
      default: break;
    }
  });
  // Old files name every constant among the inputs, too.
  std::erase_if(graph.inputs, [&](const OnnxValueInfo& input) { return graph.constants.count(input.name) != 0; });
}

template <typename T>
std::vector<std::int64_t> numbers_of(std::string_view raw) {
  std::vector<std::int64_t> values;
  for (std::size_t i = 0; i + sizeof(T) <= raw.size(); i += sizeof(T)) {
    T value = 0;
    std::memcpy(&value, raw.data() + i, sizeof value);
    values.push_back(static_cast<std::int64_t>(value));
  }
  return values;
}

}  // namespace

std::int64_t OnnxTensor::elements() const {
  std::int64_t count = 1;
  for (const std::int64_t size : shape) {
    if (__builtin_mul_overflow(count, size, &count)) return std::int64_t{1} << 62;
  }
  return count;
}

std::optional<std::vector<std::int64_t>> OnnxTensor::whole_numbers() const {
  const std::int64_t count = elements();
  if (external || count > static_cast<std::int64_t>(kMostSmall)) return std::nullopt;
  std::vector<std::int64_t> values = integers;
  if (values.empty() && !raw.empty()) {
    switch (type) {
      case kUint8:
      case kBool: values = numbers_of<std::uint8_t>(raw); break;
      case kInt8: values = numbers_of<std::int8_t>(raw); break;
      case kInt16: values = numbers_of<std::int16_t>(raw); break;
      case kInt32: values = numbers_of<std::int32_t>(raw); break;
      case kInt64: values = numbers_of<std::int64_t>(raw); break;
      default: return std::nullopt;
    }
  }
  if (type == kFloat || static_cast<std::int64_t>(values.size()) != count) return std::nullopt;
  return values;
}

std::optional<std::vector<float>> OnnxTensor::real_numbers() const {
  const std::int64_t count = elements();
  if (external || type != kFloat || count > static_cast<std::int64_t>(kMostSmall)) return std::nullopt;
  std::vector<float> values = reals;
  for (std::size_t i = 0; values.size() < static_cast<std::size_t>(count) && i + sizeof(float) <= raw.size();
       i += sizeof(float)) {
    float value = 0.0F;
    std::memcpy(&value, raw.data() + i, sizeof value);
    values.push_back(value);
  }
  if (static_cast<std::int64_t>(values.size()) != count) return std::nullopt;
  return values;
}

bool OnnxTensor::is_all_ones() const {
  if (type != kUint8 && type != kInt8) return false;
  if (!integers.empty()) {
    for (const std::int64_t value : integers) {
      if (value != 1) return false;
    }
    return static_cast<std::int64_t>(integers.size()) == elements();
  }
  return !raw.empty() && raw.find_first_not_of('\1') == std::string_view::npos;
}

std::int64_t OnnxNode::integer(const std::string& key, std::int64_t fallback) const {
  const auto found = integers.find(key);
  return found == integers.end() ? fallback : found->second;
}

std::string OnnxNode::text(const std::string& key, const std::string& fallback) const {
  const auto found = texts.find(key);
  return found == texts.end() ? fallback : found->second;
}

const std::vector<std::int64_t>* OnnxNode::list(const std::string& key) const {
  const auto found = lists.find(key);
  return found == lists.end() ? nullptr : &found->second;
}

std::string OnnxNode::label() const {
  std::string shown = name;
  if (shown.empty()) {
    for (const auto& output : outputs) {
      if (shown.empty()) shown = output;
    }
  }
  return "node '" + shown + "' (" + (domain.empty() ? "" : domain + ":") + op + ")";
}

OnnxGraph parse_onnx_graph(std::string_view bytes) {
  // ModelProto: graph 7, opset_import 8 (domain 1, version 2), functions 25 (name 1).
  OnnxGraph graph;
  bool found = false;
  for_each(bytes, [&](const ProtobufField& field) {
    if (!field.is_bytes()) return;
    if (field.number == 7) {
      if (found) throw std::invalid_argument("it has two graphs");
      found = true;
      read_graph(field.bytes, graph);
    }
    if (field.number == 8) {
      std::string domain;
      std::int64_t version = 0;
      for_each(field.bytes, [&](const ProtobufField& part) {
        if (part.number == 1) domain = text_of(part);
        if (part.number == 2) version = part.integer();
      });
      if (domain.empty() || domain == "ai.onnx") graph.opset = version;
    }
    if (field.number == 25) {
      for_each(field.bytes, [&](const ProtobufField& part) {
        if (part.number == 1) graph.functions.insert(text_of(part));
      });
    }
  });
  if (!found) throw std::invalid_argument("there is no graph in it");
  return graph;
}

}  // namespace bitcycle
