// SPDX-License-Identifier: Apache-2.0
// Both backward passes of a convolution, and what completes its input's gradient.
#include <algorithm>

#include "sim/device/fused/bindings.h"
#include "sim/device/fused/patterns.h"

namespace bitcycle::fused {
namespace {

/// Whether a node is the bound that a gradient's contribution brings with it.
int bound_behind(const Candidates& c, Tensor lhs_grid, Tensor lhs_range, int layer_node) {
  for (const Tensor of : {lhs_grid, lhs_range}) {
    if (!of) continue;
    for (const int reader : c.program().readers(of)) {
      const auto* bound = c.get<ops::ProductBound>(reader);
      if (bound != nullptr && c.program().node(reader).site.pass == Pass::kError && same_layer(c, reader, layer_node)) {
        return reader;
      }
    }
  }
  return -1;
}

/// The error pass of a product whose weight gradient another kernel makes, with the codes that it reads.
bool is_error_alone(const Candidates& c, const ops::Product& product) {
  if (product.over.pass != Pass::kError) return false;
  const auto& readers = c.program().readers(product.lhs.codes);
  return std::any_of(readers.begin(), readers.end(), [&](int reader) {
    const auto* other = c.any<ops::Product>(reader);
    return other != nullptr && other->over.pass == Pass::kWeightGradient && c.taken(reader);
  });
}

/// Codes of dy, weight gradient, error pass, sum of gradients.
std::optional<Match> conv_backward(const Candidates& c, int node) {
  Match match;
  Tensor g_values, g_grid, g_range, g_codes;
  const auto* integer = c.get<ops::Product>(node);
  const auto* values = c.get<ops::FloatProduct>(node);
  if (integer != nullptr && is_error_alone(c, *integer)) {
    g_codes = integer->lhs.codes;
  } else if (integer != nullptr && integer->over.pass == Pass::kWeightGradient) {
    const int rescale = c.reader<ops::Rescale>(integer->sums);
    const auto* dw = c.get<ops::Rescale>(rescale);
    if (dw == nullptr) return {};
    match.nodes = {node, rescale, c.program().writer(dw->lhs_sums), c.program().writer(dw->rhs_sums)};
    match.makes = {dw->y};
    g_codes = integer->rhs.codes;
  } else if (values != nullptr && values->over.pass == Pass::kWeightGradient && !is_linear(c, *values)) {
    match.nodes = {node, c.program().writer(values->bound)};
    match.makes = {values->y};
    for (const Tensor operand : {values->lhs, values->rhs}) {
      const int made = c.program().writer(operand);
      if (const auto* of = c.get<ops::Dequantise>(made)) {
        add(match.nodes, made);
        if (operand == values->rhs) g_codes = of->x.codes;
      } else if (operand == values->lhs) {
        match.from_memory.push_back(operand);  // though its rectifier is made again for the mask
      }
    }
    if (!g_codes) g_values = values->rhs;
  } else {
    return {};
  }
  if (g_codes) {
    const int quantise = c.program().writer(g_codes);
    const auto* op = c.get<ops::Quantise>(quantise);
    if (op == nullptr) return {};
    add(match.nodes, quantise);
    match.makes.push_back(g_codes);
    g_values = op->x;
    g_grid = op->grid;
  }
  if (const int norm = c.program().writer(g_values); c.any<ops::NormGradient>(norm) != nullptr) {
    if (g_codes) {
      match.recomputed.push_back(norm);
    } else {  // the values are what the operand keeps
      add(match.nodes, norm);
      match.makes.push_back(g_values);
    }
  }
  for (const int reader : c.program().readers(g_values)) {
    // Two layers may share a gradient, each with a range of it.
    const auto* range = c.any<ops::Range>(reader);
    if (range != nullptr && same_layer(c, reader, node)) g_range = range->ranges;
  }
  // The error pass.
  Tensor dx;
  const auto take_error = [&](int error) {
    if (const auto* op = c.get<ops::Product>(error)) {
      if (op->over.pass != Pass::kError) return;
      const int rescale = c.reader<ops::Rescale>(op->sums);
      const auto* value = c.get<ops::Rescale>(rescale);
      if (value == nullptr) return;
      for (const int part : {error, rescale}) add(match.nodes, part);
      if (value->lhs_sums) add(match.nodes, c.program().writer(value->lhs_sums));
      add(match.nodes, c.program().writer(value->rhs_sums));
      match.takes.push_back(op->rhs.codes);
      match.takes.push_back(op->rhs.grid);
      dx = value->y;
    } else if (const auto* float_product = c.get<ops::FloatProduct>(error)) {
      if (float_product->over.pass != Pass::kError) return;
      add(match.nodes, error);
      for (const Tensor operand : {float_product->lhs, float_product->rhs}) {
        const int made = c.program().writer(operand);
        const auto* of = c.get<ops::Dequantise>(made);
        if (of == nullptr) continue;
        add(match.nodes, made);
        if (operand == float_product->lhs) continue;
        match.takes.push_back(of->x.codes);
        match.takes.push_back(of->x.grid);
      }
      dx = float_product->y;
    }
  };
  for (const Tensor of : {g_codes, g_values}) {
    if (!of || dx) continue;
    for (const int reader : c.program().readers(of)) {
      if (!same_layer(c, reader, node)) continue;
      if (const auto* made = c.get<ops::Dequantise>(reader)) {
        for (const int product : c.program().readers(made->values)) take_error(product);
      } else {
        take_error(reader);
      }
    }
  }
  if (!dx) return match;
  const int own_bound = bound_behind(c, g_grid, g_range, node);
  if (own_bound >= 0) {
    const auto* bound = c.get<ops::ProductBound>(own_bound);
    if (bound->rhs_grid) match.takes.push_back(bound->rhs_grid);
    if (bound->rhs_range) match.takes.push_back(bound->rhs_range);
    take_gradient_sum(c, dx, own_bound, match);
  } else if (const int sum = c.reader<ops::Add>(dx); sum >= 0 && c.get<ops::Add>(sum)->a == dx) {
    constexpr int kNoBound = -1;
    take_gradient_sum(c, dx, kNoBound, match);
  } else {
    match.makes.push_back(dx);
    if (const int magnitude = c.reader<ops::Magnitude>(dx); magnitude >= 0) {
      add(match.nodes, magnitude);
      match.makes.push_back(c.get<ops::Magnitude>(magnitude)->bound);
    }
  }
  return match;
}

/// Whether the forward product with these weights is a linear layer's.
bool is_read_as_it_is(const Program& program, Tensor master) {
  for (const int reader : program.readers(master)) {
    const auto* product = std::get_if<ops::FloatProduct>(&program.node(reader).operation);
    if (product == nullptr || product->over.pass != Pass::kForward) continue;
    for (const int next : program.readers(product->y)) {
      if (std::holds_alternative<ops::AddBias>(program.node(next).operation)) return true;
    }
  }
  return false;
}

void bind_codes(const KernelBinding& b, const ops::Quantise& quantise, ConvBackward& args) {
  args.g = {b.address<void>(quantise.codes), b.address<Affine>(quantise.grid), {}, b.address<BitWidth>(quantise.width)};
  args.stochastic = quantise.rounding != ops::Quantise::Rounding::kNearest;
  args.given_noise = b.address<float>(quantise.noise);
  args.noise = philox_stream(quantise.seed, 0, RandomPurpose::kGradientRounding, quantise.tensor_id);
}

/// The layer whose products a kernel makes.
std::string layer_of_products(const KernelBinding& b) {
  for (const int node : b.kernel.match.nodes) {
    const Operation& operation = b.program.node(node).operation;
    if (std::holds_alternative<ops::Product>(operation) || std::holds_alternative<ops::FloatProduct>(operation)) {
      return b.program.node(node).site.layer;
    }
  }
  throw std::logic_error("a kernel of the backward pass without a product");
}

/// The layer's own range of a gradient: another layer may have one of the same tensor, made later.
Tensor range_of_gradient(const KernelBinding& b, Tensor values) {
  const std::string layer = layer_of_products(b);
  Tensor found;
  for (const int reader : b.program.readers(values)) {
    const auto* range = std::get_if<ops::Range>(&b.program.node(reader).operation);
    if (range != nullptr && b.program.node(reader).site.layer == layer) found = range->ranges;
  }
  return found;
}

/// Where the error pass's result goes: a tensor, or the sum of gradients that it completes.
std::shared_ptr<GradientSum> bind_error(const KernelBinding& b, Tensor dx, ConvBackward& args) {
  if (b.op<ops::NormGradientSums>() != nullptr || b.op<ops::ReluGradient>() != nullptr || b.op<ops::Add>() != nullptr) {
    auto sum = std::make_shared<GradientSum>(gradient_sum_of(b, dx));
    args.gradient_sum = sum.get();
    return sum;
  }
  args.dx = b.address<float>(dx);
  if (const auto* magnitude = b.op<ops::Magnitude>()) args.dx_bound = b.address<float>(magnitude->bound);
  return {};
}

/// Without a weight gradient: another kernel makes it from the codes that this one writes.
KernelLaunch bind_error_alone(const KernelBinding& b) {
  const auto* product = b.op<ops::Product>();
  const auto* quantise = b.op<ops::Quantise>();
  const ops::Contraction over = product->over;
  ConvBackward args;
  bind_codes(b, *quantise, args);
  args.gradient = conv_gradient(b, quantise->x);
  args.g_range = b.address<Range>(range_of_gradient(b, quantise->x));
  args.weights = &weights_of(b, master_behind(b.program, product->rhs.codes), over.shape);
  const std::shared_ptr<GradientSum> sum = bind_error(b, b.op<ops::Rescale>()->y, args);
  const Tensor width = quantise->width, step_number = quantise->step;
  KernelLibrary* library = &b.library;
  const Program* program = &b.program;
  return [=](const KernelStep& step) {
    static_cast<void>(sum);
    ConvBackward now = args;
    now.g.width = width_of(step, width);
    now.shape = at(over, *program, step.samples);
    if (step_number) now.noise.step = step.inputs.value<std::uint32_t>(step_number);
    library->conv_backward(now);
  };
}

KernelLaunch bind_conv_backward(const KernelBinding& b) {
  const Program& program = b.program;
  ConvBackward args;
  std::shared_ptr<Buffer> keep, x_keep;
  Tensor g_width, x_width, x, dx, g_values;
  ops::Contraction over;
  const ops::Product* integer = nullptr;
  const ops::FloatProduct* float_product = nullptr;
  bool error = false;
  for (const int node : b.kernel.match.nodes) {
    const Operation& operation = program.node(node).operation;
    if (const auto* product = std::get_if<ops::Product>(&operation)) {
      if (product->over.pass == Pass::kWeightGradient) integer = product;
      error = error || product->over.pass == Pass::kError;
    }
    if (const auto* product = std::get_if<ops::FloatProduct>(&operation)) {
      if (product->over.pass == Pass::kWeightGradient) float_product = product;
      error = error || product->over.pass == Pass::kError;
      if (product->over.pass == Pass::kError) dx = product->y;
    }
    if (const auto* rescale = std::get_if<ops::Rescale>(&operation)) {
      (rescale->over.pass == Pass::kError ? dx : x) = rescale->y;
    }
  }
  if (integer == nullptr && float_product == nullptr) return bind_error_alone(b);
  const Tensor dw = integer != nullptr ? x : float_product->y;
  over = integer != nullptr ? integer->over : float_product->over;
  // The streamed operand of the forward pass.
  ops::Quantised x_codes;
  if (integer != nullptr) {
    x_codes = integer->lhs;
  } else if (const auto* values = writer_of<ops::Dequantise>(program, float_product->lhs)) {
    x_codes = values->x;
  }
  if (x_codes.codes) {
    x_width = x_codes.width;
    args.x = {b.address<void>(x_codes.codes), b.address<Affine>(x_codes.grid), {}, b.address<BitWidth>(x_width)};
  } else {
    args.x = {b.address<void>(float_product->lhs), record<Affine>(b, x_keep), {}};
  }
  // The gradient.
  if (const auto* quantise = b.op<ops::Quantise>()) {
    g_width = quantise->width;
    g_values = quantise->x;
    bind_codes(b, *quantise, args);
    x = quantise->step;
  } else {
    g_values = float_product->rhs;
    args.g = {b.address<void>(g_values), record<Affine>(b, keep), {}};
    args.stochastic = false;
    x = {};
  }
  const Tensor step_number = x;
  args.gradient = conv_gradient(b, g_values);
  args.g_range = b.address<Range>(range_of_gradient(b, g_values));
  if (const auto* bound = b.op<ops::ProductBound>(); bound != nullptr) {
    for (int i = 0; b.op<ops::ProductBound>(i) != nullptr; ++i) {
      const auto* of = b.op<ops::ProductBound>(i);
      if (float_product != nullptr && of->bound == float_product->bound) args.x_range = b.address<Range>(of->lhs_range);
    }
  }
  const std::string layer = layer_of_products(b);  // others may read the same input
  const Tensor master = [&] {
    for (const Node& node : program.nodes()) {
      const auto* fwd = std::get_if<ops::Product>(&node.operation);
      if (fwd != nullptr && fwd->over.pass == Pass::kForward && x_codes.codes && fwd->lhs.codes == x_codes.codes) {
        return master_behind(program, fwd->rhs.codes);
      }
      const auto* values = std::get_if<ops::FloatProduct>(&node.operation);
      if (values != nullptr && values->over.pass == Pass::kForward && !x_codes.codes &&
          values->lhs == float_product->lhs && values->over.shape == over.shape && node.site.layer == layer) {
        return values->rhs;
      }
    }
    throw std::logic_error("no forward product of " + node_text(program.node(b.kernel.match.nodes.front())));
  }();
  args.weights = &weights_of(b, master, over.shape);
  args.dw = b.address<float>(dw);
  std::shared_ptr<GradientSum> gradient_sum;
  if (error) gradient_sum = bind_error(b, dx, args);
  KernelLibrary* library = &b.library;
  const Program* of = &program;
  // Weights in float32 of a layer with a bias: its forward pass reads them as they are, so nobody else arranges them.
  const bool prepares = error && !x_codes.codes && is_read_as_it_is(program, master);
  QuantiseWeights prepare;
  prepare.master = prepares ? b.address<float>(master) : nullptr;
  prepare.for_error_pass = false;
  auto* weights = const_cast<QuantisedWeights*>(args.weights);
  return [=](const KernelStep& step) {
    static_cast<void>(keep);
    static_cast<void>(x_keep);
    static_cast<void>(gradient_sum);
    if (prepares) library->quantise_weights(prepare, *weights);
    ConvBackward now = args;
    now.g.width = width_of(step, g_width);
    now.x.width = width_of(step, x_width);
    now.shape = at(over, *of, step.samples);
    if (step_number) now.noise.step = step.inputs.value<std::uint32_t>(step_number);
    library->conv_backward(now);
  };
}

}  // namespace

FusedEntry convolution_backward_entry() { return {{"convolution backward", conv_backward}, bind_conv_backward}; }

}  // namespace bitcycle::fused
