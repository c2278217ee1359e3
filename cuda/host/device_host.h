// SPDX-License-Identifier: Apache-2.0
// The intrinsics of cuda/kernels/device_cuda.h on the CPU: the same names, the semantics of the PTX ISA. A block's
// threads are fibres of one thread (block_scheduler.h); what a warp does together happens when its last lane arrives.
#pragma once

#include <atomic>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>

#include "cuda/host/block_scheduler.h"

#define BITCYCLE_DEVICE inline
#define BITCYCLE_DEVICE_CALL inline
#define BITCYCLE_UNROLL
#define BITCYCLE_UNROLL_BY(n)
#define BITCYCLE_CUDA_NAMESPACE cuda_on_host

namespace bitcycle::cuda_on_host {

inline int thread_index() { return current_thread().index; }
inline int block_index() { return current_block().index(); }
inline int block_count() { return current_block().count(); }
inline int block_threads() { return current_block().threads(); }
inline int lane_index() { return current_thread().lane; }
inline void sync_threads() { current_block().barrier(); }
inline void sync_warp() {
  const bool arrived = true;
  std::uint32_t lanes = 0;
  current_block().collective({{Collective::kBallot, 0, 0, 0, 0xFFFFFFFFU}, &arrived, nullptr, &lanes});
}
inline void thread_fence() { std::atomic_thread_fence(std::memory_order_seq_cst); }

template <typename T>
T* shared_memory(int offset) {
  return reinterpret_cast<T*>(current_block().shared() + offset);
}

template <typename T>
T global_load(const T* p, const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
  if constexpr (sizeof(T) == 16) current_block().require_aligned(p);
  current_block().global_access(p, sizeof(T), {file, line});
  return *p;
}
template <typename T>
void global_store(T* p, T value, const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
  if constexpr (sizeof(T) == 16) current_block().require_aligned(p);
  current_block().global_access(p, sizeof(T), {file, line});
  *p = value;
}
template <typename T>
T shared_load(const T* p, const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
  if constexpr (sizeof(T) == 16) current_block().require_aligned(p);
  current_block().shared_access(p, sizeof(T), {file, line});
  return *p;
}
template <typename T>
void shared_store(T* p, T value, const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
  if constexpr (sizeof(T) == 16) current_block().require_aligned(p);
  current_block().shared_access(p, sizeof(T), {file, line});
  *p = value;
}

/// choice: the mask that lanes' numbers are crossed with, or the lane whose value all get.
template <typename T>
T shuffle(Collective::Kind kind, std::uint32_t mask, T value, int choice) {
  static_assert(sizeof(T) == 4 || sizeof(T) == 8);
  T result{};
  current_block().collective(
      {{kind, sizeof(T), static_cast<std::uint8_t>(choice & 31), 0, mask}, &value, nullptr, &result});
  return result;
}
template <typename T>
T shuffle_xor(std::uint32_t mask, T value, int lane_mask) {
  return shuffle(Collective::kShuffle, mask, value, lane_mask);
}
template <typename T>
T shuffle_from(std::uint32_t mask, T value, int lane) {
  return shuffle(Collective::kShuffleFrom, mask, value, lane);
}
inline std::uint32_t ballot(std::uint32_t mask, bool value) {
  std::uint32_t result = 0;
  current_block().collective({{Collective::kBallot, 0, 0, 0, mask}, &value, nullptr, &result});
  return result;
}

template <typename T>
T atomic_add(T* p, T value) {
  return std::atomic_ref<T>(*p).fetch_add(value);
}
template <typename T>
T atomic_min(T* p, T value) {
  std::atomic_ref<T> at(*p);
  T old = at.load();
  while (value < old && !at.compare_exchange_weak(old, value)) {
  }
  return old;
}
template <typename T>
T atomic_max(T* p, T value) {
  std::atomic_ref<T> at(*p);
  T old = at.load();
  while (value > old && !at.compare_exchange_weak(old, value)) {
  }
  return old;
}
template <typename T>
T atomic_load(const T* p) {
  return std::atomic_ref<T>(*const_cast<T*>(p)).load();
}

inline std::uint32_t dot_bytes(std::uint32_t a, std::uint32_t b, std::uint32_t c) {
  for (int i = 0; i < 4; ++i) c += ((a >> (8 * i)) & 255U) * ((b >> (8 * i)) & 255U);
  return c;
}
inline std::uint32_t permute_bytes(std::uint32_t a, std::uint32_t b, std::uint32_t selector) {
  const std::uint64_t bytes = (std::uint64_t{b} << 32) | a;
  std::uint32_t result = 0;
  for (int i = 0; i < 4; ++i) {
    const std::uint32_t choice = (selector >> (4 * i)) & 15U;
    auto byte = static_cast<std::uint32_t>(bytes >> (8 * (choice & 7U))) & 255U;
    if ((choice & 8U) != 0) byte = (byte & 128U) != 0 ? 255U : 0U;  // the sign, replicated
    result |= byte << (8 * i);
  }
  return result;
}

inline double double_of_words(std::uint32_t high, std::uint32_t low) {
  return std::bit_cast<double>(std::uint64_t{high} << 32 | low);
}
inline float float_min(float a, float b) { return a != a || b != b ? std::nanf("") : (b < a ? b : a); }
inline float float_max(float a, float b) { return a != a || b != b ? std::nanf("") : (b > a ? b : a); }

/// The copy happens when it is waited for, not before: a kernel that forgets to wait reads what was there. With a seed
/// some happen at once: a kernel that copies over what others still read spoils it.
inline void async_copy16(void* shared, const void* global, bool valid, const char* file = __builtin_FILE(),
                         int line = __builtin_LINE()) {
  current_block().shared_access(shared, 16, {file, line});
  if (valid) current_block().global_access(global, 16, {file, line});
  current_block().require_aligned(shared);
  if (valid) current_block().require_aligned(global);
  if (current_block().lands_early()) {
    if (valid) {
      std::memcpy(shared, global, 16);
    } else {
      std::memset(shared, 0, 16);
    }
    return;
  }
  current_thread().copies.push_back({shared, valid ? global : nullptr});
}
inline void async_commit() { current_thread().groups.push_back(current_thread().copies.size()); }
template <int Pending>
void async_wait() {
  current_thread().finish_copies(Pending);
}

inline void load_matrices(Collective::Kind kind, std::uint32_t (&r)[4], const void* row, Site site) {
  current_block().shared_access(row, 16, site);
  current_block().require_aligned(row);
  current_block().collective({{kind, 0, 0, 0, 0xFFFFFFFFU}, row, nullptr, r});
}
inline void load_matrices(std::uint32_t (&r)[4], const void* row, const char* file = __builtin_FILE(),
                          int line = __builtin_LINE()) {
  load_matrices(Collective::kMatrices, r, row, {file, line});
}
inline void load_matrices_transposed(std::uint32_t (&r)[4], const void* row, const char* file = __builtin_FILE(),
                                     int line = __builtin_LINE()) {
  load_matrices(Collective::kMatricesTransposed, r, row, {file, line});
}

template <bool SignedB, int MT, int NT>
void multiply_tiles(std::int32_t (&d)[MT][NT][4], const std::uint32_t (&a)[MT][4], const std::uint32_t (&b)[NT][2]) {
  constexpr auto kKind = SignedB ? Collective::kMultiplySigned : Collective::kMultiply;
  current_block().collective({{kKind, 0, MT, NT, 0xFFFFFFFFU}, a, b, d});
}

}  // namespace bitcycle::cuda_on_host
