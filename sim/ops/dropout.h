// SPDX-License-Identifier: Apache-2.0
// dropout: y = fl(x * factor) where the element is kept, else +0 (docs/numerics.md, 8.6): kept where the upper
// 24 bits of the word of the stream of purpose 6, step and tensor are at least `threshold` = int(p * 2^24); factor =
// fl32(1 / (1 - p)). The
// gradient is the same operation on dy: the words are made again, nothing is kept.
#pragma once

#include <cstdint>

#include "sim/number/philox.h"
#include "sim/ops/op.h"

namespace bitcycle {

/// Purpose 6: what is dropped.
inline constexpr auto kDropoutPurpose = static_cast<RandomPurpose>(6);

/// What a probability p, 0 <= p < 1, becomes.
struct DropoutRule {
  std::uint32_t threshold = 0;
  float factor = 1.0F;
};
inline DropoutRule dropout_rule(double p) {
  return {static_cast<std::uint32_t>(p * 0x1p24), static_cast<float>(1.0 / (1.0 - p))};
}
BITCYCLE_HD float dropout_value(float x, std::uint32_t word, const DropoutRule& rule) {
  return (word >> 8) >= rule.threshold ? x * rule.factor : 0.0F;
}

}  // namespace bitcycle

namespace bitcycle::ops {

struct Dropout {
  static constexpr const char* kName = "dropout";
  Tensor x;     // float32
  Tensor step;  // uint32 ()
  Tensor y;     // float32 as x
  DropoutRule rule;
  std::uint64_t seed = 0;
  std::uint32_t tensor_id = 0;

  template <typename Self, typename Visit>
  static void each_tensor(Self& self, Visit visit) {
    visit("x", self.x, Access::kRead);
    visit("step", self.step, Access::kRead);
    visit("y", self.y, Access::kWrite);
  }
};

void check(const Dropout& op, const Operands& operands);
void run(const Dropout& op, const StepMemory& memory);

}  // namespace bitcycle::ops
