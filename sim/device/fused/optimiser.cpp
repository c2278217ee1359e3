// SPDX-License-Identifier: Apache-2.0
// SGD, and the search for numbers that are not finite.
#include <algorithm>

#include "sim/device/fused/bindings.h"
#include "sim/device/fused/patterns.h"

namespace bitcycle::fused {
namespace {

/// With the search for updated parameters that are not finite.
std::optional<Match> sgd(const Candidates& c, int node) {
  auto match = alone<ops::SgdUpdate>(c, node);
  if (!match) return {};
  const auto& parameters = c.get<ops::SgdUpdate>(node)->parameters;
  for (const int reader : c.program().readers(parameters.front())) {
    const auto* search = c.get<ops::FindNonFinite>(reader);
    if (reader < node || search == nullptr || search->x != parameters) continue;
    match->nodes.push_back(reader);
    match->makes.push_back(search->position);
  }
  return match;
}

KernelLaunch bind_sgd(const KernelBinding& b) {
  const auto* op = b.op<ops::SgdUpdate>();
  SgdUpdate args;
  args.size = list_size(b.program, op->parameters, b.program.batch());
  args.gradient = b.address<float>(op->gradients.front());
  args.momentum_buffer = b.address<float>(op->momenta.front());
  args.parameter = b.address<float>(op->parameters.front());
  args.momentum = op->momentum;
  args.weight_decay = op->weight_decay;
  args.guard = b.address<std::int64_t>(op->guard);
  if (const auto* search = b.op<ops::FindNonFinite>()) args.non_finite = b.address<std::int64_t>(search->position);
  const Tensor rate = op->rate;
  args.lr_record = b.address<float>(rate);
  KernelLibrary* library = &b.library;
  return [args, rate, library](const KernelStep& step) {
    SgdUpdate now = args;
    now.lr = step.inputs.value<float>(rate);
    library->sgd_update(now);
  };
}

KernelLaunch bind_find_non_finite(const KernelBinding& b) {
  const auto* op = b.op<ops::FindNonFinite>();
  const auto* x = b.address<float>(op->x.front());
  auto* position = b.address<std::int64_t>(op->position);
  const Program* program = &b.program;
  KernelLibrary* library = &b.library;
  return [op, x, position, program, library](const KernelStep& step) {
    library->find_non_finite(x, list_size(*program, op->x, step.samples), position);
  };
}

}  // namespace

FusedEntry sgd_entry() { return {{"sgd", sgd}, bind_sgd}; }
FusedEntry find_non_finite_entry() { return {{"find non-finite", alone<ops::FindNonFinite>}, bind_find_non_finite}; }

}  // namespace bitcycle::fused
