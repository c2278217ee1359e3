// SPDX-License-Identifier: Apache-2.0
// Finds the time steps of an LSTM layer among a program's nodes.
#include <algorithm>

#include "cuda/device/lstm_layer.h"
#include "sim/quantisers/quantiser.h"

namespace bitcycle::lstm {
namespace {

constexpr std::int64_t kMostDepth = 1984;  // of what a block keeps in shared memory

template <typename Op>
const Op* as(const Program& program, int node) {
  return node < 0 ? nullptr : std::get_if<Op>(&program.node(node).operation);
}
template <typename Op>
int writer(const Program& program, Tensor tensor) {
  if (!tensor) return -1;
  const int node = program.writer(tensor);
  return as<Op>(program, node) == nullptr ? -1 : node;
}
/// Its only reader that is this operation, of the layer where one is named; -1: none, or several.
template <typename Op>
int reader(const Program& program, Tensor tensor, const std::string* layer = nullptr) {
  int found = -1;
  for (const int node : program.readers(tensor)) {
    if (as<Op>(program, node) == nullptr || (layer != nullptr && program.node(node).site.layer != *layer)) continue;
    if (found >= 0) return -1;
    found = node;
  }
  return found;
}
const std::string& layer_of(const Program& program, int node) { return program.node(node).site.layer; }
bool is_bytes(const Program& program, Tensor codes) { return program.spec(codes).element == Element::kCodes8; }
bool is_matrix(const ConvShape& s) {
  return s.h == 1 && s.w == 1 && s.kh == 1 && s.kw == 1 && s.stride == 1 && s.padding == 0 && s.groups == 1;
}

std::optional<ForwardProduct> forward_product(const Program& program, Tensor y) {
  ForwardProduct of;
  of.rescale = writer<ops::Rescale>(program, y);
  if (of.rescale < 0) return {};
  const auto* rescale = as<ops::Rescale>(program, of.rescale);
  of.product = writer<ops::Product>(program, rescale->sums);
  of.lhs_sums = writer<ops::CodeSums>(program, rescale->lhs_sums);
  of.rhs_sums = writer<ops::CodeSums>(program, rescale->rhs_sums);
  if (of.product < 0 || of.lhs_sums < 0 || of.rhs_sums < 0) return {};
  const auto* product = as<ops::Product>(program, of.product);
  if (product->over.pass != Pass::kForward || !is_matrix(product->over.shape)) return {};
  if (!is_bytes(program, product->lhs.codes) || !is_bytes(program, product->rhs.codes)) return {};
  if (product->over.shape.c > kMostDepth || product->over.shape.c % 8 != 0) return {};
  of.quantise = writer<ops::Quantise>(program, product->lhs.codes);
  if (of.quantise < 0) return {};
  const auto* quantise = as<ops::Quantise>(program, of.quantise);
  if (quantise->rounding != ops::Quantise::Rounding::kNearest || quantise->groups.by != ops::Groups::By::kTensor) {
    return {};
  }
  if (of.grid = writer<ops::RunningGrid>(program, quantise->grid); of.grid >= 0) {
    if (as<ops::RunningGrid>(program, of.grid)->quantiser != kAffine) return {};
    return of;
  }
  of.grid = writer<ops::FitGrid>(program, quantise->grid);
  if (of.grid < 0 || as<ops::FitGrid>(program, of.grid)->quantiser != kAffine) return {};
  const Tensor ranges = as<ops::FitGrid>(program, of.grid)->ranges;
  of.range = writer<ops::Range>(program, ranges);
  of.running = reader<ops::RunningRange>(program, ranges, &layer_of(program, of.quantise));
  if (of.range < 0 || of.running < 0 || as<ops::Range>(program, of.range)->x.id != quantise->x.id) return {};
  return of;
}

/// All cells of the operation's kind in a layer, as the program has them.
template <typename Op>
std::vector<int> cells(const Program& program, int node) {
  std::vector<int> found;
  for (int i = 0; i < static_cast<int>(program.nodes().size()); ++i) {
    if (as<Op>(program, i) != nullptr && layer_of(program, i) == layer_of(program, node)) found.push_back(i);
  }
  return found;
}

/// The slice that a tensor is, where the readers of it are all among `nodes`.
int slice_of(const Program& program, Tensor tensor, const std::vector<int>& nodes) {
  const int slice = writer<ops::Slice>(program, tensor);
  if (slice < 0) return -1;
  for (const int node : program.readers(tensor)) {
    if (std::find(nodes.begin(), nodes.end(), node) == nodes.end()) return -1;
  }
  return slice;
}

}  // namespace

std::optional<std::vector<ForwardStep>> forward_of(const Program& program, int node) {
  if (as<ops::LstmCell>(program, node) == nullptr) return {};
  const std::vector<int> found = cells<ops::LstmCell>(program, node);
  if (found.front() != node) return {};
  std::vector<ForwardStep> steps;
  for (const int cell : found) {
    const auto* op = as<ops::LstmCell>(program, cell);
    if (program.spec(op->cell).shape.back() % 16 != 0) return {};
    ForwardStep step;
    step.cell = cell;
    Tensor from_input = op->x;
    step.add_bias = writer<ops::AddBias>(program, from_input);
    if (step.add_bias >= 0) from_input = as<ops::AddBias>(program, step.add_bias)->x;
    const auto x = forward_product(program, from_input), h = forward_product(program, op->h);
    if (!x || !h) return {};
    step.x = *x;
    step.h = *h;
    // One pair of weights, and a state that goes on.
    if (!steps.empty()) {
      const auto rhs = [&](int product) { return as<ops::Product>(program, product)->rhs.codes.id; };
      const auto* before = as<ops::LstmCell>(program, steps.back().cell);
      if (rhs(step.x.product) != rhs(steps.back().x.product) || rhs(step.h.product) != rhs(steps.back().h.product) ||
          op->cell.id != before->next_cell.id ||
          as<ops::Quantise>(program, step.h.quantise)->x.id != before->output.id ||
          (step.add_bias >= 0) != (steps.back().add_bias >= 0) || (step.x.range >= 0) != (steps.back().x.range >= 0)) {
        return {};
      }
    }
    if ((step.x.range >= 0) != (step.h.range >= 0)) return {};
    steps.push_back(step);
  }
  const std::vector<int> nodes = nodes_of(steps);
  for (ForwardStep& step : steps) {
    step.slice = slice_of(program, as<ops::Quantise>(program, step.x.quantise)->x, nodes);
  }
  return steps;
}

std::vector<int> nodes_of(const std::vector<ForwardStep>& steps) {
  std::vector<int> nodes;
  const auto add = [&](int node) {
    if (node >= 0 && std::find(nodes.begin(), nodes.end(), node) == nodes.end()) nodes.push_back(node);
  };
  for (const ForwardStep& step : steps) {
    add(step.slice);
    for (const ForwardProduct* of : {&step.x, &step.h}) {
      for (const int node :
           {of->range, of->running, of->grid, of->quantise, of->product, of->lhs_sums, of->rhs_sums, of->rescale}) {
        add(node);
      }
    }
    add(step.add_bias);
    add(step.cell);
  }
  return nodes;
}

namespace {

/// The product of the gradient's codes whose weight gradient has these activations; `error`: it has an error pass.
std::optional<BackwardProduct> backward_product(const Program& program, Tensor dgates, Tensor activations) {
  BackwardProduct of;
  for (const int node : program.readers(dgates)) {
    const auto* quantise = as<ops::Quantise>(program, node);
    if (quantise == nullptr) continue;
    for (const int product : program.readers(quantise->codes)) {
      const auto* op = as<ops::Product>(program, product);
      if (op == nullptr || op->over.pass != Pass::kWeightGradient || op->lhs.codes.id != activations.id) continue;
      if (of.quantise >= 0) return {};
      of.quantise = node;
      of.gradient = product;
    }
  }
  if (of.quantise < 0) return {};
  const auto* quantise = as<ops::Quantise>(program, of.quantise);
  if (quantise->rounding == ops::Quantise::Rounding::kGivenNoise || quantise->groups.by != ops::Groups::By::kTensor ||
      !is_bytes(program, quantise->codes)) {
    return {};
  }
  of.grid = writer<ops::FitGrid>(program, quantise->grid);
  if (of.grid < 0) return {};
  const auto* fit = as<ops::FitGrid>(program, of.grid);
  if (fit->quantiser != kAffine && fit->quantiser != kAffineWithZero) return {};
  of.range = writer<ops::Range>(program, fit->ranges);
  if (of.range < 0 || as<ops::Range>(program, of.range)->x.id != dgates.id) return {};
  of.gradient_rescale = reader<ops::Rescale>(program, as<ops::Product>(program, of.gradient)->sums);
  if (of.gradient_rescale < 0) return {};
  const auto* rescale = as<ops::Rescale>(program, of.gradient_rescale);
  of.gradient_lhs_sums = writer<ops::CodeSums>(program, rescale->lhs_sums);
  of.gradient_rhs_sums = writer<ops::CodeSums>(program, rescale->rhs_sums);
  if (of.gradient_lhs_sums < 0 || of.gradient_rhs_sums < 0) return {};
  for (const int node : program.readers(quantise->codes)) {
    const auto* op = as<ops::Product>(program, node);
    if (op == nullptr || op->over.pass != Pass::kError) continue;
    const int codes = writer<ops::ErrorCodes>(program, op->rhs.codes);
    if (codes < 0 || as<ops::ErrorCodes>(program, codes)->bits != 16 || of.error >= 0) return {};
    of.error = node;
    of.error_rescale = reader<ops::Rescale>(program, op->sums);
    if (of.error_rescale < 0 || as<ops::Rescale>(program, of.error_rescale)->lhs_sums) return {};
    of.error_sums = writer<ops::CodeSums>(program, as<ops::Rescale>(program, of.error_rescale)->rhs_sums);
  }
  of.values = reader<ops::Dequantise>(program, quantise->codes);
  if (of.values < 0) return of;
  const Tensor values = as<ops::Dequantise>(program, of.values)->values;
  of.magnitude = reader<ops::Magnitude>(program, values);
  of.bias = reader<ops::BiasGradient>(program, values);
  if (of.magnitude < 0 || of.bias < 0) return {};
  return of;
}

/// Follows parts[0] + parts[1] + ...; the sum's tensor, none where they are added otherwise.
Tensor sum_of(const Program& program, const std::vector<Tensor>& parts, std::vector<int>& adds) {
  Tensor sum = parts.front();
  for (std::size_t i = 1; i < parts.size(); ++i) {
    const int add = reader<ops::Add>(program, sum);
    if (add < 0 || as<ops::Add>(program, add)->a.id != sum.id || as<ops::Add>(program, add)->b.id != parts[i].id) {
      return {};
    }
    adds.push_back(add);
    sum = as<ops::Add>(program, add)->z;
  }
  return sum;
}

}  // namespace

std::optional<Backward> backward_of(const Program& program, int node) {
  if (as<ops::LstmCellGradient>(program, node) == nullptr) return {};
  std::vector<int> found = cells<ops::LstmCellGradient>(program, node);
  if (found.front() != node) return {};
  std::reverse(found.begin(), found.end());  // by time
  const std::vector<int> forward_cells = cells<ops::LstmCell>(program, node);
  if (forward_cells.size() != found.size()) return {};
  const auto forward = forward_of(program, forward_cells.front());
  if (!forward) return {};
  Backward all;
  Tensor next_dcell, next_dh;
  std::vector<Tensor> x_parts, h_parts, bias_parts;
  for (std::size_t i = found.size(); i-- > 0;) {
    const auto* op = as<ops::LstmCellGradient>(program, found[i]);
    const ForwardStep& of_forward = (*forward)[i];
    const auto codes = [&](int quantise) { return as<ops::Quantise>(program, quantise)->codes; };
    if (op->gates.id != as<ops::LstmCell>(program, of_forward.cell)->gates.id || op->dnext_cell.id != next_dcell.id) {
      return {};
    }
    BackwardStep step;
    step.cell = found[i];
    step.doutput = op->doutput;
    if (next_dh) {
      step.add = writer<ops::Add>(program, op->doutput);
      if (step.add < 0) return {};
      const auto* add = as<ops::Add>(program, step.add);
      if (add->a.id != next_dh.id && add->b.id != next_dh.id) return {};
      step.doutput = add->a.id == next_dh.id ? add->b : add->a;
    }
    const auto x = backward_product(program, op->dgates, codes(of_forward.x.quantise));
    const auto h = backward_product(program, op->dgates, codes(of_forward.h.quantise));
    if (!x || !h || h->values >= 0 || (h->error >= 0) != (i > 0) || x->error < 0) return {};
    // The launches draw both noises from one seed.
    const auto *x_codes = as<ops::Quantise>(program, x->quantise), *h_codes = as<ops::Quantise>(program, h->quantise);
    if (x_codes->rounding != h_codes->rounding || x_codes->seed != h_codes->seed ||
        x_codes->step.id != h_codes->step.id) {
      return {};
    }
    step.x = *x;
    step.h = *h;
    x_parts.push_back(as<ops::Rescale>(program, x->gradient_rescale)->y);
    h_parts.push_back(as<ops::Rescale>(program, h->gradient_rescale)->y);
    if (x->bias >= 0) bias_parts.push_back(as<ops::BiasGradient>(program, x->bias)->dbias);
    next_dcell = op->dcell;
    next_dh = h->error >= 0 ? as<ops::Rescale>(program, h->error_rescale)->y : Tensor{};
    all.steps.insert(all.steps.begin(), step);
  }
  all.dx_weights = sum_of(program, x_parts, all.adds);
  all.dh_weights = sum_of(program, h_parts, all.adds);
  if (!all.dx_weights || !all.dh_weights) return {};
  if (!bias_parts.empty()) {
    if (bias_parts.size() != found.size()) return {};
    all.dbias = sum_of(program, bias_parts, all.adds);
    if (!all.dbias) return {};
  }
  const std::vector<int> nodes = nodes_of(all);
  for (BackwardStep& step : all.steps) step.slice = slice_of(program, step.doutput, nodes);
  return all;
}

std::vector<int> nodes_of(const Backward& backward) {
  std::vector<int> nodes = backward.adds;
  const auto add = [&](int node) {
    if (node >= 0 && std::find(nodes.begin(), nodes.end(), node) == nodes.end()) nodes.push_back(node);
  };
  for (const BackwardStep& step : backward.steps) {
    for (const int node : {step.cell, step.add, step.slice}) add(node);
    for (const BackwardProduct* of : {&step.x, &step.h}) {
      for (const int node :
           {of->range, of->grid, of->quantise, of->gradient, of->gradient_lhs_sums, of->gradient_rhs_sums,
            of->gradient_rescale, of->error, of->error_sums, of->error_rescale, of->values, of->magnitude, of->bias}) {
        add(node);
      }
    }
  }
  return nodes;
}

}  // namespace bitcycle::lstm
