// SPDX-License-Identifier: Apache-2.0
// softmax_loss: softmax cross-entropy of a batch, the mean loss, the number of samples whose largest logit is the
// label's, every sample's loss, and the gradient of the mean (docs/numerics.md, 6.4). partial: a sample of label -1 has
// loss 0 and a gradient of zeros, and is counted in the mean (6.16).
#pragma once

#include "sim/ops/op.h"

namespace bitcycle::ops {

struct SoftmaxLoss {
  static constexpr const char* kName = "softmax_loss";
  Tensor logits;   // float32 (n, ..., classes)
  Tensor labels;   // int32 (n)
  Tensor loss;     // loss ()
  Tensor dlogits;  // float32 as logits; none in evaluation
  Tensor losses;   // float32 (n), or none
  bool partial = false;

  template <typename Self, typename Visit>
  static void each_tensor(Self& self, Visit visit) {
    visit("logits", self.logits, Access::kRead);
    visit("labels", self.labels, Access::kRead);
    visit("loss", self.loss, Access::kWrite);
    visit("dlogits", self.dlogits, Access::kWrite);
    visit("losses", self.losses, Access::kWrite);
  }
};

void check(const SoftmaxLoss& op, const Operands& operands);
void run(const SoftmaxLoss& op, const StepMemory& memory);

}  // namespace bitcycle::ops
