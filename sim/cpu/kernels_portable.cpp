// SPDX-License-Identifier: Apache-2.0
// Kernels in plain C++, for any machine: pairs of 16-bit words, 32-bit sums.
#include "sim/cpu/kernels.h"

namespace bitcycle::cpu {
namespace {

#include "sim/cpu/simd_portable.inl"
#include "sim/cpu/words.inl"
#include "sim/cpu/elementwise.inl"

void row_product(const RowProduct& row) {
  for (std::int64_t b = 0; b < row.blocks; ++b) {
    for (std::int64_t p = 0; p < row.pixels; ++p) {
      std::int32_t acc[kLanes] = {};
      const char* w = row.weights + b * row.block_stride;
      for (std::int64_t t = 0; t < row.taps; ++t) {
        const char* x = row.x + row.offsets[t] + 4 * p;
        for (std::int64_t g = 0; g < row.groups; ++g, x += row.plane, w += kBlockBytes) {
          std::int16_t pairs[2 * kLanes];
          __builtin_memcpy(pairs, w, sizeof pairs);
          const std::int32_t first = first_of(x), second = second_of(x);
          for (int lane = 0; lane < kLanes; ++lane) acc[lane] += pairs[2 * lane] * first + pairs[2 * lane + 1] * second;
        }
      }
      __builtin_memcpy(row.sums + (p * row.blocks + b) * kLanes, acc, sizeof acc);
    }
  }
}

void tap_gradient(const TapGradient& tap) {
  for (std::int64_t b = 0; b < tap.g_lanes / kLanes; ++b) {
    for (std::int64_t c = 0; c < tap.x_lanes; ++c) {
      std::int32_t acc[kLanes];
      std::int32_t* sums = tap.sums + (b * tap.x_lanes + c) * kLanes;
      __builtin_memcpy(acc, sums, sizeof acc);
      for (std::int64_t n = 0; n < tap.images; ++n) {
        for (std::int64_t r = 0; r < tap.rows; ++r) {
          const char* x = tap.x + n * tap.x_image + r * tap.x_row + 4 * c;
          const char* g = tap.g + n * tap.g_image + r * tap.g_row + b * kBlockBytes;
          for (std::int64_t s = 0; s < tap.steps; ++s, x += 4 * tap.x_lanes, g += 4 * tap.g_lanes) {
            std::int16_t pairs[2 * kLanes];
            __builtin_memcpy(pairs, g, sizeof pairs);
            const std::int32_t first = first_of(x), second = second_of(x);
            for (int lane = 0; lane < kLanes; ++lane) {
              acc[lane] += pairs[2 * lane] * first + pairs[2 * lane + 1] * second;
            }
          }
        }
      }
      __builtin_memcpy(sums, acc, sizeof acc);
    }
  }
}

#include "sim/cpu/tables.inl"

}  // namespace

const KernelTable kPortableKernels = table_named("portable");

}  // namespace bitcycle::cpu
