// SPDX-License-Identifier: Apache-2.0
// nag: Nesterov's accelerated gradient as fairseq writes it, the gradients clipped by their common norm
// (docs/numerics.md, 9.5), elementwise in binary32, every operation rounded. r = lr / lr of the step before, in
// binary64, 1 at the first step; wd as in the rate of decay fl32(1 - lr * wd):
//   ahead = fl32(mu * mu * r), keep = fl32(mu * r), both in binary64 from left to right; far = fl32((1 + mu) * lr)
//   g = fl(g * factor); w = fl(w * decay) where wd is not 0
//   w = fl(fl(w + fl(ahead * b)) - fl(far * g)); b = fl(fl(keep * b) - fl(lr * g))
// Nothing is done where `guard` holds 0 or more. Lists have one tensor a parameter.
#pragma once

#include <vector>

#include "sim/number/host_device.h"
#include "sim/ops/op.h"

namespace bitcycle {

struct NagRule {
  double momentum = 0.99, weight_decay = 0.0;
  double clip = 0.0;  // 0: gradients are taken as they are
};

/// What a step multiplies with.
struct NagStep {
  float ahead = 0.0F, keep = 0.0F, far = 0.0F, rate = 0.0F, decay = 1.0F, factor = 1.0F;
};

/// before: the rate of the step before, 0 at the first.
BITCYCLE_HD NagStep nag_step(const NagRule& rule, float rate, float before, float factor) {
  const double lr = static_cast<double>(rate);
  const double r = before > 0.0F ? lr / static_cast<double>(before) : 1.0;
  NagStep of;
  of.ahead = static_cast<float>(rule.momentum * rule.momentum * r);
  of.keep = static_cast<float>(rule.momentum * r);
  of.far = static_cast<float>((1.0 + rule.momentum) * lr);
  of.rate = rate;
  of.decay = static_cast<float>(1.0 - lr * rule.weight_decay);
  of.factor = factor;
  return of;
}

BITCYCLE_HD void nag_element(float g, float& buffer, float& w, const NagStep& of, bool clips, bool decays) {
  if (clips) g = g * of.factor;
  if (decays) w = w * of.decay;
  const float ahead = of.ahead * buffer, far = of.far * g;
  w = w + ahead;
  w = w - far;
  const float kept = of.keep * buffer, moved = of.rate * g;
  buffer = kept - moved;
}

}  // namespace bitcycle

namespace bitcycle::ops {

struct Nag {
  static constexpr const char* kName = "nag";
  std::vector<Tensor> gradients, momenta, parameters;  // float32
  Tensor rate;                                         // float32 (): lr
  Tensor rate_before;                                  // float32 (), state: 0 before the first step
  Tensor guard;                                        // int64 (), or none
  Tensor norm;                                         // float64 (), where it clips
  NagRule rule;

  template <typename Self, typename Visit>
  static void each_tensor(Self& self, Visit visit) {
    visit("rate", self.rate, Access::kRead);
    visit("rate before", self.rate_before, Access::kUpdate);
    visit("guard", self.guard, Access::kRead);
    for (auto& tensor : self.gradients) visit("gradients", tensor, Access::kRead);
    visit("norm", self.norm, Access::kWrite);
    for (auto& tensor : self.momenta) visit("momenta", tensor, Access::kUpdate);
    for (auto& tensor : self.parameters) visit("parameters", tensor, Access::kUpdate);
  }
  template <typename Self, typename Visit>
  static void each_list(Self& self, Visit visit) {
    visit(self.gradients);
    visit(self.momenta);
    visit(self.parameters);
  }
};

void check(const Nag& op, const Operands& operands);
void run(const Nag& op, const StepMemory& memory);

}  // namespace bitcycle::ops
