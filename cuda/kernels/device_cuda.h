// SPDX-License-Identifier: Apache-2.0
// The few intrinsics that kernels are written with, as nvcc has them. cuda/host/device_host.h has the same
// functions for the CPU; kernels include neither by name (cuda/kernels/device.h) and differ in nothing.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#define BITCYCLE_DEVICE __device__ __forceinline__
#define BITCYCLE_DEVICE_CALL inline __device__ __noinline__  // rare and large: keeps its registers out of its caller
#define BITCYCLE_UNROLL _Pragma("unroll")                    // loops over arrays that must stay in registers
#define BITCYCLE_PRAGMA(text) _Pragma(#text)
#define BITCYCLE_UNROLL_BY(n) BITCYCLE_PRAGMA(unroll n)
#define BITCYCLE_CUDA_NAMESPACE cuda

namespace bitcycle::cuda {

BITCYCLE_DEVICE int thread_index() { return static_cast<int>(threadIdx.x); }
BITCYCLE_DEVICE int block_index() { return static_cast<int>(blockIdx.x); }
BITCYCLE_DEVICE int block_count() { return static_cast<int>(gridDim.x); }
BITCYCLE_DEVICE int block_threads() { return static_cast<int>(blockDim.x); }
BITCYCLE_DEVICE int lane_index() { return static_cast<int>(threadIdx.x & 31U); }
BITCYCLE_DEVICE void sync_threads() { __syncthreads(); }
BITCYCLE_DEVICE void sync_warp() { __syncwarp(); }
BITCYCLE_DEVICE void thread_fence() { __threadfence(); }

/// The block's shared memory from byte `offset` on.
template <typename T>
BITCYCLE_DEVICE T* shared_memory(int offset) {
  extern __shared__ uint4 bitcycle_shared[];
  return reinterpret_cast<T*>(reinterpret_cast<char*>(bitcycle_shared) + offset);
}

// Memory: every access of a kernel goes through these, so that the host layer can count it.
template <typename T>
BITCYCLE_DEVICE T global_load(const T* p) {
  return *p;
}
template <typename T>
BITCYCLE_DEVICE void global_store(T* p, T value) {
  *p = value;
}
template <typename T>
BITCYCLE_DEVICE T shared_load(const T* p) {
  return *p;
}
template <typename T>
BITCYCLE_DEVICE void shared_store(T* p, T value) {
  *p = value;
}

// Warp. `mask` names the lanes that take part; all of them must call.
template <typename T>
BITCYCLE_DEVICE T shuffle_xor(std::uint32_t mask, T value, int lane_mask) {
  return __shfl_xor_sync(mask, value, lane_mask);
}
/// The value of one lane.
template <typename T>
BITCYCLE_DEVICE T shuffle_from(std::uint32_t mask, T value, int lane) {
  return __shfl_sync(mask, value, lane);
}
BITCYCLE_DEVICE std::uint32_t ballot(std::uint32_t mask, bool value) { return __ballot_sync(mask, value); }

// Atomics, on global or shared memory; the old value is returned.
BITCYCLE_DEVICE std::int64_t atomic_add(std::int64_t* p, std::int64_t value) {
  return static_cast<std::int64_t>(
      atomicAdd(reinterpret_cast<unsigned long long*>(p), static_cast<unsigned long long>(value)));
}
BITCYCLE_DEVICE std::uint32_t atomic_add(std::uint32_t* p, std::uint32_t value) { return atomicAdd(p, value); }
BITCYCLE_DEVICE std::int32_t atomic_min(std::int32_t* p, std::int32_t value) { return atomicMin(p, value); }
BITCYCLE_DEVICE std::int32_t atomic_max(std::int32_t* p, std::int32_t value) { return atomicMax(p, value); }
BITCYCLE_DEVICE std::int64_t atomic_min(std::int64_t* p, std::int64_t value) {
  return static_cast<std::int64_t>(atomicMin(reinterpret_cast<long long*>(p), static_cast<long long>(value)));
}
BITCYCLE_DEVICE std::int64_t atomic_max(std::int64_t* p, std::int64_t value) {
  return static_cast<std::int64_t>(atomicMax(reinterpret_cast<long long*>(p), static_cast<long long>(value)));
}
/// A value that other blocks write with atomics.
template <typename T>
BITCYCLE_DEVICE T atomic_load(const T* p) {
  return *static_cast<const volatile T*>(p);
}

/// c + sum of the four unsigned products of bytes.
BITCYCLE_DEVICE std::uint32_t dot_bytes(std::uint32_t a, std::uint32_t b, std::uint32_t c) { return __dp4a(a, b, c); }
/// Bytes of {b, a} (b low) chosen by the four nibbles of selector, as PTX prmt.
BITCYCLE_DEVICE std::uint32_t permute_bytes(std::uint32_t a, std::uint32_t b, std::uint32_t selector) {
  return __byte_perm(a, b, selector);
}

/// The double of two words.
BITCYCLE_DEVICE double double_of_words(std::uint32_t high, std::uint32_t low) {
  return __hiloint2double(static_cast<int>(high), static_cast<int>(low));
}
/// The smaller, the larger; NaN where either is one. Of two zeros it may be any.
BITCYCLE_DEVICE float float_min(float a, float b) {
  float r;
  asm("min.NaN.f32 %0, %1, %2;" : "=f"(r) : "f"(a), "f"(b));
  return r;
}
BITCYCLE_DEVICE float float_max(float a, float b) {
  float r;
  asm("max.NaN.f32 %0, %1, %2;" : "=f"(r) : "f"(a), "f"(b));
  return r;
}

/// 16 bytes from global to shared memory, without waiting; zeros where not valid.
BITCYCLE_DEVICE void async_copy16(void* shared, const void* global, bool valid) {
  const auto to = static_cast<std::uint32_t>(__cvta_generic_to_shared(shared));
  const int bytes = valid ? 16 : 0;
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(global), "r"(bytes) : "memory");
}
BITCYCLE_DEVICE void async_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
/// Waits until at most `Pending` of this thread's committed groups are on their way.
template <int Pending>
BITCYCLE_DEVICE void async_wait() {
  asm volatile("cp.async.wait_group %0;" ::"n"(Pending) : "memory");
}

