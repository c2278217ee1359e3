// SPDX-License-Identifier: Apache-2.0
// Runs the ONNX models that `export` writes: the operators that they may use, by the ONNX specification's words, as
// plain loops over the bytes of the file. Shares no code with the product.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <map>
#include <set>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "protobuf_reader.h"

namespace bitcycle::test {

/// Elements in binary64, which holds every value of the types that occur; `type` as in TensorProto.
struct OnnxTensor {
  static constexpr int kFloat = 1, kUint8 = 2, kInt32 = 6, kInt64 = 7, kDouble = 11;
  int type = kFloat;
  std::vector<std::int64_t> shape;
  std::vector<double> values;
  std::int64_t extent(std::size_t axis) const { return shape.at(axis); }
};

struct OnnxNode {
  std::string op, name;
  std::vector<std::string> inputs, outputs;
  std::map<std::string, std::int64_t> integers;
  std::map<std::string, std::vector<std::int64_t>> lists;
};

class OnnxEvaluator {
 public:
  explicit OnnxEvaluator(std::string_view file) {
    const ProtobufReader model(file);
    opset_ = model.message(8).integer(2);
    graph_name_ = model.message(7).text(2);
    for (const auto& entry : model.all(14)) {
      const ProtobufReader property(entry.bytes);
      properties_[property.text(1)] = property.text(2);
    }
    const ProtobufReader graph = model.message(7);
    for (const auto& field : graph.all(5)) {
      const ProtobufReader constant(field.bytes);
      if (!constants_.emplace(constant.text(8), tensor_of(constant)).second) throw std::runtime_error("a name twice");
    }
    for (const auto& field : graph.all(1)) nodes_.push_back(node_of(ProtobufReader(field.bytes)));
    input_ = ProtobufReader(graph.all(11).at(0).bytes).text(1);
    output_ = ProtobufReader(graph.all(12).at(0).bytes).text(1);
  }

  std::int64_t opset() const { return opset_; }
  const std::string& graph_name() const { return graph_name_; }
  const std::map<std::string, std::string>& properties() const { return properties_; }
  const std::vector<OnnxNode>& nodes() const { return nodes_; }
  const OnnxTensor& constant(const std::string& name) const { return constants_.at(name); }

  OnnxTensor run(const OnnxTensor& input) const {
    std::map<std::string, OnnxTensor> values{{input_, input}};
    const auto get = [&](const std::string& name) -> const OnnxTensor& {
      const auto found = values.find(name);
      return found != values.end() ? found->second : constants_.at(name);
    };
    for (const auto& node : nodes_) {
      std::vector<const OnnxTensor*> inputs;
      for (const auto& name : node.inputs) inputs.push_back(&get(name));
      if (!values.emplace(node.outputs.at(0), evaluate(node, inputs)).second) throw std::runtime_error("a name twice");
    }
    return values.at(output_);
  }

 private:
  using Inputs = std::vector<const OnnxTensor*>;

  static OnnxTensor tensor_of(const ProtobufReader& proto) {
    OnnxTensor tensor;
    tensor.shape = proto.integers(1);
    tensor.type = static_cast<int>(proto.integer(2));
    const std::string raw = proto.text(9);
    const std::size_t size = tensor.type == OnnxTensor::kUint8 ? 1 : tensor.type == OnnxTensor::kFloat ? 4 : 8;
    std::size_t count = 1;
    for (const auto extent : tensor.shape) count *= static_cast<std::size_t>(extent);
    if (raw.size() != count * size) throw std::runtime_error("the bytes of a constant do not fit its shape");
    for (const char* at = raw.data(); at != raw.data() + raw.size(); at += size) {
      float f = 0.0F;
      double d = 0.0;
      std::int64_t i = 0;
      if (tensor.type == OnnxTensor::kUint8) d = static_cast<unsigned char>(*at);
      if (tensor.type == OnnxTensor::kFloat) std::memcpy(&f, at, 4), d = static_cast<double>(f);
      if (tensor.type == OnnxTensor::kInt64) std::memcpy(&i, at, 8), d = static_cast<double>(i);
      if (tensor.type == OnnxTensor::kDouble) std::memcpy(&d, at, 8);
      tensor.values.push_back(d);
    }
    return tensor;
  }

  static OnnxNode node_of(const ProtobufReader& proto) {
    OnnxNode node;
    for (const auto& field : proto.all(1)) node.inputs.emplace_back(field.bytes);
    for (const auto& field : proto.all(2)) node.outputs.emplace_back(field.bytes);
    node.name = proto.text(3);
    node.op = proto.text(4);
    if (proto.has(7)) throw std::runtime_error("an operator of another domain");
    for (const auto& field : proto.all(5)) {
      const ProtobufReader attribute(field.bytes);
      if (attribute.integer(20) == 2) node.integers[attribute.text(1)] = attribute.integer(3);
      if (attribute.integer(20) == 7) node.lists[attribute.text(1)] = attribute.integers(8);
    }
    return node;
  }

