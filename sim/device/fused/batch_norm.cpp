// SPDX-License-Identifier: Apache-2.0
// Batch norms.
#include <algorithm>

#include "sim/device/fused/bindings.h"
#include "sim/device/fused/patterns.h"

namespace bitcycle::fused {
namespace {

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

KernelLaunch bind_norm_prepare(const KernelBinding& b) {
  const auto* op = b.op<ops::NormFromBatch>();
  NormPrepare args;
  args.channels = b.program.spec(op->norm).size();
  args.statistics = b.address<ChannelStatistics>(op->statistics);
  args.gamma = b.address<float>(op->gamma);
  args.beta = b.address<float>(op->beta);
  args.running_mean = b.address<float>(op->running_mean);
  args.running_variance = b.address<float>(op->running_variance);
  args.norm = b.address<NormChannel>(op->norm);
  if (const auto* range = b.op<ops::Range>()) args.relu_range = b.address<Range>(range->ranges);
  const std::int64_t count = op->count / b.program.batch();
  KernelLibrary* library = &b.library;
  return [args, count, library](const KernelStep& step) {
    NormPrepare now = args;
    now.count = static_cast<std::uint64_t>(count * step.samples);
    library->norm_prepare(now);
  };
}

KernelLaunch bind_norm_forward(const KernelBinding& b) {
  const auto* apply = b.op<ops::NormApply>(0);
  const auto* sum = b.op<ops::Add>();
  const auto* other = b.op<ops::NormApply>(1);
  if (sum != nullptr && other != nullptr && sum->a == other->z) std::swap(apply, other);
  NormForward args;
  args.channels = b.program.spec(apply->y).shape.back();
  args.y = b.address<float>(apply->y);
  args.norm = b.address<NormChannel>(apply->norm);
  Tensor z = apply->z;
  if (sum != nullptr) {
    args.shortcut = other != nullptr ? b.address<float>(other->y) : b.address<float>(sum->b);
    if (other != nullptr) args.shortcut_norm = b.address<NormChannel>(other->norm);
    z = sum->z;
  }
  const auto* relu = b.op<ops::Relu>();
  args.relu = relu != nullptr;
  if (relu != nullptr) {
    z = relu->z;
    args.mask_bits = b.address<std::uint32_t>(relu->positive);
  }
  args.z = b.address<float>(z);
  if (const auto* range = b.op<ops::Range>()) args.range = b.address<Range>(range->ranges);
  const Program* program = &b.program;
  const Tensor y = apply->y;
  KernelLibrary* library = &b.library;
  return [args, program, y, library](const KernelStep& step) {
    NormForward now = args;
    now.positions = rows(*program, y, step.samples);
    library->norm_forward(now);
  };
}

KernelLaunch bind_norm_from_running(const KernelBinding& b) {
  const auto* op = b.op<ops::NormFromRunning>();
  const std::int64_t channels = b.program.spec(op->norm).size();
  const auto *mean = b.address<float>(op->running_mean), *variance = b.address<float>(op->running_variance);
  const auto *gamma = b.address<float>(op->gamma), *beta = b.address<float>(op->beta);
  auto* norm = b.address<NormChannel>(op->norm);
  KernelLibrary* library = &b.library;
  return [=](const KernelStep&) { library->norm_from_running(channels, mean, variance, gamma, beta, norm); };
}

KernelLaunch bind_norm_gradient_prepare(const KernelBinding& b) {
  const auto* op = b.op<ops::NormParameterGradient>();
  NormGradientPrepare args;
  args.channels = b.program.spec(op->norm).size();
  args.norm = b.address<NormChannel>(op->norm);
  args.sums = b.address<NormGradientSums>(op->sums);
  args.gradient = b.address<NormGradientChannel>(op->gradient);
  args.dgamma = b.address<float>(op->dgamma);
  args.dbeta = b.address<float>(op->dbeta);
  const std::int64_t count = op->count / b.program.batch();
  KernelLibrary* library = &b.library;
  return [args, count, library](const KernelStep& step) {
    NormGradientPrepare now = args;
    now.count = static_cast<std::uint64_t>(count * step.samples);
    library->norm_gradient_prepare(now);
  };
}

}  // namespace

FusedEntry norm_prepare_entry() { return {{"norm prepare", norm_prepare}, bind_norm_prepare}; }
FusedEntry norm_forward_entry() { return {{"norm forward", norm_forward}, bind_norm_forward}; }
FusedEntry norm_from_running_entry() {
  return {{"norm from running", alone<ops::NormFromRunning>}, bind_norm_from_running};
}
FusedEntry norm_gradient_prepare_entry() {
  return {{"norm gradient prepare", alone<ops::NormParameterGradient>}, bind_norm_gradient_prepare};
}

}  // namespace bitcycle::fused
