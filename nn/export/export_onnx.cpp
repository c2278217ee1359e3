// SPDX-License-Identifier: Apache-2.0
// A quantised network as plain ONNX: the evaluation of docs/numerics.md, operation by operation.
#include <limits>
#include <stdexcept>
#include <utility>

#include "nn/export/export_files.h"
#include "nn/export/onnx_model.h"
#include "sim/ops/rescale.h"

namespace bitcycle {
namespace {

using Op = InferenceNode::Op;
using Names = std::vector<std::string>;

/// Which taps exist at each output position of one axis: the distinct stretches [first, end), and which one a position
/// has. Inside an image all taps exist; only borders with padding differ.
struct TapStretches {
  std::vector<std::pair<std::int64_t, std::int64_t>> stretches;
  std::vector<std::int64_t> of_position;

  TapStretches(std::int64_t input, std::int64_t output, std::int64_t kernel, const ConvShape& s) {
    for (std::int64_t p = 0; p < output; ++p) {
      const std::int64_t origin = p * s.stride - s.padding;
      const std::pair taps{std::max<std::int64_t>(0, -origin), std::min(kernel, input - origin)};
      std::size_t i = 0;
      while (i < stretches.size() && stretches[i] != taps) ++i;
      if (i == stretches.size()) stretches.push_back(taps);
      of_position.push_back(static_cast<std::int64_t>(i));
    }
  }
  std::int64_t count() const { return static_cast<std::int64_t>(stretches.size()); }
};

/// Offsets E of section 4.2, (1, o, rows, columns), one for each pair of stretches.
std::vector<double> offsets(const ExportedConv& conv, const TapStretches& rows, const TapStretches& columns) {
  const ConvShape& s = conv.shape;
  std::vector<double> values;
  for (std::int64_t o = 0; o < s.o; ++o) {
    for (const auto& [row, row_end] : rows.stretches) {
      for (const auto& [column, column_end] : columns.stretches) {
        std::int64_t sum = 0, count = 0;
        for (std::int64_t c = 0; c < s.c_per_group(); ++c) {
          for (std::int64_t kh = row; kh < row_end; ++kh) {
            for (std::int64_t kw = column; kw < column_end; ++kw, ++count) {
              sum += conv.codes[static_cast<std::size_t>(((o * s.c_per_group() + c) * s.kh + kh) * s.kw + kw)];
            }
          }
        }
        values.push_back(product_offset(conv.input, conv.grids[static_cast<std::size_t>(o)], static_cast<double>(sum),
                                        static_cast<double>(count)));
      }
    }
  }
  return values;
}

void check_conv(const ExportedConv& conv) {
  if (conv.width.is_float32() || conv.width.bits() > 8) {
    throw std::runtime_error("layer " + conv.name + " has a width of " + conv.width.text() +
                             ", and ONNX's ConvInteger takes codes of at most 8 bits; choose --bits 2 to 8, or "
                             "--no-onnx for the codes alone");
  }
  const std::int64_t code = conv.width.max_code();
  if (conv.shape.forward_depth() > std::numeric_limits<std::int32_t>::max() / (code * code)) {
    throw std::runtime_error("layer " + conv.name + " adds " + std::to_string(conv.shape.forward_depth()) +
                             " products, which can leave ConvInteger's 32 bits; choose a smaller --bits");
  }
}

class Writer {
 public:
  Writer(const ExportedModel& model, OnnxModel& onnx) : model_(model), onnx_(onnx) {}

  /// The operations of the graph on a float32 tensor; the name of the logits.
  std::string write(const std::string& images) {
    Names values{images};
    for (const auto& node : model_.graph.nodes) {
      Names inputs;
      for (const int input : node.inputs) inputs.push_back(values[static_cast<std::size_t>(input)]);
      values.push_back(write(node, inputs));
    }
    return values.back();
  }

 private:
  std::string write(const InferenceNode& node, const Names& inputs) {
    switch (node.op) {
      case Op::kConv: return conv(model_.conv(node.name), inputs[0]);
      case Op::kFloatConv: return float_conv(model_.float_conv(node.name), inputs[0]);
      case Op::kNorm: return norm(model_.norm(node.name), inputs[0]);
      case Op::kAdd: return onnx_.node("Add", inputs, node.name);
      case Op::kRelu: return onnx_.node("Relu", inputs, node.name);
      case Op::kMaxPool: return max_pool(node, inputs[0]);
      case Op::kAveragePool: return onnx_.node("GlobalAveragePool", inputs, node.name);
      case Op::kLinear: return linear(model_.linear(node.name), inputs[0]);
    }
    throw std::logic_error("an operation that ONNX is not written for");
  }

