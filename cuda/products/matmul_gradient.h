// SPDX-License-Identifier: Apache-2.0
// Weight gradients of matrices from byte codes, of one use or of several whose gradients are added in a written order
// (docs/numerics.md, 4.5 and 6.10): dw = fl(... fl(part 0 + part 1) ...), part = the rescaled integer product of its
// rows. A block makes 64 x 64 weights over all parts, which stay in registers; neighbouring rows of an operand are
// turned so that a channel's codes of 32 rows lie side by side.
#pragma once

#include "cuda/kernels/kernels_common.h"
#include "sim/ops/rescale.h"

namespace bitcycle::BITCYCLE_CUDA_NAMESPACE {

/// One part: codes of the gradient (rows, outputs) and of the activations (rows, inputs).
struct GradientPart {
  const std::uint8_t *g = nullptr, *x = nullptr;
  const Affine *g_grid = nullptr, *x_grid = nullptr;
};

struct MatmulGradientKernel {
  static constexpr const char* kName = "matrix weight gradient";
  static constexpr int kThreads = 128;
  static constexpr int kSide = 64, kDepth = 32, kPitch = kDepth + 16;
  static constexpr int kOutPitch = kSide + 1;
  static constexpr int kSharedBytes = kSide * kOutPitch * 4;
  static constexpr std::int64_t kMostRows = 33025;  // whose sums of 8 x 8 bits fit an int32
  struct Args {
    const GradientPart* parts;  // null: the one below
    GradientPart own;
    std::int32_t count, rows, outputs, inputs, column_tiles;
    float* dw;  // (outputs, inputs)
  };
  static_assert(kSharedBytes >= 2 * kSide * kPitch);

  /// Four channels of four neighbouring rows; zeros where there are none.
  BITCYCLE_DEVICE static void load(const std::uint8_t* codes, std::int32_t row, std::int32_t rows, std::int32_t channel,
                                   std::int32_t channels, std::uint32_t (&words)[4]) {
    BITCYCLE_UNROLL
    for (int i = 0; i < 4; ++i) {
      words[i] = row + i < rows && channel < channels
                     ? global_load(reinterpret_cast<const std::uint32_t*>(
                           codes + static_cast<std::int64_t>(row + i) * channels + channel))
                     : 0U;
    }
  }
  /// Channel j of the four goes to row 16 j + quad, so that neighbouring threads write neighbouring rows.
  BITCYCLE_DEVICE static void turn(const std::uint32_t (&w)[4], int quad, int row_quad, std::uint8_t* shared) {
    const std::uint32_t low0 = permute_bytes(w[0], w[1], 0x5140U), low1 = permute_bytes(w[2], w[3], 0x5140U);
    const std::uint32_t high0 = permute_bytes(w[0], w[1], 0x7362U), high1 = permute_bytes(w[2], w[3], 0x7362U);
    const std::uint32_t of[4] = {permute_bytes(low0, low1, 0x5410U), permute_bytes(low0, low1, 0x7632U),
                                 permute_bytes(high0, high1, 0x5410U), permute_bytes(high0, high1, 0x7632U)};
    BITCYCLE_UNROLL
    for (int j = 0; j < 4; ++j) {
      shared_store(reinterpret_cast<std::uint32_t*>(shared + (16 * j + quad) * kPitch) + row_quad, of[j]);
    }
  }
  BITCYCLE_DEVICE static int channel_of(int row) { return row % 16 * 4 + row / 16; }

