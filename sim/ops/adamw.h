// SPDX-License-Identifier: Apache-2.0
// adamw: Adam with decoupled weight decay (docs/numerics.md, 9.4), elementwise in binary32, every operation rounded.
// With t = step + 1, powers by repeated squaring in binary64, and lr the rate in binary64:
//   decay = fl32(lr * wd), size = fl32(fl64(lr * sqrt(1 - b2^t)) / (1 - b1^t)), g = fl(g * factor) where it clips (9.3)
//   m = fl(fl(b1 * m) + fl(c1 * g)), v = fl(fl(b2 * v) + fl(fl(c2 * g) * g)), c = fl32(1 - b)
//   p = fl(p - fl(decay * p)), p = fl(p - fl(size * fl(m / fl(sqrt(v) + eps))))
// Nothing is done where `guard` holds 0 or more. Lists have one tensor a parameter.
#pragma once

#include <cmath>
#include <vector>

#include "sim/number/host_device.h"
#include "sim/ops/op.h"

namespace bitcycle {

struct AdamwRule {
  double beta1 = 0.9, beta2 = 0.98, eps = 1e-8, weight_decay = 0.01;
  double clip = 0.0;  // 0: gradients are taken as they are
};

/// What a step multiplies with.
struct AdamwStep {
  float beta1 = 0.0F, rest1 = 0.0F, beta2 = 0.0F, rest2 = 0.0F, eps = 0.0F, decay = 0.0F, size = 0.0F, factor = 1.0F;
};

/// b^t by squares, from the lowest bit of t.
BITCYCLE_HD double power_of(double b, std::uint64_t t) {
  double result = 1.0;
  for (; t != 0; t >>= 1) {
    if ((t & 1) != 0) result = result * b;
    b = b * b;
  }
  return result;
}

BITCYCLE_HD AdamwStep adamw_step(const AdamwRule& rule, float rate, std::uint32_t step, float factor) {
  const double lr = static_cast<double>(rate);
  const std::uint64_t t = static_cast<std::uint64_t>(step) + 1;
  AdamwStep of;
  of.beta1 = static_cast<float>(rule.beta1);
  of.rest1 = static_cast<float>(1.0 - rule.beta1);
  of.beta2 = static_cast<float>(rule.beta2);
  of.rest2 = static_cast<float>(1.0 - rule.beta2);
  of.eps = static_cast<float>(rule.eps);
  of.decay = static_cast<float>(lr * rule.weight_decay);
  of.size = static_cast<float>(lr * sqrt(1.0 - power_of(rule.beta2, t)) / (1.0 - power_of(rule.beta1, t)));
  of.factor = factor;
  return of;
}

BITCYCLE_HD void adamw_element(float g, float& m, float& v, float& p, const AdamwStep& of, bool clips) {
  if (clips) g = g * of.factor;
  const float m_old = of.beta1 * m, m_new = of.rest1 * g;
  m = m_old + m_new;
  const float v_old = of.beta2 * v, scaled = of.rest2 * g, v_new = scaled * g;
  v = v_old + v_new;
  const float decay = of.decay * p;
  p = p - decay;
  const float move = of.size * (m / (sqrtf(v) + of.eps));
  p = p - move;
}

}  // namespace bitcycle

namespace bitcycle::ops {

struct Adamw {
  static constexpr const char* kName = "adamw";
  std::vector<Tensor> gradients, moments, squares, parameters;  // float32; m and v
  Tensor rate;                                                  // float32 (): lr
  Tensor step;                                                  // uint32 ()
  Tensor guard;                                                 // int64 (), or none
  Tensor norm;                                                  // float64 (), where it clips
  AdamwRule rule;

  template <typename Self, typename Visit>
  static void each_tensor(Self& self, Visit visit) {
    visit("rate", self.rate, Access::kRead);
    visit("step", self.step, Access::kRead);
    visit("guard", self.guard, Access::kRead);
    for (auto& tensor : self.gradients) visit("gradients", tensor, Access::kRead);
    visit("norm", self.norm, Access::kWrite);
    for (auto& tensor : self.moments) visit("moments", tensor, Access::kUpdate);
    for (auto& tensor : self.squares) visit("squares", tensor, Access::kUpdate);
    for (auto& tensor : self.parameters) visit("parameters", tensor, Access::kUpdate);
  }
  template <typename Self, typename Visit>
  static void each_list(Self& self, Visit visit) {
    visit(self.gradients);
    visit(self.moments);
    visit(self.squares);
    visit(self.parameters);
  }
};

void check(const Adamw& op, const Operands& operands);
void run(const Adamw& op, const StepMemory& memory);

}  // namespace bitcycle::ops
