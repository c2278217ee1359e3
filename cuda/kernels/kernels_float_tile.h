// SPDX-License-Identifier: Apache-2.0
// Products in float32 without groups, all three passes (docs/numerics.md, 6.2): a block a tile of the result, whose
// sums stay in registers. Every sum is one fma chain in the written order, so a tile's depth is walked in that order
// too, in chunks that go through shared memory. Taps that do not exist are left out of the chain and not multiplied by
// zero: that would turn -0 into +0, and an infinite operand into NaN.
#pragma once

#include "cuda/kernels/fast_divide.h"
#include "cuda/kernels/kernels_direct.h"

namespace bitcycle::BITCYCLE_CUDA_NAMESPACE {

/// A tile: kRows x kColumns sums, kDepth terms a chunk; a thread has kThreadRows x 4 of the sums.
struct FloatTile {
  static constexpr int kThreads = 128, kRows = 64, kColumns = 64, kDepth = 16, kThreadRows = 8;
  static constexpr int kPitch = kRows + 4;                  // a row of a chunk in shared memory, 16-byte aligned
  static constexpr int kLoads = kRows * kDepth / kThreads;  // elements of an operand's chunk, a thread
  static constexpr int kChunkFloats = 2 * kDepth * kPitch;  // of both operands
  static_assert(kRows == kColumns && kThreads == kRows / kThreadRows * kColumns / 4);