  BITCYCLE_DEVICE static void run(const Args& a) {
    auto* g_shared = shared_memory<std::uint8_t>(0);
    auto* x_shared = shared_memory<std::uint8_t>(kSide * kPitch);
    const int o0 = block_index() / a.column_tiles * kSide, c0 = block_index() % a.column_tiles * kSide;
    const int lane = lane_index(), warp = thread_index() / 32, quad = thread_index() % 16,
              row_quad = thread_index() / 16;
    const int warp_o = warp / 2 * 32, warp_c = warp % 2 * 32;
    const int chunks = (a.rows + kDepth - 1) / kDepth;
    float total[2][4][4];
    std::uint32_t g_words[4], x_words[4];
    const auto part_at = [&](int t) { return a.parts == nullptr ? a.own : a.parts[t]; };
    const auto fetch = [&](int step) {
      const GradientPart part = part_at(step / chunks);
      const int row = step % chunks * kDepth + 4 * row_quad;
      load(part.g, row, a.rows, o0 + 4 * quad, a.outputs, g_words);
      load(part.x, row, a.rows, c0 + 4 * quad, a.inputs, x_words);
    };
    const std::uint32_t ones_a[1][4] = {{0x01010101U, 0x01010101U, 0x01010101U, 0x01010101U}};
    const std::uint32_t ones_b[1][2] = {{0x01010101U, 0x01010101U}};
    const int steps = a.count * chunks;
    if (steps > 0) fetch(0);
    for (int t = 0; t < a.count; ++t) {
      std::int32_t sums[2][4][4] = {}, g_sums[2][1][4] = {}, x_sums[1][4][4] = {};
      for (int chunk = 0; chunk < chunks; ++chunk) {
        sync_threads();
        turn(g_words, quad, row_quad, g_shared);
        turn(x_words, quad, row_quad, x_shared);
        sync_threads();
        if (t * chunks + chunk + 1 < steps) fetch(t * chunks + chunk + 1);
        std::uint32_t g[2][4], x[4][2];
        BITCYCLE_UNROLL
        for (int m = 0; m < 2; ++m) {
          load_matrices(g[m], g_shared + (warp_o + 16 * m + lane % 16) * kPitch + 16 * (lane / 16));
        }
        BITCYCLE_UNROLL
        for (int n = 0; n < 4; n += 2) {
          std::uint32_t r[4];
          load_matrices(r, x_shared + (warp_c + 8 * n + lane % 8 + 8 * (lane / 16)) * kPitch + 16 * (lane / 8 % 2));
          x[n][0] = r[0];
          x[n][1] = r[1];
          x[n + 1][0] = r[2];
          x[n + 1][1] = r[3];
        }
        multiply_tiles<false, 2, 4>(sums, g, x);
        multiply_tiles<false, 2, 1>(g_sums, g, ones_b);
        multiply_tiles<false, 1, 4>(x_sums, ones_a, x);
      }
      const GradientPart part = part_at(t);
      const WeightGradientScale scale = weight_gradient_scale(*part.g_grid, *part.x_grid);
      const auto terms = static_cast<double>(a.rows);
      BITCYCLE_UNROLL
      for (int n = 0; n < 4; ++n) {
        double rest[2];
        BITCYCLE_UNROLL
        for (int j = 0; j < 2; ++j) rest[j] = weight_gradient_rest(scale, static_cast<double>(x_sums[0][n][j]), terms);
        BITCYCLE_UNROLL
        for (int m = 0; m < 2; ++m) {
          BITCYCLE_UNROLL
          for (int i = 0; i < 4; ++i) {
            const auto dw = static_cast<float>(fma(scale.a, static_cast<double>(sums[m][n][i]),
                                                   fma(scale.b, static_cast<double>(g_sums[m][0][i]), rest[i % 2])));
            total[m][n][i] = t == 0 ? dw : total[m][n][i] + dw;
          }
        }
      }
    }
    auto* out = shared_memory<float>(0);
    sync_threads();
    BITCYCLE_UNROLL
    for (int m = 0; m < 2; ++m) {
      BITCYCLE_UNROLL
      for (int n = 0; n < 4; ++n) {
        BITCYCLE_UNROLL
        for (int i = 0; i < 4; ++i) {
          const int o = channel_of(warp_o + 16 * m + lane / 4 + 8 * (i / 2));
          const int c = channel_of(warp_c + 8 * n + 2 * (lane % 4) + i % 2);
          shared_store(out + o * kOutPitch + c, total[m][n][i]);
        }
      }
    }
    sync_threads();
    for (int i = thread_index(); i < kSide * kSide; i += kThreads) {
      const int o = o0 + i / kSide, c = c0 + i % kSide;
      if (o >= a.outputs || c >= a.inputs) continue;
      global_store(a.dw + static_cast<std::int64_t>(o) * a.inputs + c,
                   shared_load(out + i / kSide * kOutPitch + i % kSide));
    }
  }
};

}  // namespace bitcycle::BITCYCLE_CUDA_NAMESPACE
