// SPDX-License-Identifier: Apache-2.0
// What kernels share: grid-stride loops over quads, codes of any container, reductions, the last block of a grid.
#pragma once

#include <cstdint>

#include "cuda/kernels/device.h"
#include "sim/device/kernel_library.h"
#include "sim/number/ordered_key.h"

namespace bitcycle::BITCYCLE_CUDA_NAMESPACE {

constexpr std::uint32_t kAllLanes = 0xFFFFFFFFU;
constexpr int kThreads = 256;

/// Device memory that the launches of a step's main sequence share; launches of branches have their own. Between
/// launches it is as it was made.
struct Scratch {
  std::int32_t lo = INT32_MAX, hi = INT32_MIN;  // keys of a range
  std::uint32_t arrivals = 0;
  std::uint32_t step = 0;  // of this step's random streams
  std::int64_t first = INT64_MAX;
};

BITCYCLE_DEVICE std::uint32_t first_element() {
  return (static_cast<std::uint32_t>(block_index()) * static_cast<std::uint32_t>(block_threads()) +
          static_cast<std::uint32_t>(thread_index()));
}
BITCYCLE_DEVICE std::uint32_t grid_threads() {
  return static_cast<std::uint32_t>(block_count()) * static_cast<std::uint32_t>(block_threads());
}

/// A width as a launch carries it: where the step's record of it is in device memory, or, where there is none, the
/// width itself. A launch with a record stays the same from step to step.
struct LaunchWidth {
  const BitWidth* record = nullptr;
  BitWidth given;
  constexpr LaunchWidth() = default;
  constexpr LaunchWidth(BitWidth width, const BitWidth* width_record)
      : record(width_record), given(width_record == nullptr ? width : BitWidth()) {}
  BITCYCLE_DEVICE BitWidth get() const { return record == nullptr ? given : *record; }
};
/// Arguments with a width, as a launch carries them: without the width where there is a record of it.
template <typename T>
T without_recorded_width(T args) {
  if (args.width_record != nullptr) args.width = BitWidth();
  return args;
}
/// The same with the width, for a kernel to begin with.
template <typename T>
BITCYCLE_DEVICE T with_recorded_width(T args) {
  if (args.width_record != nullptr) args.width = *args.width_record;
  return args;
}
BITCYCLE_DEVICE LaunchWidth with_recorded_width(const LaunchWidth& width) { return {width.get(), nullptr}; }
/// The same for members of arguments: with_recorded_widths<&Args::x, &Args::weight_width>(args).
template <auto... Members, typename Args>
BITCYCLE_DEVICE Args with_recorded_widths(Args args) {
  ((args.*Members = with_recorded_width(args.*Members)), ...);
  return args;
}

struct alignas(16) Quad {
  float v[4];
};
struct alignas(16) Word4 {
  std::uint32_t v[4];
};
template <typename T>
struct alignas(2 * sizeof(T)) Pair {
  T v[2];
};
BITCYCLE_DEVICE bool is_aligned(const void* p, std::uintptr_t bytes) {
  return (reinterpret_cast<std::uintptr_t>(p) & (bytes - 1)) == 0;
}
/// Elements e..e+3, 0 beyond size.
BITCYCLE_DEVICE Quad load_quad(const float* p, std::uint32_t e, std::uint32_t size) {
  if (size - e >= 4 && is_aligned(p + e, 16)) return global_load(reinterpret_cast<const Quad*>(p + e));
  Quad q{};
  for (std::uint32_t j = 0; j < 4 && e + j < size; ++j) q.v[j] = global_load(p + e + j);
  return q;
}
BITCYCLE_DEVICE void store_quad(float* p, std::uint32_t e, std::uint32_t size, const Quad& q) {
  if (size - e >= 4 && is_aligned(p + e, 16)) {
    global_store(reinterpret_cast<Quad*>(p + e), q);
    return;
  }
  for (std::uint32_t j = 0; j < 4 && e + j < size; ++j) global_store(p + e + j, q.v[j]);
}

BITCYCLE_DEVICE std::uint32_t load_code(const void* codes, Container container, std::int64_t i) {
  switch (container) {
    case Container::kUint8: return global_load(static_cast<const std::uint8_t*>(codes) + i);
    case Container::kUint16: return global_load(static_cast<const std::uint16_t*>(codes) + i);
    default: return global_load(static_cast<const std::uint32_t*>(codes) + i);
  }
}
/// Value of an operand's element: the float itself, or fl(fma64(step, q, lo)) (docs/numerics.md, 1.5).
BITCYCLE_DEVICE float load_value(const void* codes, BitWidth width, const Affine& affine, std::int64_t i) {
  if (width.is_float32()) return global_load(static_cast<const float*>(codes) + i);
  return static_cast<float>(dequantise(load_code(codes, width.container(), i), affine));
}
/// Codes, or values, of elements e..e+3.
BITCYCLE_DEVICE void store_codes(const Operand& operand, const Affine& affine, std::uint32_t e, std::uint32_t size,
                                 const Quad& x, const Quad& noise) {
  if (operand.width.is_float32()) {
    store_quad(static_cast<float*>(operand.codes), e, size, x);
    return;
  }
  std::uint32_t q[4];
  for (int j = 0; j < 4; ++j) q[j] = quantise(x.v[j], affine, operand.width, noise.v[j]);
  const std::uint32_t count = size - e < 4 ? size - e : 4;
  switch (operand.width.container()) {
    case Container::kUint8: {
      auto* codes = static_cast<std::uint8_t*>(operand.codes) + e;
      if (count == 4) {
        global_store(reinterpret_cast<std::uint32_t*>(codes), q[0] | (q[1] << 8) | (q[2] << 16) | (q[3] << 24));
      } else {
        for (std::uint32_t j = 0; j < count; ++j) global_store(codes + j, static_cast<std::uint8_t>(q[j]));
      }
      return;
    }
    case Container::kUint16: {
      auto* codes = static_cast<std::uint16_t*>(operand.codes) + e;
      for (std::uint32_t j = 0; j < count; ++j) global_store(codes + j, static_cast<std::uint16_t>(q[j]));
      return;
    }
    default: {
      auto* codes = static_cast<std::uint32_t*>(operand.codes) + e;
      for (std::uint32_t j = 0; j < count; ++j) global_store(codes + j, q[j]);
    }
  }
}

/// Channels of a thread's four neighbouring elements as it goes round the grid, without a division a round. Where the
/// grid's stride is a multiple of the channels, as it is for powers of two, a thread keeps its channels.
struct ChannelCursor {
  std::uint32_t channel, stride, channels;
  BITCYCLE_DEVICE ChannelCursor(std::uint32_t first, std::uint32_t stride_of_elements, std::uint32_t count)
      : channel(count == 0 ? 0 : first % count), stride(count == 0 ? 0 : stride_of_elements % count), channels(count) {}
  BITCYCLE_DEVICE void next() {
    channel += stride;
    if (channel >= channels) channel -= channels;
  }
  /// Channel of element j of the four.
  BITCYCLE_DEVICE std::uint32_t of(int j) const {
    std::uint32_t c = channel + static_cast<std::uint32_t>(j);
    while (c >= channels) c -= channels;
    return c;
  }
};

/// A warp's extremes, in every lane. Every lane calls.
BITCYCLE_DEVICE KeyRange warp_range(KeyRange keys) {
  for (int m = 16; m > 0; m /= 2) {
    const KeyRange other{shuffle_xor(kAllLanes, keys.lo, m), shuffle_xor(kAllLanes, keys.hi, m)};
    include(keys, other);
  }
  return keys;
}
/// A largest magnitude, as its key, to where all blocks' meet. Every lane calls.
BITCYCLE_DEVICE void merge_magnitude(std::int32_t key, std::int32_t* largest) {
  for (int m = 16; m > 0; m /= 2) {
    const std::int32_t other = shuffle_xor(kAllLanes, key, m);
    key = other > key ? other : key;
  }
  if (lane_index() == 0 && key > atomic_load(largest)) atomic_max(largest, key);
}

/// True in all threads of the last of `blocks` blocks that come here; all blocks' writes before are visible to it.
/// `shared`: one word of shared memory that nothing else uses. The counter is left as it was found, 0.
BITCYCLE_DEVICE bool last_block(std::uint32_t* arrivals, std::uint32_t* shared, int blocks = block_count()) {
  thread_fence();
  sync_threads();
  if (thread_index() == 0) {
    const bool last = atomic_add(arrivals, 1U) == static_cast<std::uint32_t>(blocks) - 1U;
    if (last) global_store(arrivals, 0U);
    shared_store(shared, last ? 1U : 0U);
    thread_fence();
  }
  sync_threads();
  return shared_load(shared) != 0;
}

/// Extremes over a grid: threads' to warps', warps' to the block's in shared memory, one atomic a block.
struct GridRange {
  struct Shared {
    std::int32_t lo[32], hi[32];  // of warps
    std::uint32_t last;
  };
  /// Every thread calls, with its own extremes. True in thread 0 of the last block, where `range` is the grid's.
  BITCYCLE_DEVICE static bool finish(KeyRange keys, Scratch* scratch, Shared* shared, Range* range) {
    keys = warp_range(keys);
    const int warps = block_threads() / 32;
    if (lane_index() == 0) {
      shared_store(&shared->lo[thread_index() / 32], keys.lo);
      shared_store(&shared->hi[thread_index() / 32], keys.hi);
    }
    sync_threads();
    if (thread_index() == 0) {
      for (int w = 1; w < warps; ++w) include(keys, KeyRange{shared_load(&shared->lo[w]), shared_load(&shared->hi[w])});
      atomic_min(&scratch->lo, keys.lo);
      atomic_max(&scratch->hi, keys.hi);
    }
    if (!last_block(&scratch->arrivals, &shared->last) || thread_index() != 0) return false;
    *range = range_of_keys({atomic_load(&scratch->lo), atomic_load(&scratch->hi)});
    global_store(&scratch->lo, INT32_MAX);
    global_store(&scratch->hi, INT32_MIN);
    return true;
  }
};

/// Which taps exist at a position depends on its row and its column alone: positions fall into classes, one for each
/// pair of a set of rows' taps and a set of columns' taps. Device memory.
struct ClassMap {
  const std::int32_t* row_class = nullptr;     // (height)
  const std::int32_t* column_class = nullptr;  // (width)
  const std::uint32_t* row_taps = nullptr;     // (rows): bit kh
  const std::uint32_t* column_taps = nullptr;  // (columns): bit kw
  const std::uint64_t* taps = nullptr;         // (rows, columns): bit kh * width + kw, of kernels of at most 64 taps
  std::int32_t rows = 0, columns = 0;          // classes of each
  BITCYCLE_DEVICE int of(int h, int w) const {
    return global_load(row_class + h) * columns + global_load(column_class + w);
  }
  BITCYCLE_DEVICE bool has(int position_class, int kh, int kw) const {
    return ((global_load(row_taps + position_class / columns) >> kh) & 1U) != 0 &&
           ((global_load(column_taps + position_class % columns) >> kw) & 1U) != 0;
  }
};

}  // namespace bitcycle::BITCYCLE_CUDA_NAMESPACE
