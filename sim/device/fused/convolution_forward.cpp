// SPDX-License-Identifier: Apache-2.0
// The forward pass of a convolution, and the exact integers of any product.
#include <algorithm>

#include "sim/device/fused/bindings.h"
#include "sim/device/fused/patterns.h"

namespace bitcycle::fused {
namespace {

/// Quantise, product, rescale, moments; batch norm and rectifier of the product before on the way.
std::optional<Match> conv_forward(const Candidates& c, int node) {
  Match match;
  match.nodes = {node};
  Tensor y, x;
  if (const auto* product = c.get<ops::Product>(node)) {
    if (product->over.pass != Pass::kForward) return {};
    const int quantise = c.program().writer(product->lhs.codes);
    const auto* codes = c.get<ops::Quantise>(quantise);
    const int rescale = c.reader<ops::Rescale>(product->sums);
    if (codes == nullptr || rescale < 0) return {};
    const auto* value = c.get<ops::Rescale>(rescale);
    add(match.nodes, quantise);
    add(match.nodes, rescale);
    add(match.nodes, c.program().writer(value->lhs_sums));
    add(match.nodes, c.program().writer(value->rhs_sums));
    x = codes->x;
    y = value->y;
    match.takes = {product->rhs.codes, product->rhs.grid};
    match.makes = {codes->codes, y};
    if (const Normalised norm = normalised(c, x)) match.recomputed = {norm.apply, norm.relu};
  } else if (const auto* values = c.get<ops::FloatProduct>(node)) {
    if (values->over.pass != Pass::kForward || is_linear(c, *values)) return {};
    x = values->lhs;
    y = values->y;
    match.makes = {y};
    if (const Normalised norm = normalised(c, x)) {  // z is what the operand keeps
      add(match.nodes, norm.apply);
      add(match.nodes, norm.relu);
      match.makes.push_back(x);
      // Who masks a gradient with it makes the mask again.
    }
  } else {
    return {};
  }
  if (const int moments = c.reader<ops::Moments>(y); moments >= 0) {
    const auto* op = c.get<ops::Moments>(moments);
    const int bound = c.program().writer(op->bound);
    const auto* of = c.get<ops::ProductBound>(bound);
    if (of != nullptr) {
      add(match.nodes, moments);
      add(match.nodes, bound);
      match.makes.push_back(op->statistics);
      if (of->rhs_range) match.takes.push_back(of->rhs_range);
    }
  }
  return match;
}

/// The exact integers of a product, for whoever looks at them.
std::optional<Match> accumulators(const Candidates& c, int node) {
  const auto* product = c.get<ops::Product>(node);
  if (product == nullptr || c.program().spec(product->sums).element != Element::kInt128) return {};
  Match match;
  match.nodes = {node};
  match.makes = {product->sums};
  if (product->over.pass != Pass::kWeightGradient) match.takes = {product->rhs.codes, product->rhs.grid};
  return match;
}

KernelLaunch bind_conv_forward(const KernelBinding& b) {
  ConvForward args;
  Tensor width, x, master;
  ops::Contraction over;
  std::shared_ptr<Buffer> keep;
  bool prepares = false;
  if (const auto* product = b.op<ops::Product>()) {
    const auto* quantise = b.op<ops::Quantise>();
    over = product->over;
    x = quantise->x;
    width = quantise->width;
    master = master_behind(b.program, product->rhs.codes);
    args.codes = {b.address<void>(quantise->codes), b.address<Affine>(quantise->grid), {}, b.address<BitWidth>(width)};
    args.y = b.address<float>(b.op<ops::Rescale>()->y);
  } else {
    const auto* float_product = b.op<ops::FloatProduct>();
    over = float_product->over;
    x = float_product->lhs;
    master = float_product->rhs;
    // The operand's values are z itself, written here where nobody else does.
    args.codes = {b.address<void>(x), record<Affine>(b, keep), {}};
    args.y = b.address<float>(float_product->y);
    prepares = b.op<ops::Moments>() == nullptr;  // an evaluation: nothing else makes the weights' form
  }
  args.input = conv_input(b, x);
  args.weights = &weights_of(b, master, over.shape);
  if (const auto* moments = b.op<ops::Moments>()) args.statistics = b.address<ChannelStatistics>(moments->statistics);
  if (const auto* bound = b.op<ops::ProductBound>()) args.input_range = b.address<Range>(bound->lhs_range);
  QuantiseWeights prepare;
  prepare.master = b.address<float>(master);
  prepare.for_error_pass = false;
  auto* weights = const_cast<QuantisedWeights*>(args.weights);
  const Program* program = &b.program;
  KernelLibrary* library = &b.library;
  return [=](const KernelStep& step) {
    static_cast<void>(keep);
    if (prepares) library->quantise_weights(prepare, *weights);
    ConvForward now = args;
    now.codes.width = width_of(step, width);
    now.shape = at(over, *program, step.samples);
    library->conv_forward(now);
  };
}

KernelLaunch bind_accumulators(const KernelBinding& b) {
  const auto* product = b.op<ops::Product>();
  const ops::Contraction& over = product->over;
  ConvAccumulators args;
  args.pass = over.pass;
  args.sums = b.address<Int128>(product->sums);
  const auto operand = [&](const ops::Quantised& of) {
    return Operand{b.address<void>(of.codes), b.address<Affine>(of.grid), {}, b.address<BitWidth>(of.width)};
  };
  (over.pass == Pass::kError ? args.g : args.x) = operand(product->lhs);
  if (over.pass == Pass::kWeightGradient) {
    args.g = operand(product->rhs);
  } else {
    args.weights = &weights_of(b, master_behind(b.program, product->rhs.codes), over.shape);
  }
  const Program* program = &b.program;
  KernelLibrary* library = &b.library;
  return [=](const KernelStep& step) {
    ConvAccumulators now = args;
    now.x.width = width_of(step, product->lhs.width);
    now.g.width = width_of(step, over.pass == Pass::kError ? product->lhs.width : product->rhs.width);
    now.shape = at(over, *program, step.samples);
    library->conv_accumulators(now);
  };
}

}  // namespace

FusedEntry convolution_forward_entry() { return {{"convolution forward", conv_forward}, bind_conv_forward}; }
FusedEntry accumulators_entry() { return {{"accumulators", accumulators}, bind_accumulators}; }

}  // namespace bitcycle::fused
