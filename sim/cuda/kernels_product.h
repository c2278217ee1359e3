// SPDX-License-Identifier: Apache-2.0
// Forward and error products on tensor cores: batch-norm statistics, the join of gradients and its sums happen where a
// tile's results are.
#pragma once

#include "sim/cuda/tile_product.h"

namespace bitcycle::BITCYCLE_CUDA_NAMESPACE {

/// Offsets of four neighbouring channels.
BITCYCLE_DEVICE void load_offsets(const double* from, double (&offsets)[4]) {
  for (int j = 0; j < 4; j += 2) {
    const Pair<double> pair = global_load(reinterpret_cast<const Pair<double>*>(from + j));
    offsets[j] = pair.v[0];
    offsets[j + 1] = pair.v[1];
  }
}
/// Four neighbouring elements of a tensor whose channels are a multiple of four.
BITCYCLE_DEVICE Quad quad_at(const float* p, std::int32_t at) {
  return global_load(reinterpret_cast<const Quad*>(p + at));
}
BITCYCLE_DEVICE void put_quad(float* p, std::int32_t at, const Quad& q) {
  global_store(reinterpret_cast<Quad*>(p + at), q);
}

/// Four neighbouring channels of a thread in a product's epilogue, all its tiles through. The products take channels
/// that are multiples of four (fits_tensor_cores), so that the four exist together.
template <int NT>
struct EpilogueColumns {
  static constexpr int kQuads = 2 * NT;       // of a row
  static constexpr int kStep = 128 / kQuads;  // rows between a thread's
  BITCYCLE_DEVICE static int column() { return thread_index() % kQuads * 4; }
  BITCYCLE_DEVICE static int row() { return thread_index() / kQuads; }
};

/// Forward: y, and its statistics.
template <int LA, int LB, int NT>
struct ForwardProductKernel {
  using Tile = TileProduct<LA, LB, false, NT>;
  static constexpr const char* kName = "convolution forward";
  static constexpr int kThreads = 128, kMinBlocks = LA + LB == 2 && NT <= 4 ? 3 : 2;
  struct Args {
    StreamedRows x;
    Packed weights;
    std::int32_t columns;  // output channels
    const ChannelScale* scale;
    const double* offset;
    float* y;
    ChannelStatistics* statistics;  // may be null
    std::int32_t *lo, *hi;
    std::uint32_t* ticket;
    NormPrepare norm;  // the batch norm of these statistics, by the last block; norm.norm null: not here
  };
  struct Sums {
    std::int64_t s1[Tile::kColumns], s2[Tile::kColumns];
    std::int32_t lo[Tile::kColumns], hi[Tile::kColumns];
  };
  static constexpr int kTicket = (Tile::kEnd + 15) / 16 * 16;
  static constexpr int kSharedBytes = kTicket + 32;

