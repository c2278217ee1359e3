// SPDX-License-Identifier: Apache-2.0
// Softmax cross-entropy of some rows together (docs/numerics.md, 6.4): a row's sum is one ascending chain, so several
// rows' chains run side by side.
#pragma once

#include <cstdint>

#include "sim/cpu/kernels.h"

namespace bitcycle::cpu {

struct SoftmaxRows {
  const float* logits = nullptr;  // (rows, classes)
  const std::int32_t* labels = nullptr;
  std::int64_t classes = 0;
  bool partial = false;  // a row of label -1 has loss 0 and a gradient of zeros
  float inverse_n = 0.0F;
  float* dlogits = nullptr;  // null: not wanted; may be the logits
  float* losses = nullptr;   // (rows)
};

/// Floats of a thread's own memory that softmax_rows needs.
constexpr std::int64_t kSoftmaxScratch = kSummedRows * 1024;

/// Rows begin .. end - 1, at most kSummedRows; how many of them have the lowest index of the largest logit as label.
std::int64_t softmax_rows(const KernelTable& kernels, const SoftmaxRows& of, std::int64_t begin, std::int64_t end,
                          float* scratch);

}  // namespace bitcycle::cpu
