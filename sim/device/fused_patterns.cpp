// SPDX-License-Identifier: Apache-2.0
// Which nodes the fused operations of a library stand for.
#include <algorithm>

#include "sim/device/fused_entries.h"

namespace bitcycle {
namespace {

template <typename Op>
const Op* writer_as(const Candidates& c, Tensor tensor, bool taken_too = false) {
  if (!tensor) return nullptr;
  const int node = c.program().writer(tensor);
  return taken_too ? c.any<Op>(node) : c.get<Op>(node);
}

bool same_layer(const Candidates& c, int a, int b) {
  return c.program().node(a).site.layer == c.program().node(b).site.layer;
}

/// First reader that is this operation, not taken, of the same layer.
template <typename Op>
int reader_in_layer(const Candidates& c, Tensor tensor, int node) {
  for (const int reader : c.program().readers(tensor)) {
    if (c.get<Op>(reader) != nullptr && same_layer(c, reader, node)) return reader;
  }
  return -1;
}

void add(std::vector<int>& nodes, int node) {
  if (node >= 0 && std::find(nodes.begin(), nodes.end(), node) == nodes.end()) nodes.push_back(node);
}

bool is_linear(const Candidates& c, const ops::FloatProduct& product) {
  for (const int reader : c.program().readers(product.y)) {
    if (c.any<ops::AddBias>(reader) != nullptr) return true;
  }
  const auto* bound = writer_as<ops::ProductBound>(c, product.bound, true);
  return bound != nullptr && bound->lhs_magnitude;
}

/// z = relu(norm(y)) that only its range, one product and the backward pass look at: nobody needs z itself.
struct Normalised {
  int apply = -1, relu = -1;
  explicit operator bool() const { return relu >= 0; }
};
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

/// Weights of a layer: codes of the forward pass and of the error pass, in the device's own form.
std::optional<Match> weights(const Candidates& c, int node) {
  const auto* range = c.get<ops::Range>(node);
  if (range == nullptr || range->groups.by != ops::Groups::By::kOutputChannel) return {};
  Match match;
  match.nodes = {node};
  const int fit = c.reader<ops::FitGrid>(range->ranges);
  if (fit < 0) {
    match.holds = {range->ranges};
    return match;
  }
  const auto hold = [&](int fit_node) {
    const auto* grid = c.get<ops::FitGrid>(fit_node);
    const int quantise = c.reader<ops::Quantise>(grid->grid);
    add(match.nodes, fit_node);
    add(match.nodes, quantise);
    match.holds.push_back(grid->grid);
    match.holds.push_back(c.get<ops::Quantise>(quantise)->codes);
    return quantise;
  };
  const int quantise = hold(fit);
  const Tensor codes = c.get<ops::Quantise>(quantise)->codes;
  if (const int shared = c.reader<ops::ErrorCodes>(codes); shared >= 0) {
    const auto* op = c.get<ops::ErrorCodes>(shared);
    add(match.nodes, shared);
    match.holds.push_back(op->codes);
    match.holds.push_back(op->grid);
  }
  for (const int reader : c.program().readers(range->x)) {
    const auto* own = c.get<ops::Range>(reader);
    if (own == nullptr || own->groups.by != ops::Groups::By::kInputChannel) continue;
    add(match.nodes, reader);
    hold(c.reader<ops::FitGrid>(own->ranges));
  }
  if (const int bounds = c.reader<ops::StepBounds>(c.get<ops::FitGrid>(fit)->grid); bounds >= 0) {
    add(match.nodes, bounds);
    match.makes.push_back(c.get<ops::StepBounds>(bounds)->bounds);
  }
  return match;
}

std::optional<Match> activation_scale(const Candidates& c, int node) {
  if (const auto* running = c.get<ops::RunningGrid>(node)) return Match{{node}, {}, {running->grid}, {}, {}, {}};
  const auto* moved = c.get<ops::RunningRange>(node);
  if (moved == nullptr) return {};
  Match match;
  match.nodes = {node};
  match.makes = {moved->running};
  if (const int fit = reader_in_layer<ops::FitGrid>(c, moved->range, node); fit >= 0) {
    add(match.nodes, fit);
    match.makes.push_back(c.get<ops::FitGrid>(fit)->grid);
  }
  return match;
}

/// Range and grid of dy; dy itself is made again by whoever needs it.
std::optional<Match> gradient_scale(const Candidates& c, int node) {
  const auto* range = c.get<ops::Range>(node);
  if (range == nullptr || range->groups.by != ops::Groups::By::kTensor) return {};
  if (c.program().node(node).site.pass != Pass::kError) return {};
  Match match;
  match.nodes = {node};
  match.makes = {range->ranges};
  const int norm = c.program().writer(range->x);
  if (c.any<ops::NormGradient>(norm) != nullptr) match.recomputed = {norm};
  if (const int fit = c.reader<ops::FitGrid>(range->ranges); fit >= 0) {
    add(match.nodes, fit);
    match.makes.push_back(c.get<ops::FitGrid>(fit)->grid);
  }
  return match;
}

std::optional<Match> norm_prepare(const Candidates& c, int node) {
  const auto* prepare = c.get<ops::NormFromBatch>(node);
  if (prepare == nullptr) return {};
  Match match;
  match.nodes = {node};
  match.makes = {prepare->norm, prepare->running_mean, prepare->running_variance};
  for (const int apply : c.program().readers(prepare->norm)) {
    const auto* op = c.any<ops::NormApply>(apply);
    if (op == nullptr) continue;
    for (const int relu : c.program().readers(op->z)) {
      const auto* z = c.any<ops::Relu>(relu);
      if (z == nullptr || !normalised(c, z->z)) continue;
      const int range = c.reader<ops::Range>(z->z);
      if (range < 0) continue;
      add(match.nodes, range);
      match.recomputed = {apply, relu};
      match.makes.push_back(c.get<ops::Range>(range)->ranges);
    }
  }
  return match;
}

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

/// Behind a first contribution dx: the others added, the rectifier's mask, and the sums of the batch norms.
void join(const Candidates& c, Tensor dx, int own_bound, Match& match) {
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
  if (u == dx) return;
  if (const int magnitude = c.reader<ops::Magnitude>(u); magnitude >= 0 && magnitude != own_bound) {
    add(match.nodes, magnitude);
    match.makes.push_back(c.get<ops::Magnitude>(magnitude)->bound);
  }
}

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

/// Codes of dy, weight gradient, error pass, join.
std::optional<Match> conv_backward(const Candidates& c, int node) {
  Match match;
  Tensor g_values, g_grid, g_range, g_codes;
  const auto* integer = c.get<ops::Product>(node);
  const auto* values = c.get<ops::FloatProduct>(node);
  if (integer != nullptr && integer->over.pass == Pass::kWeightGradient) {
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
    if (const auto* range = c.any<ops::Range>(reader)) g_range = range->ranges;
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
    } else if (const auto* chain = c.get<ops::FloatProduct>(error)) {
      if (chain->over.pass != Pass::kError) return;
      add(match.nodes, error);
      for (const Tensor operand : {chain->lhs, chain->rhs}) {
        const int made = c.program().writer(operand);
        const auto* of = c.get<ops::Dequantise>(made);
        if (of == nullptr) continue;
        add(match.nodes, made);
        if (operand == chain->lhs) continue;
        match.takes.push_back(of->x.codes);
        match.takes.push_back(of->x.grid);
      }
      dx = chain->y;
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
    join(c, dx, own_bound, match);
  } else {
    match.makes.push_back(dx);
    if (const int magnitude = c.reader<ops::Magnitude>(dx); magnitude >= 0) {
      add(match.nodes, magnitude);
      match.makes.push_back(c.get<ops::Magnitude>(magnitude)->bound);
    }
  }
  return match;
}

std::optional<Match> pool_backward(const Candidates& c, int node) {
  const auto* pool = c.get<ops::AveragePoolGradient>(node);
  if (pool == nullptr) return {};
  Match match;
  match.nodes = {node};
  const int bound = c.reader<ops::Magnitude>(pool->dpooled);
  if (bound < 0) return {};
  join(c, pool->dx, bound, match);
  return match;
}

/// relu(norm(y) + shortcut), its range, its mask; shortcut: a tensor or another norm's result.
std::optional<Match> norm_forward(const Candidates& c, int node) {
  const auto* apply = c.get<ops::NormApply>(node);
  if (apply == nullptr) return {};
  Match match;
  match.nodes = {node};
  Tensor z = apply->z;
  if (const int sum = c.reader<ops::Add>(z); sum >= 0 && c.get<ops::Add>(sum)->a == z) {
    const auto* op = c.get<ops::Add>(sum);
    add(match.nodes, sum);
    const int other = c.program().writer(op->b);
    if (c.get<ops::NormApply>(other) != nullptr && c.program().readers(op->b).size() == 1) add(match.nodes, other);
    z = op->z;
  }
  if (const int relu = c.reader<ops::Relu>(z); relu >= 0) {
    const auto* op = c.get<ops::Relu>(relu);
    add(match.nodes, relu);
    z = op->z;
    if (op->positive) match.makes.push_back(op->positive);
  }
  match.makes.push_back(z);
  if (const int range = c.reader<ops::Range>(z); range >= 0) {
    add(match.nodes, range);
    match.makes.push_back(c.get<ops::Range>(range)->ranges);
  }
  return match;
}

std::optional<Match> linear_forward(const Candidates& c, int node) {
  const auto* bias = c.get<ops::AddBias>(node);
  if (bias == nullptr) return {};
  const int product = c.program().writer(bias->x);
  const auto* chain = c.get<ops::FloatProduct>(product);
  if (chain == nullptr || chain->over.shape.h * chain->over.shape.w != 1) return {};
  return Match{{node, product}, {}, {bias->y}, {}, {}, {}};
}

std::optional<Match> linear_backward(const Candidates& c, int node) {
  const auto* bias = c.get<ops::BiasGradient>(node);
  if (bias == nullptr) return {};
  Match match;
  match.nodes = {node};
  match.makes = {bias->dbias};
  for (const int reader : c.program().readers(bias->dy)) {
    const auto* product = c.get<ops::FloatProduct>(reader);
    if (product == nullptr) continue;
    add(match.nodes, reader);
    match.makes.push_back(product->y);
    const auto* bound = writer_as<ops::ProductBound>(c, product->bound);
    if (bound == nullptr) continue;
    add(match.nodes, c.program().writer(product->bound));
    add(match.nodes, c.program().writer(bound->lhs_magnitude));
    add(match.nodes, c.program().writer(bound->rhs_magnitude));
  }
  return match;
}

/// A node for itself.
template <typename Op>
std::optional<Match> alone(const Candidates& c, int node) {
  if (c.get<Op>(node) == nullptr) return {};
  Match match;
  match.nodes = {node};
  each_tensor(c.program().node(node).operation, [&](const char*, Tensor tensor, Access access) {
    if (access != Access::kRead) match.makes.push_back(tensor);
  });
  return match;
}

/// With the search for updated parameters that are not finite.
std::optional<Match> sgd(const Candidates& c, int node) {
  auto match = alone<ops::SgdUpdate>(c, node);
  if (!match) return {};
  const auto& parameters = c.get<ops::SgdUpdate>(node)->parameters;
  for (const int reader : c.program().readers(parameters.front())) {
    const auto* search = c.get<ops::FindNonFinite>(reader);
    if (reader < node || search == nullptr || search->x != parameters) continue;
    match->nodes.push_back(reader);
    match->makes.push_back(search->place);
  }
  return match;
}

std::optional<Match> tensor_range(const Candidates& c, int node) {
  const auto* range = c.get<ops::Range>(node);
  if (range == nullptr || range->groups.by != ops::Groups::By::kTensor) return {};
  return alone<ops::Range>(c, node);
}

}  // namespace

KernelLaunch bind_load_images(const KernelBinding& b);
KernelLaunch bind_weights(const KernelBinding& b);
KernelLaunch bind_activation_scale(const KernelBinding& b);
KernelLaunch bind_gradient_scale(const KernelBinding& b);
KernelLaunch bind_norm_prepare(const KernelBinding& b);
KernelLaunch bind_conv_forward(const KernelBinding& b);
KernelLaunch bind_accumulators(const KernelBinding& b);
KernelLaunch bind_conv_backward(const KernelBinding& b);
KernelLaunch bind_pool_backward(const KernelBinding& b);
KernelLaunch bind_norm_forward(const KernelBinding& b);
KernelLaunch bind_linear_forward(const KernelBinding& b);
KernelLaunch bind_linear_backward(const KernelBinding& b);
KernelLaunch bind_norm_from_running(const KernelBinding& b);
KernelLaunch bind_norm_gradient_prepare(const KernelBinding& b);
KernelLaunch bind_average_pool(const KernelBinding& b);
KernelLaunch bind_softmax(const KernelBinding& b);
KernelLaunch bind_find_non_finite(const KernelBinding& b);
KernelLaunch bind_sgd(const KernelBinding& b);
KernelLaunch bind_tensor_range(const KernelBinding& b);

const std::vector<FusedEntry>& fused_entries() {
  static const std::vector<FusedEntry> table{
      {{"load images", alone<ops::LoadImages>}, bind_load_images},
      {{"linear forward", linear_forward}, bind_linear_forward},
      {{"linear backward", linear_backward}, bind_linear_backward},
      // Before those that would write what these make again for themselves.
      {{"norm prepare", norm_prepare}, bind_norm_prepare},
      {{"gradient scale", gradient_scale}, bind_gradient_scale},
      {{"convolution backward", conv_backward}, bind_conv_backward},
      {{"convolution forward", conv_forward}, bind_conv_forward},
      {{"accumulators", accumulators}, bind_accumulators},
      {{"average pool backward", pool_backward}, bind_pool_backward},
      {{"quantise weights", weights, nullptr, true}, bind_weights},
      {{"activation scale", activation_scale}, bind_activation_scale},
      {{"norm forward", norm_forward}, bind_norm_forward},
      {{"norm from running", alone<ops::NormFromRunning>}, bind_norm_from_running},
      {{"norm gradient prepare", alone<ops::NormParameterGradient>}, bind_norm_gradient_prepare},
      {{"average pool", alone<ops::AveragePool>}, bind_average_pool},
      {{"softmax cross-entropy", alone<ops::SoftmaxLoss>}, bind_softmax},
      {{"tensor range", tensor_range}, bind_tensor_range},
      {{"sgd", sgd}, bind_sgd},
      {{"find non-finite", alone<ops::FindNonFinite>}, bind_find_non_finite},
  };
  return table;
}

}  // namespace bitcycle