  BITCYCLE_DEVICE static void run(const Args& a) {
    const int column_tiles = (a.columns + Tile::kColumns - 1) / Tile::kColumns;
    const int row_tiles = (a.x.rows + Tile::kRows - 1) / Tile::kRows;
    const int first_column = block_index() % column_tiles * Tile::kColumns;
    const int tile_step = block_count() / column_tiles;
    using Columns = EpilogueColumns<NT>;
    const int column = Columns::column(), o = first_column + column;
    ChannelScale scale[4];
    float to_grid[4] = {};
    std::int64_t s1[4] = {};
    std::uint64_t s2[4] = {};
    KeyRange keys[4];
    for (int j = 0; j < 4 && o < a.columns; ++j) {
      scale[j] = a.scale[o + j];
      if (a.statistics != nullptr) to_grid[j] = power_of_two(a.statistics[o + j].exponent);
    }
    for (int tile = block_index() / column_tiles; tile < row_tiles; tile += tile_step) {
      Tile::run(a.x, a.weights, tile * Tile::kRows, first_column);
      for (int r = Columns::row(); r < Tile::kRows; r += Columns::kStep) {
        const int row = tile * Tile::kRows + r;
        if (row >= a.x.rows || o >= a.columns) break;
        const auto streamed = to_binary64(shared_load(shared_memory<std::int64_t>(Tile::kRowSums) + r));
        const int position_class = shared_load(shared_memory<std::int32_t>(Tile::kRowClass) + r);
        double sum[4], offset[4];
        Tile::load_sums(r, column, sum);
        load_offsets(a.offset + position_class * a.columns + o, offset);
        Quad y;
        BITCYCLE_UNROLL
        for (int j = 0; j < 4; ++j) {
          const float v = rescale(scale[j].a, sum[j], scale[j].b, streamed, offset[j]);
          y.v[j] = v;
          // The grid leaves 22 bits and a sign; what is not finite goes the long way to the same sums.
          const float rounded = rintf(v * to_grid[j]);
          if (fabsf(rounded) <= 0x1p30F) {
            const auto q = static_cast<std::int32_t>(rounded);
            s1[j] += q;
            s2[j] += static_cast<std::uint64_t>(std::int64_t{q} * q);
          } else {
            const std::int64_t q = on_grid(v, to_grid[j]);
            add_wrapping(s1[j], q);
            s2[j] += static_cast<std::uint64_t>(q) * static_cast<std::uint64_t>(q);
          }
          include(keys[j], v);
        }
        put_quad(a.y, row * a.columns + o, y);
      }
      sync_threads();  // the tile is read; the next one's stages overwrite it
    }
    if (a.statistics == nullptr) return;
    auto* shared = shared_memory<Sums>(0);
    for (int i = thread_index(); i < Tile::kColumns; i += kThreads) {
      shared->s1[i] = shared->s2[i] = 0;
      shared->lo[i] = INT32_MAX;
      shared->hi[i] = INT32_MIN;
    }
    sync_threads();
    for (int j = 0; j < 4; ++j) {
      atomic_add(&shared->s1[column + j], s1[j]);
      atomic_add(&shared->s2[column + j], static_cast<std::int64_t>(s2[j]));
      atomic_min(&shared->lo[column + j], keys[j].lo);
      atomic_max(&shared->hi[column + j], keys[j].hi);
    }
    sync_threads();
    for (int i = thread_index(); i < Tile::kColumns && first_column + i < a.columns; i += kThreads) {
      ChannelStatistics& to = a.statistics[first_column + i];
      atomic_add(&to.s1, shared->s1[i]);
      atomic_add(reinterpret_cast<std::int64_t*>(&to.s2), shared->s2[i]);
      atomic_min(a.lo + first_column + i, shared->lo[i]);
      atomic_max(a.hi + first_column + i, shared->hi[i]);
    }
    if (!last_block(a.ticket, shared_memory<std::uint32_t>(kTicket))) return;
    for (int i = thread_index(); i < a.columns; i += kThreads) {
      const Range extremes = range_of_keys({atomic_load(a.lo + i), atomic_load(a.hi + i)});
      a.statistics[i].lo = extremes.lo;
      a.statistics[i].hi = extremes.hi;
    }
    if (a.norm.norm != nullptr) norm_prepare_block(a.norm, shared_memory<KeyRange>(kTicket + 16));
  }
};

/// Error pass in both readings: dx, or its join with a second contribution, masked, and the sums of the norms there.
/// Norms: 2 where a projected shortcut is normalised too, which is rare and takes registers.
template <int LA, int LB, bool Shared, int NT, int Norms>
struct ErrorProductKernel {
  using Tile = TileProduct<LA, LB, Shared, NT>;
  static constexpr const char* kName = "convolution error";
  static constexpr int kThreads = 128;
  static constexpr int kMinBlocks = Norms == 1 && (NT == 2 ? LA + LB <= 3 : LA + LB == 2) ? 3 : 2;
  struct Args {
    StreamedRows g;
    Packed weights;
    std::int32_t columns;  // input channels
    const ChannelScale* scale;
    const double* offset;
    float* dx;        // may be null
    float* dx_bound;  // may be null; +0 before
    bool joins;
    GradientJoin join;
  };
  struct Sums {
    std::int64_t s_u[Norms][Tile::kColumns], s_ut[Norms][Tile::kColumns];
    std::int32_t u, dx;
  };
  static constexpr int kSharedBytes = Tile::kEnd;