  std::string cast(const std::string& x, OnnxType type, const std::string& name) {
    return onnx_.node("Cast", {x}, name, {.integers = {{"to", static_cast<std::int64_t>(type)}}, .lists = {}});
  }

  /// Codes of the input (2.2), on the fixed grid of the running range.
  std::string codes(const ExportedConv& conv, const std::string& x) {
    const std::string at = conv.name + ".input.";
    const auto scalar = [&](const char* what, float value) { return onnx_.constant<float>(at + what, {}, {value}); };
    const std::string shifted =
        onnx_.node("Sub", {x, scalar("offset", static_cast<float>(conv.input.lo))}, at + "shifted");
    const std::string scaled =
        onnx_.node("Div", {shifted, scalar("scale", static_cast<float>(conv.input.step))}, at + "scaled");
    const std::string clipped = onnx_.node(
        "Clip", {scaled, scalar("min", 0.0F), scalar("max", static_cast<float>(conv.input.max_code))}, at + "clipped");
    return cast(onnx_.node("Round", {clipped}, at + "rounded"), OnnxType::kUint8, at + "codes");
  }

  /// y = fl32(A [q_x q_w] + (B [q_x] + E)) in binary64 (4.2).
  std::string conv(const ExportedConv& conv, const std::string& x) {
    check_conv(conv);
    const ConvShape& s = conv.shape;
    const std::string& name = conv.name;
    const std::string input = codes(conv, x);
    const OnnxAttributes attributes = attributes_of(s);
    const std::string weights = onnx_.constant<std::uint8_t>(name + ".weight.codes", {s.o, s.c_per_group(), s.kh, s.kw},
                                                             {conv.codes.begin(), conv.codes.end()});
    const std::string products = onnx_.node("ConvInteger", {input, weights}, name + ".products", attributes);
    // Sums of the input's codes alone: of one channel that all output channels share, or of each group.
    const std::int64_t sums_of = s.groups == 1 ? 1 : s.o;
    const std::string ones = onnx_.constant<std::uint8_t>(
        name + ".ones", {sums_of, s.c_per_group(), s.kh, s.kw},
        std::vector<std::uint8_t>(static_cast<std::size_t>(sums_of * s.c_per_group() * s.kh * s.kw), 1));
    const std::string sums = onnx_.node("ConvInteger", {input, ones}, name + ".sums", attributes);

    std::vector<double> a, b;
    for (const auto& grid : conv.grids) {
      const ProductScale scale = product_scale(conv.input, grid);
      a.push_back(scale.a);
      b.push_back(scale.b);
    }
    const std::string a_name = onnx_.constant<double>(name + ".A", {1, s.o, 1, 1}, a);
    const std::string b_name = onnx_.constant<double>(name + ".B", {1, s.o, 1, 1}, b);
    const std::string of_products = onnx_.node(
        "Mul", {cast(products, OnnxType::kFloat64, name + ".products64"), a_name}, name + ".scaled_products");
    const std::string of_sums =
        onnx_.node("Mul", {cast(sums, OnnxType::kFloat64, name + ".sums64"), b_name}, name + ".scaled_sums");
    const std::string rest = onnx_.node("Add", {of_sums, offset(conv)}, name + ".scaled_sums_offset");
    return cast(onnx_.node("Add", {of_products, rest}, name + ".y64"), OnnxType::kFloat32, name + ".y");
  }

  static OnnxAttributes attributes_of(const ConvShape& s) {
    return {.integers = {{"group", s.groups}},
            .lists = {{"kernel_shape", {s.kh, s.kw}},
                      {"pads", {s.padding, s.padding, s.padding, s.padding}},
                      {"strides", {s.stride, s.stride}}}};
  }

  std::string float_conv(const ExportedFloatConv& conv, const std::string& x) {
    const ConvShape& s = conv.shape;
    const std::string weights =
        onnx_.constant<float>(conv.name + ".weight", {s.o, s.c_per_group(), s.kh, s.kw}, conv.weights);
    return onnx_.node("Conv", {x, weights}, conv.name + ".y", attributes_of(s));
  }

  std::string max_pool(const InferenceNode& node, const std::string& x) {
    const auto& [kernel, stride, padding] = node.window;
    return onnx_.node("MaxPool", {x}, node.name,
                      {.integers = {},
                       .lists = {{"kernel_shape", {kernel, kernel}},
                                 {"pads", {padding, padding, padding, padding}},
                                 {"strides", {stride, stride}}}});
  }