  BITCYCLE_DEVICE static int first_row() { return thread_index() / (kColumns / 4) * kThreadRows; }
  BITCYCLE_DEVICE static int first_column() { return thread_index() % (kColumns / 4) * 4; }
};

using FloatSums = float[FloatTile::kThreadRows][4];

/// One term of all sums of a thread; `exists(r, c)`.
template <typename Exists>
BITCYCLE_DEVICE void add_float_term(FloatSums& sums, const float* rows, const float* columns, const Exists& exists) {
  float a[FloatTile::kThreadRows], b[4];
  BITCYCLE_UNROLL
  for (int q = 0; q < FloatTile::kThreadRows; q += 4) {
    const Quad quad = shared_load(reinterpret_cast<const Quad*>(rows + FloatTile::first_row() + q));
    BITCYCLE_UNROLL
    for (int j = 0; j < 4; ++j) a[q + j] = quad.v[j];
  }
  const Quad quad = shared_load(reinterpret_cast<const Quad*>(columns + FloatTile::first_column()));
  BITCYCLE_UNROLL
  for (int j = 0; j < 4; ++j) b[j] = quad.v[j];
  BITCYCLE_UNROLL
  for (int r = 0; r < FloatTile::kThreadRows; ++r) {
    BITCYCLE_UNROLL
    for (int c = 0; c < 4; ++c) {
      if (exists(r, c)) sums[r][c] = fmaf(a[r], b[c], sums[r][c]);
    }
  }
}
/// The terms of a chunk, all of which exist.
BITCYCLE_DEVICE void add_float_terms(FloatSums& sums, const float* chunk, int count) {
  const float* columns = chunk + FloatTile::kDepth * FloatTile::kPitch;
  const auto all = [](int, int) { return true; };
  if (count == FloatTile::kDepth) {
    BITCYCLE_UNROLL
    for (int k = 0; k < FloatTile::kDepth; ++k) {
      add_float_term(sums, chunk + k * FloatTile::kPitch, columns + k * FloatTile::kPitch, all);
    }
  } else {
    for (int k = 0; k < count; ++k) {
      add_float_term(sums, chunk + k * FloatTile::kPitch, columns + k * FloatTile::kPitch, all);
    }
  }
}

/// Where the terms of a row of the result begin in the streamed operand, for one segment of the depth, and which of the
/// segment's terms exist: from lo to hi.
struct FloatSpan {
  std::int64_t base = 0;
  int lo = 0, hi = 0;
};
/// The spans of a tile's rows, in shared memory.
struct FloatSpans {
  std::int64_t base[FloatTile::kRows];
  int lo[FloatTile::kRows], hi[FloatTile::kRows];
};

/// Sums of a tile of forward or error products. The depth is walked in segments, neighbours in the streamed operand:
///   segments(), length(): how many, and how many terms each;
///   span(segment, row): of row `row` of the tile;
///   streamed(i): element i; weight(segment, k, column): of column `column` of the tile; +0 outside.
/// Whether neighbouring threads take neighbouring columns or neighbouring terms of the weights says kColumnsFirst.
template <typename Source>
BITCYCLE_DEVICE void float_tile_sums(const Source& source, FloatSums& sums) {
  using T = FloatTile;
  auto* chunk = shared_memory<float>(0);
  auto* spans = shared_memory<FloatSpans>(T::kChunkFloats * static_cast<int>(sizeof(float)));
  BITCYCLE_UNROLL
  for (int r = 0; r < T::kThreadRows; ++r) {
    BITCYCLE_UNROLL
    for (int c = 0; c < 4; ++c) sums[r][c] = 0.0F;
  }
  const int length = source.length();
  const int term = thread_index() % T::kDepth, line = thread_index() / T::kDepth;  // of the streamed operand's loads
  constexpr int kLines = T::kThreads / T::kDepth;
  for (int segment = 0; segment < source.segments(); ++segment) {
    sync_threads();
    if (thread_index() < T::kRows) {
      const FloatSpan span = source.span(segment, thread_index());
      shared_store(&spans->base[thread_index()], span.base);
      shared_store(&spans->lo[thread_index()], span.lo);
      shared_store(&spans->hi[thread_index()], span.hi);
    }
    sync_threads();
    int lo = 0, hi = length;  // of the terms that exist in all of this thread's rows
    BITCYCLE_UNROLL
    for (int r = 0; r < T::kThreadRows; ++r) {
      const int row_lo = shared_load(&spans->lo[T::first_row() + r]),
                row_hi = shared_load(&spans->hi[T::first_row() + r]);
      lo = row_lo > lo ? row_lo : lo;
      hi = row_hi < hi ? row_hi : hi;
    }
    float a[T::kLoads], b[T::kLoads];
    const auto load = [&](int first) {
      BITCYCLE_UNROLL
      for (int j = 0; j < T::kLoads; ++j) {
        const int row = line + j * kLines, k = first + term;
        a[j] = k >= shared_load(&spans->lo[row]) && k < shared_load(&spans->hi[row])
                   ? source.streamed(shared_load(&spans->base[row]) + k)
                   : 0.0F;
      }
      BITCYCLE_UNROLL
      for (int j = 0; j < T::kLoads; ++j) {
        const int e = thread_index() + j * T::kThreads;
        const int k = first + (Source::kColumnsFirst ? e / T::kColumns : e % T::kDepth);
        b[j] = k < length ? source.weight(segment, k, Source::kColumnsFirst ? e % T::kColumns : e / T::kDepth) : 0.0F;
      }
    };
    load(0);
    for (int first = 0; first < length; first += T::kDepth) {
      BITCYCLE_UNROLL
      for (int j = 0; j < T::kLoads; ++j) {
        shared_store(chunk + term * T::kPitch + line + j * kLines, a[j]);
        const int e = thread_index() + j * T::kThreads;
        const int k = Source::kColumnsFirst ? e / T::kColumns : e % T::kDepth;
        const int column = Source::kColumnsFirst ? e % T::kColumns : e / T::kDepth;
        shared_store(chunk + (T::kDepth + k) * T::kPitch + column, b[j]);
      }
      sync_threads();
      const int count = length - first < T::kDepth ? length - first : T::kDepth;
      if (first + count < length) load(first + count);  // while the sums of this chunk are added
      if (first >= lo && first + count <= hi) {
        add_float_terms(sums, chunk, count);
      } else {
        int row_lo[T::kThreadRows], row_hi[T::kThreadRows];
        BITCYCLE_UNROLL
        for (int r = 0; r < T::kThreadRows; ++r) {
          row_lo[r] = shared_load(&spans->lo[T::first_row() + r]) - first;
          row_hi[r] = shared_load(&spans->hi[T::first_row() + r]) - first;
        }
        for (int k = 0; k < count; ++k) {
          add_float_term(sums, chunk + k * T::kPitch, chunk + (T::kDepth + k) * T::kPitch,
                         [&](int r, int) { return k >= row_lo[r] && k < row_hi[r]; });
        }
      }
      sync_threads();
    }
  }
}

/// Four results of a row, from column `column` on.
BITCYCLE_DEVICE void store_float_sums(float* row, int column, int columns, const float (&sums)[4]) {
  if (column >= columns) return;
  store_quad(row, static_cast<std::uint32_t>(column), static_cast<std::uint32_t>(columns),
             {{sums[0], sums[1], sums[2], sums[3]}});
}

}  // namespace bitcycle::BITCYCLE_CUDA_NAMESPACE
