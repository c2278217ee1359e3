// SPDX-License-Identifier: Apache-2.0
// Forward and error products on tensor cores: batch-norm statistics, the sum of gradients and its sums for norms happen
// where a tile's results are.
#pragma once

#include "cuda/products/patch_product.h"

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

/// Four neighbouring channels of a thread in a product's epilogue, all its tiles through, and its rows, which are among
/// its warp's. The products take channels that are multiples of four (fits_tensor_cores), so that the four exist
/// together.
template <int NT, int WarpRows>
struct EpilogueColumns {
  static constexpr int kQuads = 2 * NT;      // of a row
  static constexpr int kStep = 32 / kQuads;  // rows between a thread's
  static constexpr int kRows = WarpRows / kStep;
  BITCYCLE_DEVICE static int column() { return thread_index() % kQuads * 4; }
  /// Where a row is half of what shared memory gives at once, rows that are read together lie in different banks.
  BITCYCLE_DEVICE static int row() {
    const int r = lane_index() / kQuads;
    return thread_index() / 32 * WarpRows + (NT == 2 ? (r & 4) | (r & 1) << 1 | (r & 2) >> 1 : r);
  }
};

/// Offsets of a thread's four channels: those of a class of positions, read again where another class comes.
struct EpilogueOffsets {
  int held = -1;
  double v[4] = {};
  BITCYCLE_DEVICE void load(const double* table, int at) {
    if (at == held) return;
    held = at;
    load_offsets(table + at, v);
  }
};

/// Forward: y, and its statistics. Those are summed as if everything were finite, and so on its grid; where something
/// is not, its channel's sums mean nothing, and the extremes say so (docs/numerics.md, 11.1).
template <typename Tile>
struct ForwardProductKernel {
  using Product = Tile;
  static constexpr const char* kName = "convolution forward";
  static constexpr int kThreads = 128, kMinBlocks = Tile::kForwardBlocks;
  using Columns = EpilogueColumns<Tile::kTiles, Tile::kWarpRows>;
  struct Args {
    typename Tile::Source x;
    Packed weights;
    std::int32_t columns;  // output channels
    const ChannelScale* scale;
    const double* offset;
    const float* bias;  // added to the products; may be null, and is where there are statistics
    float* y;
    ChannelStatistics* statistics;  // may be null
    std::int32_t *lo, *hi;
    std::uint32_t* arrivals;
    NormPrepare norm;  // the batch norm of these statistics, by the last block; norm.norm null: not here
  };
  struct Sums {
    std::int64_t s1[Tile::kColumns], s2[Tile::kColumns];
    std::int32_t lo[Tile::kColumns], hi[Tile::kColumns];
  };
  static constexpr int kArrivals = (Tile::kEnd + 15) / 16 * 16;
  static constexpr int kSharedBytes = kArrivals + 32;

