// SPDX-License-Identifier: Apache-2.0
// The max pool, and the sums of a batch norm whose gradient comes from one: their grid depends on the exact maximum of
// the whole gradient, so that they are taken afterwards.
#include "sim/device/fused/bindings.h"
#include "sim/device/fused/patterns.h"

namespace bitcycle::fused {
namespace {

/// z and its range.
std::optional<Match> max_pool(const Candidates& c, int node) {
  const auto* pool = c.get<ops::MaxPool>(node);
  if (pool == nullptr) return {};
  Match match;
  match.nodes = {node};
  match.makes = {pool->z};
  if (const int range = c.reader<ops::Range>(pool->z); range >= 0) {
    add(match.nodes, range);
    match.makes.push_back(c.get<ops::Range>(range)->ranges);
  }
  return match;
}

/// dx and its exact maximum; the other contribution and the rectifier's mask.
std::optional<Match> max_pool_backward(const Candidates& c, int node) {
  const auto* pool = c.get<ops::MaxPoolGradient>(node);
  if (pool == nullptr) return {};
  Match match;
  match.nodes = {node};
  constexpr int kNoBound = -1;
  take_gradient_sum(c, pool->dx, kNoBound, match);
  if (const int magnitude = c.reader<ops::Magnitude>(pool->dx); magnitude >= 0) {
    add(match.nodes, magnitude);
    match.makes.push_back(c.get<ops::Magnitude>(magnitude)->bound);
  }
  return match;
}

/// With an exact bound, as a gradient has whose parts bring none.
std::optional<Match> norm_sums(const Candidates& c, int node) {
  const auto* sums = c.get<ops::NormGradientSums>(node);
  if (sums == nullptr || c.program().spec(sums->bound).element != Element::kFloat32) return {};
  return Match{{node}, {}, {sums->sums}, {}, {}, {}};
}

PoolGeometry geometry(const Program& program, Tensor x, Tensor z, const ops::PoolWindow& window) {
  const auto& in = program.spec(x).shape;
  const auto& out = program.spec(z).shape;
  return {in[0], in[1], in[2], in[3], out[1], out[2], window.kernel, window.stride, window.padding};
}

/// Calls the library with the arguments of as many samples as a step has.
template <typename Args, typename Call>
KernelLaunch over_samples(const KernelBinding& b, const Args& args, Call call) {
  const std::int64_t each = args.over.n / b.program.batch();
  KernelLibrary* library = &b.library;
  return [args, each, library, call](const KernelStep& step) {
    Args now = args;
    now.over.n = each * step.samples;
    call(*library, now);
  };
}

KernelLaunch bind_max_pool(const KernelBinding& b) {
  const auto* op = b.op<ops::MaxPool>();
  MaxPool args;
  args.over = geometry(b.program, op->x, op->z, op->window);
  args.x = b.address<float>(op->x);
  args.z = b.address<float>(op->z);
  if (const auto* range = b.op<ops::Range>()) args.range = b.address<Range>(range->ranges);
  return over_samples(b, args, [](KernelLibrary& library, const MaxPool& now) { library.max_pool(now); });
}

KernelLaunch bind_max_pool_backward(const KernelBinding& b) {
  const auto* op = b.op<ops::MaxPoolGradient>();
  MaxPoolBackward args;
  args.over = geometry(b.program, op->x, op->dz, op->window);
  args.x = b.address<float>(op->x);
  args.dz = b.address<float>(op->dz);
  std::shared_ptr<GradientSum> gradient_sum;
  if (b.op<ops::ReluGradient>() != nullptr || b.op<ops::Add>() != nullptr) {
    gradient_sum = std::make_shared<GradientSum>(gradient_sum_of(b, op->dx));
    args.gradient_sum = gradient_sum.get();
  } else {
    args.dx = b.address<float>(op->dx);
  }
  for (int i = 0; b.op<ops::Magnitude>(i) != nullptr; ++i) {
    const auto* magnitude = b.op<ops::Magnitude>(i);
    if (magnitude->x == op->dx) args.dx_bound = b.address<float>(magnitude->bound);
  }
  return over_samples(
      b, args, [gradient_sum](KernelLibrary& library, const MaxPoolBackward& now) { library.max_pool_backward(now); });
}

KernelLaunch bind_norm_sums(const KernelBinding& b) {
  const auto* op = b.op<ops::NormGradientSums>();
  NormSums args;
  args.channels = b.program.spec(op->norm).size();
  args.u = b.address<float>(op->u);
  args.bound = b.address<float>(op->bound);
  args.norm = {b.address<float>(op->y), b.address<NormChannel>(op->norm), b.address<NormGradientSums>(op->sums)};
  const Program* program = &b.program;
  const Tensor u = op->u;
  KernelLibrary* library = &b.library;
  return [args, program, u, library](const KernelStep& step) {
    NormSums now = args;
    now.positions = rows(*program, u, step.samples);
    library->norm_sums(now);
  };
}

}  // namespace

FusedEntry max_pool_entry() { return {{"max pool", max_pool}, bind_max_pool}; }
FusedEntry max_pool_backward_entry() { return {{"max pool backward", max_pool_backward}, bind_max_pool_backward}; }
FusedEntry norm_sums_entry() { return {{"norm sums", norm_sums}, bind_norm_sums}; }

}  // namespace bitcycle::fused
