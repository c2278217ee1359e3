// SPDX-License-Identifier: Apache-2.0
// Softmax cross-entropy of one sample, one IEEE operation at a time, ascending by class (docs/numerics.md, 6.4).
#pragma once

#include <cstdint>

#include "sim/number/elementary.h"
#include "sim/number/host_device.h"

namespace bitcycle {

struct SampleLoss {
  float loss = 0.0F;     // fl(log(S) - fl(z_label - m))
  bool correct = false;  // the lowest index of the largest logit is the label
};

/// fl(fl(p_j - onehot_j) * inverse_n), p_j = fl(e_j / S).
BITCYCLE_HD float softmax_gradient(float e, float sum, bool is_label, float inverse_n) {
  const float p = e / sum;
  return (p - (is_label ? 1.0F : 0.0F)) * inverse_n;
}
/// fl(log(S) - fl(z_label - m)).
BITCYCLE_HD float softmax_loss(float sum, float z_label, float m) { return log_f32(sum) - (z_label - m); }

/// gradient_j = fl(fl(p_j - onehot_j) * inverse_n), p_j = fl(e_j / S), e_j = exp(fl(z_j - m)); gradient may be null.
/// inverse_n = fl(1 / n).
BITCYCLE_HD SampleLoss softmax_cross_entropy_sample(const float* z, std::int64_t classes, std::int32_t label,
                                                    float inverse_n, float* gradient) {
  std::int64_t largest = 0;
  for (std::int64_t j = 1; j < classes; ++j) {
    if (z[j] > z[largest]) largest = j;
  }
  const float m = z[largest];
  float sum = 0.0F;
  for (std::int64_t j = 0; j < classes; ++j) {
    const float e = exp_f32(z[j] - m);
    if (gradient != nullptr) gradient[j] = e;
    sum = sum + e;
  }
  if (gradient != nullptr) {
    for (std::int64_t j = 0; j < classes; ++j) gradient[j] = softmax_gradient(gradient[j], sum, j == label, inverse_n);
  }
  return {softmax_loss(sum, z[label], m), largest == label};
}

}  // namespace bitcycle