  static double rounded(double value, int type) {
    return type == OnnxTensor::kFloat ? static_cast<double>(static_cast<float>(value)) : value;
  }

  template <typename F>
  static OnnxTensor each(const OnnxTensor& x, F&& f) {
    OnnxTensor y = x;
    for (auto& value : y.values) value = rounded(f(value), y.type);
    return y;
  }

  /// Elementwise on two tensors, the second broadcast to the first or the other way round.
  template <typename F>
  static OnnxTensor both(const OnnxTensor& a, const OnnxTensor& b, F&& f) {
    if (a.type != b.type) throw std::runtime_error("operands of two types");
    const std::size_t rank = std::max(a.shape.size(), b.shape.size());
    OnnxTensor y;
    y.type = a.type;
    const auto extent = [&](const OnnxTensor& t, std::size_t axis) {
      const std::size_t missing = rank - t.shape.size();
      return axis < missing ? std::int64_t{1} : t.shape[axis - missing];
    };
    for (std::size_t axis = 0; axis < rank; ++axis) {
      const auto x = extent(a, axis), z = extent(b, axis);
      if (x != z && x != 1 && z != 1) throw std::runtime_error("shapes that do not fit");
      y.shape.push_back(std::max(x, z));
    }
    std::size_t count = 1;
    for (const auto n : y.shape) count *= static_cast<std::size_t>(n);
    y.values.resize(count);
    for (std::size_t e = 0; e < count; ++e) {
      std::size_t rest = e, ia = 0, ib = 0, step_a = 1, step_b = 1;
      for (std::size_t axis = rank; axis-- > 0;) {
        const auto n = static_cast<std::size_t>(y.shape[axis]);
        const std::size_t at = rest % n;
        rest /= n;
        if (extent(a, axis) != 1) ia += at * step_a;
        if (extent(b, axis) != 1) ib += at * step_b;
        step_a *= static_cast<std::size_t>(extent(a, axis));
        step_b *= static_cast<std::size_t>(extent(b, axis));
      }
      y.values[e] = rounded(f(a.values[ia], b.values[ib]), y.type);
    }
    return y;
  }

  /// ConvInteger of bytes, or Conv of float32 with every sum rounded once.
  static OnnxTensor convolution(const OnnxNode& node, const OnnxTensor& x, const OnnxTensor& w) {
    const bool is_integer = node.op == "ConvInteger";
    const int wanted = is_integer ? OnnxTensor::kUint8 : OnnxTensor::kFloat;
    if (x.type != wanted || w.type != wanted) throw std::runtime_error(node.op + " of another type");
    const auto n = x.extent(0), c = x.extent(1), h = x.extent(2), width = x.extent(3);
    const auto o = w.extent(0), cg = w.extent(1), kh = w.extent(2), kw = w.extent(3);
    const auto pad = node.lists.at("pads").at(0), stride = node.lists.at("strides").at(0);
    const auto group = node.integers.at("group");
    if (cg * group != c) throw std::runtime_error("channels that do not fit");
    const auto oh = (h + 2 * pad - kh) / stride + 1, ow = (width + 2 * pad - kw) / stride + 1;
    OnnxTensor y;
    y.type = is_integer ? OnnxTensor::kInt32 : OnnxTensor::kFloat;
    y.shape = {n, o, oh, ow};
    for (std::int64_t s = 0; s < n; ++s)
      for (std::int64_t f = 0; f < o; ++f)
        for (std::int64_t p = 0; p < oh; ++p)
          for (std::int64_t q = 0; q < ow; ++q) {
            double sum = 0.0;  // of integers below 2^53, or of float32 numbers
            for (std::int64_t ci = 0; ci < cg; ++ci)
              for (std::int64_t i = 0; i < kh; ++i) {
                const auto row = p * stride + i - pad;
                if (row < 0 || row >= h) continue;
                for (std::int64_t j = 0; j < kw; ++j) {
                  const auto column = q * stride + j - pad;
                  if (column < 0 || column >= width) continue;
                  const auto channel = f / (o / group) * cg + ci;
                  sum += x.values[static_cast<std::size_t>(((s * c + channel) * h + row) * width + column)] *
                         w.values[static_cast<std::size_t>(((f * cg + ci) * kh + i) * kw + j)];
                }
              }
            if (is_integer && sum > 2147483647.0) throw std::runtime_error("a sum left 32 bits");
            y.values.push_back(rounded(sum, y.type));
          }
    return y;
  }

  static OnnxTensor gather(const OnnxTensor& x, const OnnxTensor& at, std::size_t axis) {
    std::int64_t outer = 1, inner = 1;
    for (std::size_t i = 0; i < axis; ++i) outer *= x.extent(i);
    for (std::size_t i = axis + 1; i < x.shape.size(); ++i) inner *= x.extent(i);
    OnnxTensor y;
    y.type = x.type;
    y.shape = x.shape;
    y.shape[axis] = static_cast<std::int64_t>(at.values.size());
    for (std::int64_t a = 0; a < outer; ++a)
      for (const double index : at.values)
        for (std::int64_t b = 0; b < inner; ++b)
          y.values.push_back(x.values.at(
              static_cast<std::size_t>((a * x.extent(axis) + static_cast<std::int64_t>(index)) * inner + b)));
    return y;
  }