/// ldmatrix.x4: lane l gives the address of row l mod 8 of matrix l / 8 (16 bytes); r[j] gets word l mod 4 of row l / 4
/// of matrix j.
BITCYCLE_DEVICE void load_matrices(std::uint32_t (&r)[4], const void* row) {
  const auto address = static_cast<std::uint32_t>(__cvta_generic_to_shared(row));
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(address)
               : "memory");
}

/// ldmatrix.x4.trans: the same rows, read across: r[j] gets 16-bit elements l / 4 of rows 2 (l mod 4) and the next of
/// matrix j.
BITCYCLE_DEVICE void load_matrices_transposed(std::uint32_t (&r)[4], const void* row) {
  const auto address = static_cast<std::uint32_t>(__cvta_generic_to_shared(row));
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(address)
               : "memory");
}

/// d += a b for MT x NT tiles of mma.m16n8k32: a unsigned bytes, b unsigned or signed ones, 32-bit sums that wrap.
template <bool SignedB, int MT, int NT>
BITCYCLE_DEVICE void multiply_tiles(std::int32_t (&d)[MT][NT][4], const std::uint32_t (&a)[MT][4],
                                    const std::uint32_t (&b)[NT][2]) {
#pragma unroll
  for (int m = 0; m < MT; ++m) {
#pragma unroll
    for (int n = 0; n < NT; ++n) {
      if constexpr (SignedB) {
        asm volatile(
            "mma.sync.aligned.m16n8k32.row.col.s32.u8.s8.s32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
            "{%0, %1, %2, %3};"
            : "+r"(d[m][n][0]), "+r"(d[m][n][1]), "+r"(d[m][n][2]), "+r"(d[m][n][3])
            : "r"(a[m][0]), "r"(a[m][1]), "r"(a[m][2]), "r"(a[m][3]), "r"(b[n][0]), "r"(b[n][1]));
      } else {
        asm volatile(
            "mma.sync.aligned.m16n8k32.row.col.s32.u8.u8.s32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
            "{%0, %1, %2, %3};"
            : "+r"(d[m][n][0]), "+r"(d[m][n][1]), "+r"(d[m][n][2]), "+r"(d[m][n][3])
            : "r"(a[m][0]), "r"(a[m][1]), "r"(a[m][2]), "r"(a[m][3]), "r"(b[n][0]), "r"(b[n][1]));
      }
    }
  }
}

/// A kernel is a struct with Args, a name, kThreads and run(args). This is its launchable function, which the

}  // namespace bitcycle::cuda
