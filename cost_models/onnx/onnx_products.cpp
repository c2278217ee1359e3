// SPDX-License-Identifier: Apache-2.0
#include "cost_models/onnx/onnx_products.h"

#include <algorithm>
#include <map>

#include "cost_models/layer_limits.h"
#include "cost_models/onnx/onnx_windows.h"

namespace bitcycle {
namespace {

/// Where an operator has its second matrix.
const std::map<std::string, std::size_t>& products() {
  static const std::map<std::string, std::size_t> table{{"Conv", 1},          {"ConvInteger", 1},  {"QLinearConv", 3},
                                                        {"ConvTranspose", 1}, {"Gemm", 1},         {"MatMul", 1},
                                                        {"MatMulInteger", 1}, {"QLinearMatMul", 3}};
  return table;
}

bool is_convolution(const std::string& op) { return op.find("Conv") != std::string::npos; }

/// Sizes of both operands of a convolution over one or two axes, and its groups.
struct Filters {
  OnnxShape input, weights;  // (n, c, h, w), and as the operator has them, kernels (kh, kw)
  OnnxShape kernel;
  std::int64_t groups = 1;
};

Filters filters_of(const ShapeTask& task, std::size_t rhs) {
  if (!task.value(rhs).constant) {
    task.fail("its weights are computed by the model; a convolution is priced with constant weights only");
  }
  Filters filters{task.shape(0), task.shape(rhs), {}, task.node.integer("group", 1)};
  const std::size_t rank = filters.input.size();
  if (rank != filters.weights.size() || rank < 3) {
    task.fail("its input has the shape " + shape_text(filters.input) + ", its weights " + shape_text(filters.weights));
  }
  filters.kernel.assign(filters.weights.begin() + 2, filters.weights.end());
  if (const auto* stated = task.node.list("kernel_shape"); stated != nullptr && *stated != filters.kernel) {
    task.fail("'kernel_shape' is " + shape_text(*stated) + ", its weights have the shape " +
              shape_text(filters.weights));
  }
  for (const OnnxShape* shape : {&filters.input, &filters.weights}) {
    for (const std::int64_t size : *shape) {
      if (size < 1 || size > kMostLayerSize) task.fail("one of its operands has the shape " + shape_text(*shape));
    }
  }
  if (filters.groups < 1 || filters.groups > kMostLayerSize) task.fail("'group' is " + std::to_string(filters.groups));
  return filters;
}

void check_groups(const ShapeTask& task, std::int64_t channels, std::int64_t channels_of_weights, std::int64_t filters,
                  std::int64_t groups) {
  if (channels % groups == 0 && filters % groups == 0 && channels_of_weights == channels / groups) return;
  task.fail("an input of " + std::to_string(channels) + " channels in " + std::to_string(groups) +
            " groups does not go with weights for " + std::to_string(channels_of_weights) + " channels and " +
            std::to_string(filters) + " filters");
}

OnnxProduct convolution(const ShapeTask& task, std::size_t rhs) {
  const Filters filters = filters_of(task, rhs);
  const auto& [input, weights, kernel, groups] = filters;
  check_groups(task, input[1], weights[1], weights[0], groups);
  const auto windows = windows_of(task, input, kernel);
  OnnxProduct product{{}, 0, rhs, {input[0], weights[0]}};
  for (const auto& window : windows) {
    if (window.stride > kMostLayerStride) {
      task.fail("a stride of " + std::to_string(window.stride) + "; at most " + std::to_string(kMostLayerStride) +
                " can be priced");
    }
    product.result.push_back(window.out);
  }
  OperationShape& s = product.operation.shape;
  s.n = input[0];
  s.c = input[1];
  s.o = weights[0];
  s.groups = groups;
  if (windows.size() > 2) {  // more axes: the product of every window with the weights
    s.n = elements_of(product.result) / weights[0];
    s.c = elements_of({input[1], elements_of(kernel)});
    product.operation.kind = "linear";
    return product;
  }
  const OnnxWindow &rows = windows.size() == 2 ? windows[0] : OnnxWindow{}, &columns = windows.back();
  s.h = windows.size() == 2 ? input[2] : 1;
  s.w = input.back();
  s.kh = rows.kernel;
  s.stride_h = rows.stride;
  s.dilation_h = rows.dilation;
  s.pad_top = rows.before;
  s.pad_bottom = rows.after;
  s.kw = columns.kernel;
  s.stride_w = columns.stride;
  s.dilation_w = columns.dilation;
  s.pad_left = columns.before;
  s.pad_right = columns.after;
  return product;
}

/// Each position of the input times the weights: (n h w, c) x (c, o kh kw), whose results are added where they meet.
OnnxProduct transposed_convolution(const ShapeTask& task) {
  const Filters filters = filters_of(task, 1);
  const auto& [input, weights, kernel, groups] = filters;
  check_groups(task, input[1], weights[0] / groups, input[1], groups);
  if (weights[0] != input[1]) {
    task.fail("an input of " + std::to_string(input[1]) + " channels does not go with weights for " +
              std::to_string(weights[0]));
  }
  const std::size_t axes = kernel.size();
  const auto list = [&](const char* key, std::size_t size, std::int64_t fallback) {
    const auto* given = task.node.list(key);
    if (given != nullptr && given->size() != size) task.fail(std::string("'") + key + "' has another length");
    return given != nullptr ? *given : OnnxShape(size, fallback);
  };
  OnnxProduct product{{}, 0, 1, {input[0], elements_of({weights[1], groups})}};
  const bool same = task.node.text("auto_pad", "NOTSET").starts_with("SAME");
  const OnnxShape strides = list("strides", axes, 1), dilations = list("dilations", axes, 1),
                  pads = list("pads", 2 * axes, 0), more = list("output_padding", axes, 0);
  const auto* stated = task.node.list("output_shape");
  if (stated != nullptr && stated->size() < axes) task.fail("'output_shape' is too short");
  for (std::size_t i = 0; i < axes; ++i) {
    for (const std::int64_t value : {strides[i], dilations[i], pads[i], pads[i + axes], more[i]}) {
      if (value < 0 || value > kMostLayerSize) task.fail("an attribute is " + std::to_string(value));
    }
    const std::int64_t size = input[i + 2];
    std::int64_t out = elements_of({strides[i], size});
    if (!same) out += more[i] + dilations[i] * (kernel[i] - 1) + 1 - strides[i] - pads[i] - pads[i + axes];
    product.result.push_back(stated != nullptr ? (*stated)[stated->size() - axes + i] : out);
    if (product.result.back() < 1) task.fail("its result would have the shape " + shape_text(product.result));
  }
  OperationShape& s = product.operation.shape;
  s.n = elements_of({input.begin(), input.end()}) / input[1];
  s.c = input[1];
  s.o = elements_of({weights[1], groups, elements_of(kernel)});
  s.groups = groups;
  product.operation.kind = "linear";
  return product;
}

/// Rows of the left operand that meet one matrix on the right; groups of them that have a matrix of their own.
struct Batches {
  std::int64_t shared = 1, own = 1;
  OnnxShape result;
};

Batches batches_of(const ShapeTask& task, OnnxShape lhs, OnnxShape rhs) {
  Batches batches;
  const std::size_t rank = std::max(lhs.size(), rhs.size());
  lhs.insert(lhs.begin(), rank - lhs.size(), 1);
  rhs.insert(rhs.begin(), rank - rhs.size(), 1);
  for (std::size_t i = 0; i < rank; ++i) {
    if (lhs[i] != rhs[i] && lhs[i] != 1 && rhs[i] != 1) {
      task.fail("batches of the shapes " + shape_text(lhs) + " and " + shape_text(rhs) + " do not go together");
    }
    batches.result.push_back(std::max(lhs[i], rhs[i]));
    std::int64_t& factor = rhs[i] == 1 ? batches.shared : batches.own;
    factor = elements_of({factor, batches.result.back()});
  }
  return batches;
}

/// (..., m, k) x (..., k, n), as numpy's matmul; Gemm with its operands as they are multiplied.
OnnxProduct matrix_product(const ShapeTask& task, std::size_t rhs_input) {
  OnnxShape lhs = task.shape(0), rhs = task.shape(rhs_input);
  if (lhs.empty() || rhs.empty()) task.fail("one of its operands is a single number");
  if (task.node.op == "Gemm") {
    if (lhs.size() != 2 || rhs.size() != 2) {
      task.fail("its operands have the shapes " + shape_text(lhs) + " and " + shape_text(rhs) + ", not two axes each");
    }
    if (task.node.integer("transA", 0) != 0) std::swap(lhs[0], lhs[1]);
    if (task.node.integer("transB", 0) != 0) std::swap(rhs[0], rhs[1]);
  }
  const bool vector_left = lhs.size() == 1, vector_right = rhs.size() == 1;
  if (vector_left) lhs.insert(lhs.begin(), 1);
  if (vector_right) rhs.push_back(1);
  const std::int64_t m = lhs[lhs.size() - 2], k = lhs.back(), n = rhs.back();
  if (rhs[rhs.size() - 2] != k) {
    task.fail("operands of the shapes " + shape_text(lhs) + " and " + shape_text(rhs) + " cannot be multiplied");
  }
  if (m < 1 || n < 1 || k < 1) task.fail("one of its operands is empty");
  const Batches batches = batches_of(task, {lhs.begin(), lhs.end() - 2}, {rhs.begin(), rhs.end() - 2});
  if (batches.shared < 1 || batches.own < 1) task.fail("one of its operands is empty");
  OnnxProduct product{{}, 0, rhs_input, batches.result};
  if (!vector_left) product.result.push_back(m);
  if (!vector_right) product.result.push_back(n);

  OperationShape& s = product.operation.shape;
  const bool swapped = task.value(0).constant && !task.value(rhs_input).constant;
  if (swapped) {  // weights on the left: the same product, transposed
    std::swap(product.lhs, product.rhs);
    const Batches turned = batches_of(task, {rhs.begin(), rhs.end() - 2}, {lhs.begin(), lhs.end() - 2});
    s.n = elements_of({turned.shared, n});
    s.groups = turned.own;
    s.o = elements_of({turned.own, m});
  } else if (task.value(rhs_input).constant) {
    s.n = elements_of({batches.shared, m});
    s.groups = batches.own;
    s.o = elements_of({batches.own, n});
  } else {  // both belong to the sample
    s.n = m;
    s.groups = elements_of({batches.shared, batches.own});
    s.o = elements_of({s.groups, n});
    product.operation.rhs_is_activation = true;
  }
  s.c = elements_of({s.groups, k});
  product.operation.kind = product.operation.rhs_is_activation ? "matmul" : "linear";
  return product;
}

}  // namespace

bool is_product(const std::string& op) { return products().count(op) != 0; }

std::string refusal_of(const std::string& op) {
  static const std::string csv = "write its products into a CSV file of layers (Layer, M, N, K)";
  static const std::map<std::string, std::string> refused{
      {"LSTM", "recurrent layers are not priced; " + csv},
      {"GRU", "recurrent layers are not priced; " + csv},
      {"RNN", "recurrent layers are not priced; " + csv},
      {"DeformConv", "deformable convolutions are not priced; " + csv},
      {"Einsum", "sums over named axes are not priced; write it as MatMul, Transpose and Reshape, or " + csv},
      {"Attention",
       "it holds several products; export the model with attention as MatMul and Softmax (opset 22 or "
       "older)"},
      {"If", "branches are not followed; export the model without control flow, or simplify it (onnxsim)"},
      {"Loop", "loops are not followed; export the model without control flow, or simplify it (onnxsim)"},
      {"Scan", "loops are not followed; export the model without control flow, or simplify it (onnxsim)"}};
  const auto found = refused.find(op);
  return found == refused.end() ? "" : found->second;
}

OnnxProduct product_of(const ShapeTask& task) {
  const std::string& op = task.node.op;
  const std::size_t rhs = products().at(op);
  OnnxProduct product = op == "ConvTranspose" ? transposed_convolution(task)
                        : is_convolution(op)  ? convolution(task, rhs)
                                              : matrix_product(task, rhs);
  if (const std::string excess = too_large(product.operation.shape); !excess.empty()) task.fail("it has " + excess);
  return product;
}

}  // namespace bitcycle