  BITCYCLE_DEVICE static void run(const Args& a) {
    const int column_tiles = (a.columns + Tile::kColumns - 1) / Tile::kColumns;
    const int row_tiles = (a.g.rows + Tile::kRows - 1) / Tile::kRows;
    const int first_column = block_index() % column_tiles * Tile::kColumns;
    const int tile_step = block_count() / column_tiles;
    using Columns = EpilogueColumns<NT>;
    const int column = Columns::column(), i0 = first_column + column;
    const GradientJoin& join = a.join;
    ChannelScale scale[4];
    JoinGrid grid[Norms][4];
    std::int64_t s_u[Norms][4] = {}, s_ut[Norms][4] = {};
    std::int32_t u_key = 0, dx_key = 0;
    for (int j = 0; j < 4 && i0 < a.columns; ++j) {
      scale[j] = a.scale[i0 + j];
      for (int i = 0; i < Norms; ++i) {
        if (a.joins && join.norm[i].sums != nullptr) {
          grid[i][j] = join_grid(join.norm[i], static_cast<std::uint32_t>(i0 + j));
        }
      }
    }
    for (int tile = block_index() / column_tiles; tile < row_tiles; tile += tile_step) {
      Tile::run(a.g, a.weights, tile * Tile::kRows, first_column);
      for (int r = Columns::row(); r < Tile::kRows; r += Columns::kStep) {
        const int row = tile * Tile::kRows + r;
        if (row >= a.g.rows || i0 >= a.columns) break;
        const int position_class = shared_load(shared_memory<std::int32_t>(Tile::kRowClass) + r);
        const std::int32_t at = row * a.columns + i0;
        // What comes from memory is asked for first.
        Quad other, y[Norms];
        std::uint32_t passes = 15U;
        if (a.joins) {
          if (join.other != nullptr) other = quad_at(join.other, at);
          for (int i = 0; i < Norms; ++i) {
            if (join.norm[i].sums != nullptr) y[i] = quad_at(join.norm[i].y, at);
          }
          passes = join_passes_quad(join, at, i0, y[0]);
        }
        double sum[4], offset[4], streamed = 0.0;
        Tile::load_sums(r, column, sum);
        load_offsets(a.offset + position_class * a.columns + i0, offset);
        if constexpr (!Shared) {
          streamed = to_binary64(shared_load(shared_memory<std::int64_t>(Tile::kRowSums) + r));
        }
        Quad dx;
        BITCYCLE_UNROLL
        for (int j = 0; j < 4; ++j) {
          dx.v[j] = Shared ? rescale_shared(scale[j].a, sum[j], offset[j])
                           : rescale(scale[j].a, sum[j], scale[j].b, streamed, offset[j]);
        }
        if (a.dx != nullptr) put_quad(a.dx, at, dx);
        if (a.dx_bound != nullptr) {
          BITCYCLE_UNROLL
          for (int j = 0; j < 4; ++j) {
            const std::int32_t key = magnitude_key(dx.v[j]);
            dx_key = key > dx_key ? key : dx_key;
          }
        }
        if (!a.joins) continue;
        Quad u;
        BITCYCLE_UNROLL
        for (int j = 0; j < 4; ++j) {
          const float joined = join.other == nullptr ? dx.v[j] : dx.v[j] + other.v[j];
          const float value = ((passes >> j) & 1U) != 0 ? joined : 0.0F;
          u.v[j] = value;
          const std::int32_t key = magnitude_key(value);
          u_key = key > u_key ? key : u_key;
        }
        put_quad(join.u, at, u);
        BITCYCLE_UNROLL
        for (int i = 0; i < Norms; ++i) {
          if (join.norm[i].sums == nullptr) continue;
          BITCYCLE_UNROLL
          for (int j = 0; j < 4; ++j) {
            const float t = y[i].v[j] - grid[i][j].mean;
            add_wrapping(s_u[i][j], on_grid(u.v[j], grid[i][j].to_u));
            add_wrapping(s_ut[i][j], on_grid(u.v[j] * t, grid[i][j].to_ut));
          }
        }
      }
      sync_threads();
    }
    if (!a.joins && a.dx_bound == nullptr) return;
    auto* shared = shared_memory<Sums>(0);
    for (int c = thread_index(); c < Tile::kColumns; c += kThreads) {
      for (int i = 0; i < Norms; ++i) shared->s_u[i][c] = shared->s_ut[i][c] = 0;
    }
    if (thread_index() == 0) shared->u = shared->dx = 0;
    sync_threads();
    for (int i = 0; i < Norms; ++i) {
      for (int j = 0; j < 4; ++j) {
        atomic_add(&shared->s_u[i][column + j], s_u[i][j]);
        atomic_add(&shared->s_ut[i][column + j], s_ut[i][j]);
      }
    }
    atomic_max(&shared->u, u_key);
    atomic_max(&shared->dx, dx_key);
    sync_threads();
    if (thread_index() == 0) {
      if (a.dx_bound != nullptr) atomic_max(reinterpret_cast<std::int32_t*>(a.dx_bound), shared->dx);
      if (a.joins && join.u_bound != nullptr) atomic_max(reinterpret_cast<std::int32_t*>(join.u_bound), shared->u);
    }
    if (!a.joins) return;
    for (int c = thread_index(); c < Tile::kColumns && first_column + c < a.columns; c += kThreads) {
      for (int i = 0; i < Norms; ++i) {
        if (join.norm[i].sums == nullptr) continue;
        atomic_add(&join.norm[i].sums[first_column + c].s_u, shared->s_u[i][c]);
        atomic_add(&join.norm[i].sums[first_column + c].s_ut, shared->s_ut[i][c]);
      }
    }
  }
};

}  // namespace bitcycle::BITCYCLE_CUDA_NAMESPACE