  /// E of every output position, from those of the few that differ.
  std::string offset(const ExportedConv& conv) {
    const ConvShape& s = conv.shape;
    const TapStretches rows(s.h, s.out_h(), s.kh, s), columns(s.w, s.out_w(), s.kw, s);
    std::string e =
        onnx_.constant<double>(conv.name + ".E", {1, s.o, rows.count(), columns.count()}, offsets(conv, rows, columns));
    const auto spread = [&](const TapStretches& stretches, std::int64_t axis, const char* what) {
      if (stretches.count() == 1) return;  // it is broadcast
      const std::string positions = onnx_.constant<std::int64_t>(
          conv.name + ".E." + what, {static_cast<std::int64_t>(stretches.of_position.size())}, stretches.of_position);
      e = onnx_.node("Gather", {e, positions}, e + "." + what + "_spread", {.integers = {{"axis", axis}}, .lists = {}});
    };
    spread(rows, 2, "rows");
    spread(columns, 3, "columns");
    return e;
  }

  /// z = fl32(fl(y - mean) * factor + offset), the product exact in binary64 (7.4).
  std::string norm(const ExportedNorm& norm, const std::string& y) {
    std::vector<float> mean;
    std::vector<double> factor, offset;
    for (const auto& channel : norm.channels) {
      mean.push_back(channel.mean);
      factor.push_back(static_cast<double>(channel.a));
      offset.push_back(static_cast<double>(channel.beta));
    }
    const std::vector<std::int64_t> shape{1, static_cast<std::int64_t>(mean.size()), 1, 1};
    const std::string& name = norm.name;
    const std::string t = onnx_.node("Sub", {y, onnx_.constant<float>(name + ".mean", shape, mean)}, name + ".t");
    const std::string scaled = onnx_.node(
        "Mul", {cast(t, OnnxType::kFloat64, name + ".t64"), onnx_.constant<double>(name + ".factor", shape, factor)},
        name + ".scaled");
    const std::string z =
        onnx_.node("Add", {scaled, onnx_.constant<double>(name + ".offset", shape, offset)}, name + ".z64");
    return cast(z, OnnxType::kFloat32, name + ".z");
  }

  std::string linear(const ExportedLinear& linear, const std::string& x) {
    const std::string flat =
        onnx_.node("Flatten", {x}, linear.name + ".input", {.integers = {{"axis", 1}}, .lists = {}});
    const std::string w =
        onnx_.constant<float>(linear.name + ".weight", {linear.outputs, linear.inputs}, linear.weights);
    const std::string b = onnx_.constant<float>(linear.name + ".bias", {linear.outputs}, linear.bias);
    return onnx_.node("Gemm", {flat, w, b}, "logits", {.integers = {{"transB", 1}}, .lists = {}});
  }

  const ExportedModel& model_;
  OnnxModel& onnx_;
};

}  // namespace

std::string onnx_bytes(const ExportedModel& model, const PixelScale& pixels, const std::string& producer_version,
                       const std::map<std::string, std::string>& metadata) {
  OnnxModel onnx(model.name);
  const InferenceGraph& graph = model.graph;
  onnx.input("pixels", OnnxType::kUint8, {graph.c, graph.h, graph.w});
  const auto channel = [&](const char* name, const std::array<float, 3>& values) {
    return onnx.constant<float>(name, {1, 3, 1, 1}, {values.begin(), values.end()});
  };
  const std::string values =
      onnx.node("Cast", {"pixels"}, "pixels.values",
                {.integers = {{"to", static_cast<std::int64_t>(OnnxType::kFloat32)}}, .lists = {}});
  const std::string unit =
      onnx.node("Div", {values, onnx.constant<float>("pixels.largest", {}, {255.0F})}, "pixels.unit");
  const std::string centred = onnx.node("Sub", {unit, channel("pixels.mean", pixels.mean)}, "pixels.centred");
  const std::string images = onnx.node("Div", {centred, channel("pixels.deviation", pixels.deviation)}, "images");
  Writer(model, onnx).write(images);
  onnx.output("logits", OnnxType::kFloat32, {model.classes});
  return onnx.bytes(producer_version,
                    "Integer inference as bitcycle evaluates it: docs/numerics.md, sections 2, 4 and 7.4", metadata);
}

}  // namespace bitcycle
