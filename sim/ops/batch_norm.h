// SPDX-License-Identifier: Apache-2.0
// Batch normalisation (docs/numerics.md, 7.2 to 7.4), channels innermost:
//   moments            q = rint(y * 2^e), e from the channel's bound; sums of q and q^2, exact, and the extremes of y
//   norm_from_batch    mean, inverse deviation, a = fl(gamma * r) of this batch; the running statistics move
//   norm_from_running  the same from the running statistics
//   norm_apply         z = fma(fl(y - mean), a, beta)
#pragma once

#include <cstdint>

#include "sim/ops/op.h"

namespace bitcycle::ops {

struct Moments {
  static constexpr const char* kName = "moments";
  Tensor y;           // float32 (..., c)
  Tensor bound;       // float64 (c)
  Tensor statistics;  // statistics (c)

  template <typename Self, typename Visit>
  static void each_tensor(Self& self, Visit visit) {
    visit("y", self.y, Access::kRead);
    visit("bound", self.bound, Access::kRead);
    visit("statistics", self.statistics, Access::kWrite);
  }
};

struct NormFromBatch {
  static constexpr const char* kName = "norm_from_batch";
  Tensor statistics;                      // statistics (c)
  Tensor gamma, beta;                     // float32 (c)
  Tensor running_mean, running_variance;  // float32 (c), updated
  std::int64_t count = 0;                 // addends a channel, at the whole batch
  Tensor norm;                            // norm (c)

  template <typename Self, typename Visit>
  static void each_tensor(Self& self, Visit visit) {
    visit("statistics", self.statistics, Access::kRead);
    visit("gamma", self.gamma, Access::kRead);
    visit("beta", self.beta, Access::kRead);
    visit("running mean", self.running_mean, Access::kUpdate);
    visit("running variance", self.running_variance, Access::kUpdate);
    visit("norm", self.norm, Access::kWrite);
  }
};

struct NormFromRunning {
  static constexpr const char* kName = "norm_from_running";
  Tensor running_mean, running_variance, gamma, beta;  // float32 (c)
  Tensor norm;                                         // norm (c)

  template <typename Self, typename Visit>
  static void each_tensor(Self& self, Visit visit) {
    visit("running mean", self.running_mean, Access::kRead);
    visit("running variance", self.running_variance, Access::kRead);
    visit("gamma", self.gamma, Access::kRead);
    visit("beta", self.beta, Access::kRead);
    visit("norm", self.norm, Access::kWrite);
  }
};

struct NormApply {
  static constexpr const char* kName = "norm_apply";
  Tensor y;     // float32 (..., c)
  Tensor norm;  // norm (c)
  Tensor z;     // float32 as y

  template <typename Self, typename Visit>
  static void each_tensor(Self& self, Visit visit) {
    visit("y", self.y, Access::kRead);
    visit("norm", self.norm, Access::kRead);
    visit("z", self.z, Access::kWrite);
  }
};

void check(const Moments& op, const Operands& operands);
void run(const Moments& op, const StepMemory& memory);
void check(const NormFromBatch& op, const Operands& operands);
void run(const NormFromBatch& op, const StepMemory& memory);
void check(const NormFromRunning& op, const Operands& operands);
void run(const NormFromRunning& op, const StepMemory& memory);
void check(const NormApply& op, const Operands& operands);
void run(const NormApply& op, const StepMemory& memory);

}  // namespace bitcycle::ops
