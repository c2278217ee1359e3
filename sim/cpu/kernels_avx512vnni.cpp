// SPDX-License-Identifier: Apache-2.0
// AVX-512 VNNI kernels: vpdpbusd on groups of four bytes, unsigned weights (or gradients) in a register, 16 lanes,
// against a broadcast group of the signed operand; 16 sums in registers. 32-bit sums do not overflow below 65,793
// terms.
// Compiled for x86_64: -mavx512f -mavx512bw -mavx512vl -mavx512dq -mavx512vnni -mavx512vbmi
// Compiled for x86_64: -mavx2 -mfma -mprefer-vector-width=512
#include <immintrin.h>

#include "sim/cpu/kernels.h"

namespace bitcycle::cpu {
namespace {

// Each needs those before it.
// clang-format off
#include "sim/cpu/simd_avx512.inl"
#include "sim/cpu/fused_native.inl"
#include "sim/cpu/bytes.inl"
#include "sim/cpu/elementwise.inl"
#include "sim/cpu/code_rows.inl"
#include "sim/cpu/max_pool.inl"
#include "sim/cpu/word_pairs_avx512.inl"
#include "sim/cpu/depthwise_staging.inl"
#include "sim/cpu/byte_quads_avx512.inl"
#include "sim/cpu/depthwise.inl"
#include "sim/cpu/depthwise_3x3_avx512.inl"
#include "sim/cpu/depthwise_taps.inl"
// clang-format on

inline __m512i broadcast(const char* p) { return _mm512_set1_epi32(static_cast<int>(four_bytes(p))); }

/// kPixels x kBlocks sums of 16 lanes, all in registers.
template <int kPixels, int kBlocks>
inline void product_tile(const RowProduct& row, std::int64_t b, std::int64_t p) {
  __m512i acc[kPixels][kBlocks];
#pragma GCC unroll 16
  for (int i = 0; i < kPixels; ++i) {
#pragma GCC unroll 4
    for (int j = 0; j < kBlocks; ++j) acc[i][j] = _mm512_setzero_si512();
  }
  const char* w = row.weights + b * row.block_stride;
  for (std::int64_t t = 0; t < row.taps; ++t) {
    const char* x = row.x + row.offsets[t] + 4 * p;
    for (std::int64_t g = 0; g < row.groups; ++g, x += row.plane, w += kBlockBytes) {
      __m512i weights[kBlocks];
#pragma GCC unroll 4
      for (int j = 0; j < kBlocks; ++j) weights[j] = _mm512_loadu_si512(w + j * row.block_stride);
#pragma GCC unroll 16
      for (int i = 0; i < kPixels; ++i) {
        const __m512i group = broadcast(x + 4 * i);
#pragma GCC unroll 4
        for (int j = 0; j < kBlocks; ++j) acc[i][j] = _mm512_dpbusd_epi32(acc[i][j], weights[j], group);
      }
    }
  }
#pragma GCC unroll 16
  for (int i = 0; i < kPixels; ++i) {
#pragma GCC unroll 4
    for (int j = 0; j < kBlocks; ++j) {
      _mm512_storeu_si512(row.sums + ((p + i) * row.blocks + b + j) * kLanes, acc[i][j]);
    }
  }
}

void row_product(const RowProduct& row) {
  std::int64_t b = 0;
  for (; b + 2 <= row.blocks; b += 2) {
    std::int64_t p = 0;
    for (; p + 8 <= row.pixels; p += 8) product_tile<8, 2>(row, b, p);
    for (; p + 4 <= row.pixels; p += 4) product_tile<4, 2>(row, b, p);
    for (; p < row.pixels; ++p) product_tile<1, 2>(row, b, p);
  }
  if (b == row.blocks) return;
  std::int64_t p = 0;
  for (; p + 16 <= row.pixels; p += 16) product_tile<16, 1>(row, b, p);
  for (; p + 4 <= row.pixels; p += 4) product_tile<4, 1>(row, b, p);
  for (; p < row.pixels; ++p) product_tile<1, 1>(row, b, p);
}

template <int kChannels, int kBlocks>
inline void gradient_tile(const TapGradient& tap, std::int64_t b, std::int64_t c) {
  const std::int64_t block = tap.x_lanes * kLanes;
  std::int32_t* sums = tap.sums + b * block + c * kLanes;
  __m512i acc[kChannels][kBlocks];
#pragma GCC unroll 16
  for (int i = 0; i < kChannels; ++i) {
#pragma GCC unroll 4
    for (int j = 0; j < kBlocks; ++j) acc[i][j] = _mm512_loadu_si512(sums + j * block + i * kLanes);
  }
  const std::int64_t x_step = 4 * tap.x_lanes, g_step = 4 * tap.g_lanes;
  for (std::int64_t n = 0; n < tap.images; ++n) {
    for (std::int64_t r = 0; r < tap.rows; ++r) {
      const char* x = tap.x + n * tap.x_image + r * tap.x_row + 4 * c;
      const char* g = tap.g + n * tap.g_image + r * tap.g_row + b * kBlockBytes;
      for (std::int64_t s = 0; s < tap.steps; ++s, x += x_step, g += g_step) {
        __m512i gradients[kBlocks];
#pragma GCC unroll 4
        for (int j = 0; j < kBlocks; ++j) gradients[j] = _mm512_loadu_si512(g + j * kBlockBytes);
#pragma GCC unroll 16
        for (int i = 0; i < kChannels; ++i) {
          const __m512i group = broadcast(x + 4 * i);
#pragma GCC unroll 4
          for (int j = 0; j < kBlocks; ++j) acc[i][j] = _mm512_dpbusd_epi32(acc[i][j], gradients[j], group);
        }
      }
    }
  }
#pragma GCC unroll 16
  for (int i = 0; i < kChannels; ++i) {
#pragma GCC unroll 4
    for (int j = 0; j < kBlocks; ++j) _mm512_storeu_si512(sums + j * block + i * kLanes, acc[i][j]);
  }
}

void tap_gradient(const TapGradient& tap) {
  for (std::int64_t b = 0; b < tap.g_lanes / kLanes; ++b) {
    std::int64_t c = 0;
    for (; c + 16 <= tap.x_lanes; c += 16) gradient_tile<16, 1>(tap, b, c);
    for (; c < tap.x_lanes; c += 4) gradient_tile<4, 1>(tap, b, c);
  }
}

#include "sim/cpu/tables.inl"

}  // namespace

const KernelTable kAvx512VnniKernels = table_named("avx512vnni");

}  // namespace bitcycle::cpu