  /// Statistics of a thread's four channels.
  struct Statistics {
    std::int64_t s1[4] = {};
    std::uint64_t s2[4] = {};
    KeyRange keys[4];
  };
  BITCYCLE_DEVICE static void run(const Args& a) {
    const int column_tiles = Tile::column_tiles(a.x, a.columns), column_tile = block_index() % column_tiles;
    const int first = block_index() / column_tiles, step = block_count() / column_tiles;
    const ColumnSpan span = Tile::columns_at(a.x, a.columns, column_tile);
    const int column = Columns::column(), o = span.first + column;
    const typename Tile::StreamedSums streamed_sums(a.x, column_tile, o);
    ChannelScale scale[4];
    float to_grid[4] = {}, lo[4], hi[4];
    Statistics sums;
    for (int j = 0; j < 4; ++j) {
      lo[j] = INFINITY;
      hi[j] = -INFINITY;
      if (o >= span.end) continue;
      scale[j] = a.scale[o + j];
      if (a.statistics != nullptr) to_grid[j] = power_of_two(a.statistics[o + j].exponent);
    }
    EpilogueOffsets offset;
    Tile tile(a.x, a.weights, a.columns, column_tile * Tile::kColumns, first, step);
    for (int chunk = first; chunk < Tile::chunks(a.x); chunk += step) {
      tile.run(chunk, chunk + step);
      std::uint32_t s1[4] = {};  // of at most 16 rows; may wrap where something is not finite
      BITCYCLE_UNROLL
      for (int i = 0; i < Columns::kRows; ++i) {
        const int r = Columns::row() + i * Columns::kStep;
        const RowInfo row = Tile::load_row(Tile::kRowInfo, r);
        if (row.at < 0 || o >= span.end) continue;
        offset.load(a.offset, row.offsets + o);
        double sum[4], streamed[4];
        streamed_sums.load(row.codes, r, streamed);
        Tile::load_sums(r, column, sum);
        Quad y;
        BITCYCLE_UNROLL
        for (int j = 0; j < 4; ++j) {
          const float v = rescale(scale[j].a, sum[j], scale[j].b, streamed[j], offset.v[j]);
          y.v[j] = v;
          // The grid leaves |q| <= 2^22: there 1.5 * 2^23 + q has its last bit where q has its own, and the FMA rounds
          // as rint does. (v * 2^e is exact, or so small that q is 0.)
          const std::int32_t q = bits_of(fmaf(v, to_grid[j], 0x1.8p23F)) - bits_of(0x1.8p23F);
          s1[j] += static_cast<std::uint32_t>(q);
          sums.s2[j] += static_cast<std::uint64_t>(std::int64_t{q} * q);
          lo[j] = float_min(lo[j], v);
          hi[j] = float_max(hi[j], v);
        }
        if (a.bias != nullptr) {
          const Quad bias = quad_at(a.bias, o);
          for (int j = 0; j < 4; ++j) y.v[j] = y.v[j] + bias.v[j];
        }
        put_quad(a.y, row.at + o, y);
      }
      for (int j = 0; j < 4; ++j) add_wrapping(sums.s1[j], static_cast<std::int32_t>(s1[j]));
      tile.done();
    }
    if (a.statistics == nullptr) return;
    for (int j = 0; j < 4; ++j) {
      if (lo[j] > hi[j]) continue;  // no rows; a NaN has a key, too
      sums.keys[j] = {ordered_key(lo[j]), ordered_key(hi[j])};
    }
    sync_threads();
    auto* shared = shared_memory<Sums>(0);
    for (int i = thread_index(); i < Tile::kColumns; i += kThreads) {
      shared->s1[i] = shared->s2[i] = 0;
      shared->lo[i] = INT32_MAX;
      shared->hi[i] = INT32_MIN;
    }
    sync_threads();
    for (int j = 0; j < 4; ++j) {
      atomic_add(&shared->s1[column + j], sums.s1[j]);
      atomic_add(&shared->s2[column + j], static_cast<std::int64_t>(sums.s2[j]));
      atomic_min(&shared->lo[column + j], sums.keys[j].lo);
      atomic_max(&shared->hi[column + j], sums.keys[j].hi);
    }
    sync_threads();
    for (int i = thread_index(); i < Tile::kColumns && span.first + i < span.end; i += kThreads) {
      ChannelStatistics& to = a.statistics[span.first + i];
      atomic_add(&to.s1, shared->s1[i]);
      atomic_add(reinterpret_cast<std::int64_t*>(&to.s2), shared->s2[i]);
      atomic_min(a.lo + span.first + i, shared->lo[i]);
      atomic_max(a.hi + span.first + i, shared->hi[i]);
    }
    if (!last_block(a.arrivals, shared_memory<std::uint32_t>(kArrivals))) return;
    for (int i = thread_index(); i < a.columns; i += kThreads) {
      const Range extremes = range_of_keys({atomic_load(a.lo + i), atomic_load(a.hi + i)});
      a.statistics[i].lo = extremes.lo;
      a.statistics[i].hi = extremes.hi;
    }
    if (a.norm.norm != nullptr) norm_prepare_block(a.norm, shared_memory<KeyRange>(kArrivals + 16));
  }
};

/// Error pass in both variants: dx, or its sum with a second contribution, masked, and the sums of the norms there, as
/// if everything were finite, which u's bound says. Norms: 2 where a projected shortcut is normalised too, which is
/// rare and takes registers.
template <typename Tile, int Norms>
struct ErrorProductKernel {
  using Product = Tile;
  static constexpr const char* kName = "convolution error";
  static constexpr int kThreads = 128, kMinBlocks = Norms == 1 ? Tile::kErrorBlocks : 2;
  static constexpr bool kShared = Tile::kSigned;  // weights `shared`
  using Columns = EpilogueColumns<Tile::kTiles, Tile::kWarpRows>;
  struct Args {
    typename Tile::Source g;
    Packed weights;
    std::int32_t columns;  // input channels
    const ChannelScale* scale;
    const double* offset;
    float* dx;        // may be null
    float* dx_bound;  // may be null; +0 before
    bool sums_gradients;
    GradientSum gradient_sum;
  };
  struct Sums {
    std::int64_t s_u[Norms][Tile::kColumns], s_ut[Norms][Tile::kColumns];
    std::int32_t u, dx;
  };
  static constexpr int kSharedBytes = Tile::kEnd;

