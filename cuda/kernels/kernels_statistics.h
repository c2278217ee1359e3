// SPDX-License-Identifier: Apache-2.0
// Batch-norm statistics of results that a product's own epilogue did not see.
#pragma once

#include "cuda/kernels/kernels_common.h"

namespace bitcycle::BITCYCLE_CUDA_NAMESPACE {

/// Statistics of y, whose exponents and empty sums prepare_forward has put there (7.2).
struct ChannelStatisticsKernel {
  static constexpr std::int64_t kMostSharedChannels = 1024;
  static constexpr const char* kName = "channel statistics";
  static constexpr int kThreads = 256;
  struct Args {
    const float* y;
    std::uint32_t size, channels;
    ChannelStatistics* statistics;
    std::int32_t *lo, *hi;
    std::uint32_t* arrivals;
  };
  struct Sums {
    std::int64_t s1, s2;
    std::int32_t lo, hi;
    float to_grid;
  };
  static int shared_bytes(std::int64_t channels) {
    return 16 + (channels <= kMostSharedChannels ? static_cast<int>(channels) * static_cast<int>(sizeof(Sums)) : 0);
  }
  BITCYCLE_DEVICE static void run(const Args& a) {
    auto* sums = shared_memory<Sums>(16);
    const bool in_shared = a.channels <= kMostSharedChannels;
    const auto stride = static_cast<std::uint32_t>(block_threads());
    if (in_shared) {
      for (auto c = static_cast<std::uint32_t>(thread_index()); c < a.channels; c += stride) {
        sums[c] = {0, 0, INT32_MAX, INT32_MIN, power_of_two(a.statistics[c].exponent)};
      }
      sync_threads();
    }
    for (std::uint32_t e = first_element(); e < a.size; e += grid_threads()) {
      const std::uint32_t c = e % a.channels;
      const float y = global_load(a.y + e);
      const std::int32_t key = ordered_key(y);
      const std::int64_t q = on_grid(y, in_shared ? sums[c].to_grid : power_of_two(a.statistics[c].exponent));
      const auto square = static_cast<std::int64_t>(static_cast<std::uint64_t>(q) * static_cast<std::uint64_t>(q));
      atomic_add(in_shared ? &sums[c].s1 : &a.statistics[c].s1, q);
      atomic_add(in_shared ? &sums[c].s2 : reinterpret_cast<std::int64_t*>(&a.statistics[c].s2), square);
      atomic_min(in_shared ? &sums[c].lo : a.lo + c, key);
      atomic_max(in_shared ? &sums[c].hi : a.hi + c, key);
    }
    if (in_shared) {
      sync_threads();
      for (auto c = static_cast<std::uint32_t>(thread_index()); c < a.channels; c += stride) {
        atomic_add(&a.statistics[c].s1, sums[c].s1);
        atomic_add(reinterpret_cast<std::int64_t*>(&a.statistics[c].s2), sums[c].s2);
        atomic_min(a.lo + c, sums[c].lo);
        atomic_max(a.hi + c, sums[c].hi);
      }
    }
    if (!last_block(a.arrivals, shared_memory<std::uint32_t>(0))) return;
    for (auto c = static_cast<std::uint32_t>(thread_index()); c < a.channels; c += stride) {
      const Range extremes = range_of_keys({atomic_load(a.lo + c), atomic_load(a.hi + c)});
      a.statistics[c].lo = extremes.lo;
      a.statistics[c].hi = extremes.hi;
    }
  }
};

}  // namespace bitcycle::BITCYCLE_CUDA_NAMESPACE
