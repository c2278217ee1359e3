// SPDX-License-Identifier: Apache-2.0
// Weights in the device's own form, and the grids of activations and gradients.
#include <algorithm>

#include "sim/device/fused/bindings.h"
#include "sim/device/fused/patterns.h"

namespace bitcycle::fused {
namespace {

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
  if (c.get<ops::FitGrid>(fit)->quantiser != kAffine) return {};
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
  if (const auto* running = c.get<ops::RunningGrid>(node)) {
    if (running->quantiser != kAffine) return {};
    return Match{{node}, {}, {running->grid}, {}, {}, {}};
  }
  const auto* moved = c.get<ops::RunningRange>(node);
  if (moved == nullptr) return {};
  Match match;
  match.nodes = {node};
  match.makes = {moved->running};
  const int fit = reader_in_layer<ops::FitGrid>(c, moved->range, node);
  if (fit >= 0 && c.get<ops::FitGrid>(fit)->quantiser == kAffine) {
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
  const int fit = c.reader<ops::FitGrid>(range->ranges);
  if (fit >= 0 &&
      (c.get<ops::FitGrid>(fit)->quantiser == kAffine || c.get<ops::FitGrid>(fit)->quantiser == kAffineWithZero)) {
    add(match.nodes, fit);
    match.makes.push_back(c.get<ops::FitGrid>(fit)->grid);
  }
  return match;
}

KernelLaunch bind_weights(const KernelBinding& b) {
  Tensor master, width;
  const ops::ErrorCodes* shared = b.op<ops::ErrorCodes>();
  bool own = false;
  QuantiseWeights args;
  for (const int node : b.kernel.match.nodes) {
    const Operation& operation = b.program.node(node).operation;
    if (const auto* range = std::get_if<ops::Range>(&operation)) {
      master = range->x;
      own = own || range->groups.by == ops::Groups::By::kInputChannel;
    }
    if (const auto* fit = std::get_if<ops::FitGrid>(&operation)) {
      width = fit->width;
      args.min_scale = fit->min_scale;
    }
  }
  args.master = b.address<float>(master);
  args.error_weights = own ? ErrorWeights::kRequantised : ErrorWeights::kShared;
  if (shared != nullptr) args.error_grid_bits = shared->bits;
  args.for_error_pass = own || shared != nullptr;
  // Two words; reports lie 64 bytes apart.
  static_assert(TensorPlan::kAlignment >= 2 * sizeof(std::uint32_t));
  if (const auto* bounds = b.op<ops::StepBounds>()) args.step_bound = b.address<std::uint32_t>(bounds->bounds);
  QuantisedWeights* weights = &weights_of(b, master, layer_shape(b.program, master));
  for (const int node : b.kernel.match.nodes) {
    const Operation& operation = b.program.node(node).operation;
    if (const auto* quantise = std::get_if<ops::Quantise>(&operation)) {
      const bool error = quantise->groups.by == ops::Groups::By::kInputChannel;
      b.holds(quantise->codes, {weights, error ? &weights->error_codes : &weights->codes, true});
      b.holds(quantise->grid, {weights, error ? &weights->error_affine : &weights->affine, false});
    }
  }
  if (shared != nullptr) {
    b.holds(shared->codes, {weights, &weights->error_codes, true});
    b.holds(shared->grid, {weights, &weights->error_affine, false});
  }
  args.width_record = b.address<BitWidth>(width);
  KernelLibrary* library = &b.library;
  return [args, width, weights, library](const KernelStep& step) {
    QuantiseWeights now = args;
    now.width = width_of(step, width);
    library->quantise_weights(now, *weights);
  };
}

KernelLaunch bind_activation_scale(const KernelBinding& b) {
  ActivationScale args;
  Tensor width;
  std::shared_ptr<Buffer> keep;
  if (const auto* running = b.op<ops::RunningGrid>()) {
    args.running = b.address<float>(running->running);
    args.training = false;
    args.min_scale = running->min_scale;
    args.affine = b.address<Affine>(running->grid);
    width = running->width;
  } else {
    const auto* moved = b.op<ops::RunningRange>();
    args.now = b.address<Range>(moved->range);
    args.running = b.address<float>(moved->running);
    if (const auto* fit = b.op<ops::FitGrid>()) {
      args.min_scale = fit->min_scale;
      args.affine = b.address<Affine>(fit->grid);
      width = fit->width;
    } else {
      args.affine = record<Affine>(b, keep);
    }
  }
  args.width_record = b.address<BitWidth>(width);
  KernelLibrary* library = &b.library;
  return [args, width, keep, library](const KernelStep& step) {
    ActivationScale now = args;
    now.width = width_of(step, width);
    library->activation_scale(now);
  };
}

KernelLaunch bind_gradient_scale(const KernelBinding& b) {
  const auto* range = b.op<ops::Range>();
  const auto* fit = b.op<ops::FitGrid>();
  std::shared_ptr<Buffer> keep;
  const Tensor x = range->x, width = fit != nullptr ? fit->width : Tensor{};
  GradientScale args;
  args.gradient = conv_gradient(b, x);
  args.channels = b.program.spec(x).shape.back();
  args.width_record = b.address<BitWidth>(width);
  args.range = b.address<Range>(range->ranges);
  args.affine = fit != nullptr ? b.address<Affine>(fit->grid) : record<Affine>(b, keep);
  if (fit != nullptr) args.min_scale = fit->min_scale;
  args.zero_on_grid = fit != nullptr && fit->quantiser == kAffineWithZero;
  const Program* program = &b.program;
  KernelLibrary* library = &b.library;
  return [=](const KernelStep& step) {
    static_cast<void>(keep);
    GradientScale now = args;
    now.positions = rows(*program, x, step.samples);
    now.width = width_of(step, width);
    library->gradient_scale(now);
  };
}

}  // namespace

FusedEntry weights_entry() { return {{"quantise weights", weights, nullptr, true}, bind_weights}; }
FusedEntry activation_scale_entry() { return {{"activation scale", activation_scale}, bind_activation_scale}; }
FusedEntry gradient_scale_entry() { return {{"gradient scale", gradient_scale}, bind_gradient_scale}; }

}  // namespace bitcycle::fused
