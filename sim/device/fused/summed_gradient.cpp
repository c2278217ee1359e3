// SPDX-License-Identifier: Apache-2.0
// The weight gradients of a layer that a step uses several times, and their sum.
#include <algorithm>

#include "sim/device/fused/bindings.h"
#include "sim/device/fused/patterns.h"
#include "sim/device/summed_gradients.h"

namespace bitcycle::fused {
namespace {

/// Product of integers, sums of codes and rescaling of one use's gradient, found by what it makes. False: it is not.
bool take_use(const Candidates& c, Tensor dw, Match& match) {
  const int rescale = c.program().writer(dw);
  const auto* value = c.get<ops::Rescale>(rescale);
  if (value == nullptr || value->over.pass != Pass::kWeightGradient) return false;
  const int product = c.program().writer(value->sums);
  if (c.get<ops::Product>(product) == nullptr) return false;
  for (const int node : {product, rescale, c.program().writer(value->lhs_sums), c.program().writer(value->rhs_sums)}) {
    add(match.nodes, node);
  }
  return true;
}

/// From the first use's product on: dw_0 + dw_1, that + dw_2, ...
std::optional<Match> summed_gradient(const Candidates& c, int node) {
  const auto* product = c.get<ops::Product>(node);
  if (product == nullptr || product->over.pass != Pass::kWeightGradient) return {};
  const int rescale = c.reader<ops::Rescale>(product->sums);
  if (rescale < 0) return {};
  Match match;
  Tensor sum = c.get<ops::Rescale>(rescale)->y;
  if (!take_use(c, sum, match)) return {};
  int uses = 1;
  for (;; ++uses) {
    const int next = reader_in_layer<ops::Add>(c, sum, node);
    if (next < 0 || c.get<ops::Add>(next)->a != sum || !take_use(c, c.get<ops::Add>(next)->b, match)) break;
    add(match.nodes, next);
    sum = c.get<ops::Add>(next)->z;
  }
  if (uses == 1) return {};
  match.makes = {sum};
  return match;
}

/// Uses in the order in which the sums take them.
std::vector<const ops::Product*> products_in_order(const KernelBinding& b) {
  std::vector<const ops::Product*> products;
  const auto product_of = [&](Tensor dw) {
    const auto* rescale = writer_of<ops::Rescale>(b.program, dw);
    return writer_of<ops::Product>(b.program, rescale->sums);
  };
  for (int i = 0; b.op<ops::Add>(i) != nullptr; ++i) {
    const auto* sum = b.op<ops::Add>(i);
    if (i == 0) products.push_back(product_of(sum->a));
    products.push_back(product_of(sum->b));
  }
  return products;
}

/// Weights of the layer, by the forward product that multiplies these codes.
Tensor master_of_use(const Program& program, const ops::Product& gradient) {
  for (const int reader : program.readers(gradient.lhs.codes)) {
    const auto* product = std::get_if<ops::Product>(&program.node(reader).operation);
    if (product != nullptr && product->over.pass == Pass::kForward && product->over.shape == gradient.over.shape) {
      return master_behind(program, product->rhs.codes);
    }
  }
  throw std::logic_error("no forward product of the gradient of " + program.spec(gradient.sums).name);
}

KernelLaunch bind_summed_gradient(const KernelBinding& b) {
  auto* library = dynamic_cast<SummedGradients*>(&b.library);
  const std::vector<const ops::Product*> products = products_in_order(b);
  const ops::Contraction over = products.front()->over;
  auto args = std::make_shared<SummedGradient>();
  args->weights = &weights_of(b, master_of_use(b.program, *products.front()), over.shape);
  args->dw = b.address<float>(b.kernel.match.makes.front());
  const auto operand = [&](const ops::Quantised& of) {
    return Operand{b.address<void>(of.codes), b.address<Affine>(of.grid), {}, b.address<BitWidth>(of.width)};
  };
  for (const auto* product : products) args->uses.push_back({operand(product->lhs), operand(product->rhs)});
  const Tensor x_width = products.front()->lhs.width, g_width = products.front()->rhs.width;
  const Program* program = &b.program;
  return [=](const KernelStep& step) {
    for (auto& use : args->uses) {
      use.x.width = width_of(step, x_width);
      use.g.width = width_of(step, g_width);
    }
    args->shape = at(over, *program, step.samples);
    library->summed_gradient(*args);
  };
}

}  // namespace

FusedEntry summed_gradient_entry() { return {{"summed gradient", summed_gradient}, bind_summed_gradient, true}; }

}  // namespace bitcycle::fused
