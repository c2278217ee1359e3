// SPDX-License-Identifier: Apache-2.0
// Sums along a row in one written order that vectors and warps both like (docs/numerics.md, 6.12): element i belongs to
// lane i mod 32, each lane is one ascending sum from +0, and the lanes are added by a fixed tree, lane l with l + 16,
// then 8, 4, 2, 1.
#pragma once

#include <cstdint>

#include "sim/number/host_device.h"

namespace bitcycle {

inline constexpr int kRowLanes = 32;

template <typename Float>
BITCYCLE_HD Float join_lanes(Float* lanes) {
  for (int half = kRowLanes / 2; half > 0; half /= 2) {
    for (int l = 0; l < half; ++l) lanes[l] = lanes[l] + lanes[l + half];
  }
  return lanes[0];
}

/// add(lane's sum so far, i) for i below `count`, then the lanes' total.
template <typename Float, typename Add>
BITCYCLE_HD Float row_sum(std::int64_t count, Add add) {
  Float lanes[kRowLanes] = {};
  for (std::int64_t i = 0; i < count; ++i) lanes[i % kRowLanes] = add(lanes[i % kRowLanes], i);
  return join_lanes(lanes);
}

}  // namespace bitcycle