  static OnnxTensor max_pool(const OnnxNode& node, const OnnxTensor& x) {
    const auto kernel = node.lists.at("kernel_shape").at(0), stride = node.lists.at("strides").at(0),
               pad = node.lists.at("pads").at(0);
    const auto h = x.extent(2), w = x.extent(3);
    OnnxTensor y;
    y.type = x.type;
    y.shape = {x.extent(0), x.extent(1), (h + 2 * pad - kernel) / stride + 1, (w + 2 * pad - kernel) / stride + 1};
    for (std::int64_t map = 0; map < x.extent(0) * x.extent(1); ++map)
      for (std::int64_t p = 0; p < y.extent(2); ++p)
        for (std::int64_t q = 0; q < y.extent(3); ++q) {
          double largest = -HUGE_VAL;
          for (auto i = std::max<std::int64_t>(0, p * stride - pad); i < std::min(h, p * stride - pad + kernel); ++i)
            for (auto j = std::max<std::int64_t>(0, q * stride - pad); j < std::min(w, q * stride - pad + kernel); ++j)
              largest = std::max(largest, x.values[static_cast<std::size_t>((map * h + i) * w + j)]);
          y.values.push_back(largest);
        }
    return y;
  }

  static OnnxTensor pool(const OnnxTensor& x) {
    const auto positions = static_cast<std::size_t>(x.extent(2) * x.extent(3));
    OnnxTensor y;
    y.shape = {x.extent(0), x.extent(1), 1, 1};
    for (std::size_t first = 0; first < x.values.size(); first += positions) {
      double sum = 0.0;
      for (std::size_t i = 0; i < positions; ++i) sum += x.values[first + i];
      y.values.push_back(rounded(sum / static_cast<double>(positions), y.type));
    }
    return y;
  }

  static OnnxTensor gemm(const OnnxNode& node, const OnnxTensor& x, const OnnxTensor& w, const OnnxTensor& bias) {
    if (node.integers.at("transB") != 1) throw std::runtime_error("a Gemm of another form");
    const auto n = x.extent(0), k = x.extent(1), m = w.extent(0);
    OnnxTensor y;
    y.shape = {n, m};
    for (std::int64_t s = 0; s < n; ++s)
      for (std::int64_t o = 0; o < m; ++o) {
        double sum = bias.values[static_cast<std::size_t>(o)];
        for (std::int64_t i = 0; i < k; ++i)
          sum += x.values[static_cast<std::size_t>(s * k + i)] * w.values[static_cast<std::size_t>(o * k + i)];
        y.values.push_back(rounded(sum, y.type));
      }
    return y;
  }

  static OnnxTensor evaluate(const OnnxNode& node, const Inputs& in) {
    const std::string& op = node.op;
    if (op == "Add") return both(*in[0], *in[1], [](double a, double b) { return a + b; });
    if (op == "Sub") return both(*in[0], *in[1], [](double a, double b) { return a - b; });
    if (op == "Mul") return both(*in[0], *in[1], [](double a, double b) { return a * b; });
    if (op == "Div") return both(*in[0], *in[1], [](double a, double b) { return a / b; });
    if (op == "Relu") return each(*in[0], [](double a) { return a > 0.0 ? a : 0.0; });
    if (op == "Round") return each(*in[0], [](double a) { return std::rint(a); });
    if (op == "Clip") return each(*in[0], [&](double a) { return std::clamp(a, in[1]->values[0], in[2]->values[0]); });
    if (op == "ConvInteger" || op == "Conv") return convolution(node, *in[0], *in[1]);
    if (op == "MaxPool") return max_pool(node, *in[0]);
    if (op == "Gather") return gather(*in[0], *in[1], static_cast<std::size_t>(node.integers.at("axis")));
    if (op == "GlobalAveragePool") return pool(*in[0]);
    if (op == "Gemm") return gemm(node, *in[0], *in[1], *in[2]);
    if (op == "Flatten") {
      OnnxTensor y = *in[0];
      y.shape = {y.extent(0), static_cast<std::int64_t>(y.values.size()) / y.extent(0)};
      return y;
    }
    if (op == "Cast") {
      OnnxTensor y = *in[0];
      y.type = static_cast<int>(node.integers.at("to"));
      for (auto& value : y.values) value = rounded(value, y.type);
      return y;
    }
    throw std::runtime_error("operator " + op);
  }

  std::int64_t opset_ = 0;
  std::string graph_name_, input_, output_;
  std::map<std::string, std::string> properties_;
  std::map<std::string, OnnxTensor> constants_;
  std::vector<OnnxNode> nodes_;
};

}  // namespace bitcycle::test
