// SPDX-License-Identifier: Apache-2.0
// AVX-VNNI kernels, of processors that have vpdpbusd on 256 bits and no AVX-512: unsigned weights (or gradients) of 16
// lanes in two registers against a broadcast group of the signed operand. 32-bit sums do not overflow below 65,793
// terms.
// Compiled for x86_64: -mavx2 -mfma -mavxvnni
#include <immintrin.h>

#include "sim/cpu/kernels.h"

namespace bitcycle::cpu {
namespace {

// Each needs those before it.
// clang-format off
#include "sim/cpu/simd_avx2.inl"
#include "sim/cpu/fused_native.inl"
#include "sim/cpu/bytes256.inl"
#include "sim/cpu/elementwise.inl"
#include "sim/cpu/code_rows.inl"
#include "sim/cpu/max_pool.inl"
#include "sim/cpu/word_pairs_avx2.inl"
#include "sim/cpu/depthwise_staging.inl"
#include "sim/cpu/byte_quads_none.inl"
#include "sim/cpu/depthwise.inl"
#include "sim/cpu/depthwise_taps.inl"
// clang-format on

inline __m256i broadcast(const char* p) { return _mm256_set1_epi32(static_cast<int>(four_bytes(p))); }

template <int kPixels>
inline void product_tile(const RowProduct& row, std::int64_t b, std::int64_t p) {
  __m256i acc[kPixels][2];
#pragma GCC unroll 8
  for (int i = 0; i < kPixels; ++i) acc[i][0] = acc[i][1] = _mm256_setzero_si256();
  const char* w = row.weights + b * row.block_stride;
  for (std::int64_t t = 0; t < row.taps; ++t) {
    const char* x = row.x + row.offsets[t] + 4 * p;
    for (std::int64_t g = 0; g < row.groups; ++g, x += row.plane, w += kBlockBytes) {
      const __m256i w0 = load256(w), w1 = load256(w + 32);
#pragma GCC unroll 8
      for (int i = 0; i < kPixels; ++i) {
        const __m256i group = broadcast(x + 4 * i);
        acc[i][0] = _mm256_dpbusd_avx_epi32(acc[i][0], w0, group);
        acc[i][1] = _mm256_dpbusd_avx_epi32(acc[i][1], w1, group);
      }
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < kPixels; ++i) {
    std::int32_t* sums = row.sums + ((p + i) * row.blocks + b) * kLanes;
    store256(sums, acc[i][0]);
    store256(sums + 8, acc[i][1]);
  }
}

/// Six pixels fill the sixteen registers: twelve sums, two vectors of weights, one group.
void row_product(const RowProduct& row) {
  for (std::int64_t b = 0; b < row.blocks; ++b) {
    std::int64_t p = 0;
    for (; p + 6 <= row.pixels; p += 6) product_tile<6>(row, b, p);
    for (; p + 4 <= row.pixels; p += 4) product_tile<4>(row, b, p);
    for (; p + 2 <= row.pixels; p += 2) product_tile<2>(row, b, p);
    for (; p < row.pixels; ++p) product_tile<1>(row, b, p);
  }
}

void tap_gradient(const TapGradient& tap) {
  constexpr int kChannels = 4;
  for (std::int64_t b = 0; b < tap.g_lanes / kLanes; ++b) {
    for (std::int64_t c = 0; c < tap.x_lanes; c += kChannels) {
      std::int32_t* sums = tap.sums + (b * tap.x_lanes + c) * kLanes;
      __m256i acc[kChannels][2];
#pragma GCC unroll 4
      for (int i = 0; i < kChannels; ++i) {
        acc[i][0] = load256(sums + i * kLanes);
        acc[i][1] = load256(sums + i * kLanes + 8);
      }
      for (std::int64_t n = 0; n < tap.images; ++n) {
        for (std::int64_t r = 0; r < tap.rows; ++r) {
          const char* x = tap.x + n * tap.x_image + r * tap.x_row + 4 * c;
          const char* g = tap.g + n * tap.g_image + r * tap.g_row + b * kBlockBytes;
          for (std::int64_t s = 0; s < tap.steps; ++s, x += 4 * tap.x_lanes, g += 4 * tap.g_lanes) {
            const __m256i g0 = load256(g), g1 = load256(g + 32);
#pragma GCC unroll 4
            for (int i = 0; i < kChannels; ++i) {
              const __m256i group = broadcast(x + 4 * i);
              acc[i][0] = _mm256_dpbusd_avx_epi32(acc[i][0], g0, group);
              acc[i][1] = _mm256_dpbusd_avx_epi32(acc[i][1], g1, group);
            }
          }
        }
      }
#pragma GCC unroll 4
      for (int i = 0; i < kChannels; ++i) {
        store256(sums + i * kLanes, acc[i][0]);
        store256(sums + i * kLanes + 8, acc[i][1]);
      }
    }
  }
}

#include "sim/cpu/tables.inl"

}  // namespace

const KernelTable kAvxVnniKernels = table_named("avxvnni");

}  // namespace bitcycle::cpu
