// SPDX-License-Identifier: Apache-2.0
// Float32 linear layers, and the loss of a classifier.
#include <algorithm>

#include "sim/device/fused/bindings.h"
#include "sim/device/fused/patterns.h"

namespace bitcycle::fused {
namespace {

std::optional<Match> linear_forward(const Candidates& c, int node) {
  const auto* bias = c.get<ops::AddBias>(node);
  if (bias == nullptr) return {};
  const int product = c.program().writer(bias->x);
  const auto* float_product = c.get<ops::FloatProduct>(product);
  if (float_product == nullptr || !is_linear(c, *float_product)) return {};
  return Match{{node, product}, {}, {bias->y}, {}, {}, {}};
}

std::optional<Match> linear_backward(const Candidates& c, int node) {
  const auto* bias = c.get<ops::BiasGradient>(node);
  if (bias == nullptr) return {};
  Match match;
  match.nodes = {node};
  match.makes = {bias->dbias};
  const auto product_at = [&](int reader) {
    return same_layer(c, reader, node) ? c.get<ops::FloatProduct>(reader) : nullptr;
  };
  for (const int reader : c.program().readers(bias->dy)) {
    const auto* product = product_at(reader);
    if (product != nullptr && product->over.pass == Pass::kWeightGradient && !is_linear(c, *product)) return {};
  }
  for (const int reader : c.program().readers(bias->dy)) {
    const auto* product = product_at(reader);
    if (product == nullptr) continue;
    add(match.nodes, reader);
    match.makes.push_back(product->y);
    const auto* bound = writer_as<ops::ProductBound>(c, product->bound);
    if (bound == nullptr) continue;
    add(match.nodes, c.program().writer(product->bound));
    add(match.nodes, c.program().writer(bound->lhs_magnitude));
    add(match.nodes, c.program().writer(bound->rhs_magnitude));
  }
  // A bias behind an integer product is no part of this kernel.
  if (match.makes.size() == 1) return {};
  return match;
}

KernelLaunch bind_linear_forward(const KernelBinding& b) {
  const auto* float_product = b.op<ops::FloatProduct>();
  const auto* bias = b.op<ops::AddBias>();
  LinearForward args;
  args.inputs = float_product->over.shape.c;
  args.outputs = float_product->over.shape.o;
  args.x = b.address<float>(float_product->lhs);
  args.w = b.address<float>(float_product->rhs);
  args.bias = b.address<float>(bias->bias);
  args.y = b.address<float>(bias->y);
  const Program* program = &b.program;
  const Tensor y = bias->y;
  KernelLibrary* library = &b.library;
  return [args, program, y, library](const KernelStep& step) {
    LinearForward now = args;
    now.n = rows(*program, y, step.samples);
    library->linear_forward(now);
  };
}

KernelLaunch bind_linear_backward(const KernelBinding& b) {
  const auto* bias = b.op<ops::BiasGradient>();
  LinearBackward args;
  args.dy = b.address<float>(bias->dy);
  args.dbias = b.address<float>(bias->dbias);
  for (int i = 0; b.op<ops::FloatProduct>(i) != nullptr; ++i) {
    const auto* product = b.op<ops::FloatProduct>(i);
    args.inputs = product->over.shape.c;
    args.outputs = product->over.shape.o;
    if (product->over.pass == Pass::kError) {
      args.w = b.address<float>(product->rhs);
      args.dx = b.address<float>(product->y);
    } else {
      args.x = b.address<float>(product->lhs);
      args.dw = b.address<float>(product->y);
    }
  }
  const Program* program = &b.program;
  const Tensor dy = bias->dy;
  KernelLibrary* library = &b.library;
  return [args, program, dy, library](const KernelStep& step) {
    LinearBackward now = args;
    now.n = rows(*program, dy, step.samples);
    library->linear_backward(now);
  };
}

std::optional<Match> softmax_loss(const Candidates& c, int node) {
  const auto* op = c.get<ops::SoftmaxLoss>(node);
  if (op == nullptr || op->partial) return {};
  return alone<ops::SoftmaxLoss>(c, node);
}

KernelLaunch bind_softmax(const KernelBinding& b) {
  const auto* op = b.op<ops::SoftmaxLoss>();
  SoftmaxCrossEntropy args;
  args.classes = b.program.spec(op->logits).shape.back();
  args.logits = b.address<float>(op->logits);
  args.labels = b.address<std::int32_t>(op->labels);
  args.dlogits = b.address<float>(op->dlogits);
  std::shared_ptr<Buffer> keep;
  args.losses = op->losses ? b.address<float>(op->losses) : record<float>(b, keep, b.program.spec(op->labels).size());
  args.record = b.address<LossRecord>(op->loss);
  const Program* program = &b.program;
  const Tensor logits = op->logits;
  KernelLibrary* library = &b.library;
  return [args, program, logits, keep, library](const KernelStep& step) {
    SoftmaxCrossEntropy now = args;
    now.n = rows(*program, logits, step.samples);
    library->softmax_cross_entropy(now);
  };
}

}  // namespace

FusedEntry linear_forward_entry() { return {{"linear forward", linear_forward}, bind_linear_forward}; }
FusedEntry linear_backward_entry() { return {{"linear backward", linear_backward}, bind_linear_backward}; }
FusedEntry softmax_loss_entry() { return {{"softmax cross-entropy", softmax_loss}, bind_softmax}; }

}  // namespace bitcycle::fused