  // Rows whose operands are on their way together: more where registers are left, as eight warps of a multiprocessor
  // have few requests in flight otherwise.
  static constexpr int kAhead = kMinBlocks == 3 ? 2 : 4;
  struct FromMemory {
    std::int32_t at, offsets;  // at: of the quad; -1: none
    std::uint32_t codes, mask;
    Quad other, y[Norms];
    BITCYCLE_DEVICE void load(const Args& a, int row, int i0, int end) {
      const RowInfo info = Tile::load_row(Tile::kRowInfo, row);
      at = info.at < 0 || i0 >= end ? -1 : info.at + i0;
      offsets = info.offsets;
      codes = info.codes;
      if (at < 0 || !a.sums_gradients) return;
      const GradientSum& gradient_sum = a.gradient_sum;
      if (gradient_sum.other != nullptr) other = quad_at(gradient_sum.other, at);
      for (int i = 0; i < Norms; ++i) {
        if (gradient_sum.norm[i].sums != nullptr) y[i] = quad_at(gradient_sum.norm[i].y, at);
      }
      if (gradient_sum.mask_bits != nullptr)
        mask = global_load(gradient_sum.mask_bits + static_cast<std::uint32_t>(at) / 32U);
    }
  };

  /// Sums of a thread's four channels for one norm.
  struct NormSums {
    float mean[4] = {};
    double to_u = 0.0, to_ut[4] = {};  // 2^e; u's bound is that of all channels, so that they share a grid
    std::uint64_t s_u[4] = {}, s_ut[4] = {};
    BITCYCLE_DEVICE void start(const GradientSum::Norm& norm, int i0) {
      for (int j = 0; j < 4; ++j) {
        const NormSumsGrid grid = norm_sums_grid(norm, static_cast<std::uint32_t>(i0 + j));
        mean[j] = grid.mean;
        to_u = static_cast<double>(grid.to_u);
        to_ut[j] = static_cast<double>(grid.to_ut);
      }
    }
    /// 1.5 * 2^52 + x 2^e is an integer, rounded as rint does; it is kIntegerBits + q, for |q| <= 2^51.
    BITCYCLE_DEVICE static std::uint64_t bits_on_grid(float x, double two_to_e) {
      return static_cast<std::uint64_t>(bits_of_double(fma(static_cast<double>(x), two_to_e, kIntegerBase)));
    }
    BITCYCLE_DEVICE void add(const Quad& u, const Quad& y) {
      BITCYCLE_UNROLL
      for (int j = 0; j < 4; ++j) {
        const float ut = u.v[j] * (y.v[j] - mean[j]);
        s_u[j] += bits_on_grid(u.v[j], to_u);
        s_ut[j] += bits_on_grid(ut, to_ut[j]);
      }
    }
    /// After so many additions.
    BITCYCLE_DEVICE void finish(std::uint32_t additions) {
      for (int j = 0; j < 4; ++j) {
        s_u[j] -= additions * kIntegerBits;
        s_ut[j] -= additions * kIntegerBits;
      }
    }
  };

