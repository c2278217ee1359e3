// SPDX-License-Identifier: Apache-2.0
// The record of a row of a max pool's windows.
#pragma once

#include <cstdint>

namespace bitcycle::cpu {

/// One row of windows of one image. Forward: z. Backward, where dz is given: dz is added to dx at each window's first
/// largest element.
struct MaxPoolRow {
  const float* x = nullptr;  // (h, w, channels)
  std::int64_t h = 0, w = 0, channels = 0;
  std::int64_t kernel = 1, stride = 1;
  std::int64_t first_row = 0, first_column = 0;  // of the first window, may lie outside
  std::int64_t windows = 0;
  float* z = nullptr;         // (windows, channels)
  const float* dz = nullptr;  // (windows, channels)
  float* dx = nullptr;        // (h, w, channels)
};

}  // namespace bitcycle::cpu
