// SPDX-License-Identifier: Apache-2.0
#include "sim/device/fused/patterns.h"

namespace bitcycle::fused {

namespace {

/// A classifier's weight gradient: its grid comes from exact magnitudes. Where it comes from ranges, the layer is one
/// whose products take codes at other widths, and its float32 products are a convolution's.
bool is_of_magnitudes(const Candidates& c, const ops::FloatProduct& gradient) {
  const auto* bound = writer_as<ops::ProductBound>(c, gradient.bound, true);
  return bound != nullptr && bound->lhs_magnitude;
}

}  // namespace

bool is_linear(const Candidates& c, const ops::FloatProduct& product) {
  // A sequence of positions has one sum a sample in its weight gradient, which a linear layer's kernel has not.
  if (product.over.shape.h * product.over.shape.w != 1) return false;
  if (product.over.pass == Pass::kWeightGradient) return is_of_magnitudes(c, product);
  const auto& readers = c.program().readers(product.y);
  if (std::none_of(readers.begin(), readers.end(), [&](int node) { return c.any<ops::AddBias>(node) != nullptr; })) {
    return false;
  }
  for (const int reader : c.program().readers(product.lhs)) {
    const auto* gradient = c.any<ops::FloatProduct>(reader);
    if (gradient == nullptr || gradient->over.pass != Pass::kWeightGradient || gradient->lhs != product.lhs) continue;
    if (!is_of_magnitudes(c, *gradient)) return false;
  }
  return true;
}

Normalised normalised(const Candidates& c, Tensor z) {
  const int relu = c.program().writer(z);
  const auto* op = c.any<ops::Relu>(relu);
  if (op == nullptr) return {};
  const int apply = c.program().writer(op->x);
  if (c.any<ops::NormApply>(apply) == nullptr || c.program().readers(op->x).size() != 1 || c.is_visible(op->x)) {
    return {};
  }
  int products = 0;
  bool made = false;  // as the operand of a float32 product
  for (const int reader : c.program().readers(z)) {
    if (c.any<ops::Range>(reader) != nullptr) continue;
    if (const auto* product = c.any<ops::FloatProduct>(reader)) {
      if (product->over.pass == Pass::kWeightGradient) continue;
      made = true;
    } else if (c.any<ops::Quantise>(reader) == nullptr) {
      return {};
    }
    ++products;
  }
  return products == 1 && (made || !c.is_visible(z)) ? Normalised{apply, relu} : Normalised{};
}

void take_gradient_sum(const Candidates& c, Tensor dx, int own_bound, Match& match) {
  Tensor total = dx;
  if (const int sum = c.reader<ops::Add>(dx); sum >= 0) {
    const auto* op = c.get<ops::Add>(sum);
    if (op->a == dx) {
      add(match.nodes, sum);
      total = op->z;
    }
  }
  Tensor u = total;
  if (const int relu = c.reader<ops::ReluGradient>(total); relu >= 0) {
    const auto* op = c.get<ops::ReluGradient>(relu);
    add(match.nodes, relu);
    u = op->dx;
    const int made = c.program().writer(op->positive);
    const auto* z = c.any<ops::Relu>(made);
    if (z != nullptr && normalised(c, z->z)) {
      add(match.recomputed, made);
      add(match.recomputed, c.program().writer(z->x));
    }
  }
  int norms = 0;
  for (const int reader : c.program().readers(u)) {
    const auto* sums = c.get<ops::NormGradientSums>(reader);
    if (sums == nullptr || norms == 2) continue;
    const int bound = c.program().writer(sums->bound);
    if (const auto* both = c.any<ops::SumBound>(bound)) {
      if (c.program().writer(both->a) != own_bound) continue;
      add(match.nodes, bound);
    } else if (bound != own_bound) {
      continue;
    }
    add(match.nodes, own_bound);
    add(match.nodes, reader);
    match.makes.push_back(sums->sums);
    ++norms;
  }
  match.makes.push_back(u);
  if (u == dx && norms == 0) return;
  if (const int magnitude = c.reader<ops::Magnitude>(u); magnitude >= 0 && magnitude != own_bound) {
    add(match.nodes, magnitude);
    match.makes.push_back(c.get<ops::Magnitude>(magnitude)->bound);
  }
}

}  // namespace bitcycle::fused
