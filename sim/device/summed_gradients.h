// SPDX-License-Identifier: Apache-2.0
// SummedGradients: what a library has for a layer that a step uses several times, as a recurrent one is: the weight
// gradients of all uses in one call, each rounded to binary32 and added in the written order (docs/numerics.md, 6.10),
// so that a block of the result stays in the cache for all of them. A library without it adds them up one by one.
#pragma once

#include <vector>

#include "sim/device/kernel_library.h"

namespace bitcycle {

/// dw = (x_0^T g_0 + x_1^T g_1) + x_2^T g_2 ..., rows of all samples; shape is that of one use.
struct SummedGradient {
  struct Use {
    Operand x, g;  // codes
  };
  std::vector<Use> uses;  // in the order of the sum
  const QuantisedWeights* weights = nullptr;
  ConvShape shape;
  float* dw = nullptr;  // (o, c)
};

class SummedGradients {
 public:
  virtual ~SummedGradients() = default;
  virtual void summed_gradient(const SummedGradient& args) = 0;
};

}  // namespace bitcycle
