// SPDX-License-Identifier: Apache-2.0
// Columns of matrices, moved as they are (sim/ops/columns.h).
#pragma once

#include "cuda/kernels/fast_divide.h"
#include "cuda/kernels/kernels_common.h"

namespace bitcycle::BITCYCLE_CUDA_NAMESPACE {

/// y(i, j) = x(j, i), 32 x 32 elements a block: neighbouring threads load neighbours of a row of x and store neighbours
/// of a row of y.
struct TransposeKernel {
  static constexpr const char* kName = "transpose";
  static constexpr int kThreads = 256, kSide = 32, kRowsAtOnce = kThreads / kSide;
  static constexpr int kPitch = kSide + 1;  // elements of a column lie in different banks
  static constexpr int kSharedBytes = kSide * kPitch * static_cast<int>(sizeof(float));
  struct Args {
    const float* x;
    float* y;
    std::int32_t rows, columns;  // of x
    std::int32_t column_tiles;
  };
  BITCYCLE_DEVICE static void run(const Args& a) {
    auto* tile = shared_memory<float>(0);
    const int first_row = block_index() / a.column_tiles * kSide, first_column = block_index() % a.column_tiles * kSide;
    const int lane = thread_index() % kSide;
    for (int r = thread_index() / kSide; r < kSide; r += kRowsAtOnce) {
      if (first_row + r >= a.rows || first_column + lane >= a.columns) continue;
      shared_store(tile + r * kPitch + lane,
                   global_load(a.x + static_cast<std::int64_t>(first_row + r) * a.columns + first_column + lane));
    }
    sync_threads();
    for (int c = thread_index() / kSide; c < kSide; c += kRowsAtOnce) {
      if (first_column + c >= a.columns || first_row + lane >= a.rows) continue;
      global_store(a.y + static_cast<std::int64_t>(first_column + c) * a.rows + first_row + lane,
                   shared_load(tile + lane * kPitch + c));
    }
  }
};

/// Columns of several matrices of as many rows, each to its place in another one.
struct CopyColumnsKernel {
  static constexpr const char* kName = "copy columns";
  static constexpr int kThreads = 256, kMost = 8;
  struct Part {
    const float* from;
    float* to;
    Divisor columns;                    // that are copied
    std::int32_t from_pitch, to_pitch;  // columns of either matrix
  };
  struct Args {
    Part parts[kMost];
    std::uint32_t count, rows;
  };
  BITCYCLE_DEVICE static void run(const Args& a) {
    for (std::uint32_t i = 0; i < a.count; ++i) {
      const Part& part = a.parts[i];
      const std::uint32_t size = a.rows * static_cast<std::uint32_t>(part.columns.value);
      for (std::uint32_t e = first_element(); e < size; e += grid_threads()) {
        auto column = static_cast<std::int32_t>(e);
        const std::int64_t row = divide(column, part.columns);
        global_store(part.to + row * part.to_pitch + column, global_load(part.from + row * part.from_pitch + column));
      }
    }
  }
};

}  // namespace bitcycle::BITCYCLE_CUDA_NAMESPACE