  BITCYCLE_DEVICE static void run(const Args& a) {
    const int column_tiles = Tile::column_tiles(a.g, a.columns), column_tile = block_index() % column_tiles;
    const int first = block_index() / column_tiles, step = block_count() / column_tiles;
    const ColumnSpan span = Tile::columns_at(a.g, a.columns, column_tile);
    const int column = Columns::column(), i0 = span.first + column;
    const typename Tile::StreamedSums streamed_sums(a.g, column_tile, i0);
    const GradientSum& gradient_sum = a.gradient_sum;
    ChannelScale scale[4];
    NormSums sums[Norms];
    NormConstants mask[4] = {};
    float largest_u = 0.0F;
    std::uint32_t additions = 0;
    std::int32_t dx_key = 0;
    for (int j = 0; j < 4 && i0 < span.end; ++j) {
      scale[j] = a.scale[i0 + j];
      if (a.sums_gradients && gradient_sum.mask_y != nullptr)
        mask[j] = norm_constants(gradient_sum.mask_norm, static_cast<std::uint32_t>(i0 + j));
    }
    for (int i = 0; i < Norms; ++i) {
      if (a.sums_gradients && gradient_sum.norm[i].sums != nullptr && i0 < span.end)
        sums[i].start(gradient_sum.norm[i], i0);
    }
    EpilogueOffsets offset;
    Tile tile(a.g, a.weights, a.columns, column_tile * Tile::kColumns, first, step);
    for (int chunk = first; chunk < Tile::chunks(a.g); chunk += step) {
      tile.run(chunk, chunk + step);
      BITCYCLE_UNROLL_BY(1)
      for (int first_row = 0; first_row < Columns::kRows; first_row += kAhead) {
        // What comes from memory is asked for first, for several rows.
        FromMemory rows[kAhead];
        BITCYCLE_UNROLL
        for (int i = 0; i < kAhead; ++i)
          rows[i].load(a, Columns::row() + (first_row + i) * Columns::kStep, i0, span.end);
        BITCYCLE_UNROLL
        for (int row = 0; row < kAhead; ++row) {
          const int r = Columns::row() + (first_row + row) * Columns::kStep;
          const FromMemory& from = rows[row];
          const std::int32_t at = from.at;
          if (at < 0) continue;
          double sum[4], streamed[4] = {};
          Tile::load_sums(r, column, sum);
          offset.load(a.offset, from.offsets + i0);
          if constexpr (!kShared) streamed_sums.load(from.codes, r, streamed);
          Quad dx;
          BITCYCLE_UNROLL
          for (int j = 0; j < 4; ++j) {
            dx.v[j] = kShared ? rescale_shared(scale[j].a, sum[j], offset.v[j])
                              : rescale(scale[j].a, sum[j], scale[j].b, streamed[j], offset.v[j]);
          }
          if (a.dx != nullptr) put_quad(a.dx, at, dx);
          if (a.dx_bound != nullptr) {
            BITCYCLE_UNROLL
            for (int j = 0; j < 4; ++j) {
              const std::int32_t key = magnitude_key(dx.v[j]);
              dx_key = key > dx_key ? key : dx_key;
            }
          }
          if (!a.sums_gradients) continue;
          const Quad gates = mask_gates(gradient_sum, at, from.mask, mask, from.y[0]);
          Quad u;
          BITCYCLE_UNROLL
          for (int j = 0; j < 4; ++j) {
            const float summed = gradient_sum.other == nullptr ? dx.v[j] : dx.v[j] + from.other.v[j];
            u.v[j] = gates.v[j] > 0.0F ? summed : 0.0F;
            largest_u = float_max(largest_u, fabsf(u.v[j]));
          }
          put_quad(gradient_sum.u, at, u);
          ++additions;
          BITCYCLE_UNROLL
          for (int i = 0; i < Norms; ++i) {
            if (gradient_sum.norm[i].sums != nullptr) sums[i].add(u, from.y[i]);
          }
        }
      }
      tile.done();
    }
    if (!a.sums_gradients && a.dx_bound == nullptr) return;
    const std::int32_t u_key = magnitude_key(largest_u);
    for (int i = 0; i < Norms; ++i) sums[i].finish(additions);
    sync_threads();
    auto* shared = shared_memory<Sums>(0);
    for (int c = thread_index(); c < Tile::kColumns; c += kThreads) {
      for (int i = 0; i < Norms; ++i) shared->s_u[i][c] = shared->s_ut[i][c] = 0;
    }
    if (thread_index() == 0) shared->u = shared->dx = 0;
    sync_threads();
    for (int i = 0; i < Norms; ++i) {
      for (int j = 0; j < 4; ++j) {
        atomic_add(&shared->s_u[i][column + j], static_cast<std::int64_t>(sums[i].s_u[j]));
        atomic_add(&shared->s_ut[i][column + j], static_cast<std::int64_t>(sums[i].s_ut[j]));
      }
    }
    atomic_max(&shared->u, u_key);
    atomic_max(&shared->dx, dx_key);
    sync_threads();
    if (thread_index() == 0) {
      if (a.dx_bound != nullptr) atomic_max(reinterpret_cast<std::int32_t*>(a.dx_bound), shared->dx);
      if (a.sums_gradients && gradient_sum.u_bound != nullptr)
        atomic_max(reinterpret_cast<std::int32_t*>(gradient_sum.u_bound), shared->u);
    }
    if (!a.sums_gradients) return;
    for (int c = thread_index(); c < Tile::kColumns && span.first + c < span.end; c += kThreads) {
      for (int i = 0; i < Norms; ++i) {
        if (gradient_sum.norm[i].sums == nullptr) continue;
        atomic_add(&gradient_sum.norm[i].sums[span.first + c].s_u, shared->s_u[i][c]);
        atomic_add(&gradient_sum.norm[i].sums[span.first + c].s_ut, shared->s_ut[i][c]);
      }
    }
  }
};

}  // namespace bitcycle::BITCYCLE_CUDA_NAMESPACE
