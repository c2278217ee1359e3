// SPDX-License-Identifier: Apache-2.0
// The three products on int8 tensor cores, as implicit matrix products: bytes times bytes in 32-bit sums that cannot
// overflow, wider codes as limbs of 8 bits whose sums are added in 64 bits. Forward and error pass: rows are positions,
// columns channels, the reduction runs over taps and channels; batch-norm statistics, the join of gradients and its
// sums happen where a tile's results are. Weight gradient: rows are output channels, columns taps and input channels,
// the reduction over positions is split over blocks and added with 64-bit atomics.
#pragma once

#include "sim/cuda/kernels_weights.h"

namespace bitcycle::BITCYCLE_CUDA_NAMESPACE {

constexpr int kTilePitch = 48;  // bytes from row to row of 32 codes: eight rows lie in different banks

/// Where the rows of a product's streamed operand come from.
struct StreamedRows {
  const void* codes;  // (n, source_h, source_w, channels), bytes or 16-bit words
  std::int32_t rows;  // n * h * w
  std::int32_t h, w;  // of the rows' positions
  std::int32_t source_h, source_w, channels;
  std::int32_t kh, kw, stride, padding;
  bool transposed;     // error pass: row (h, w) meets (h + padding - kh) / stride
  std::int32_t depth;  // kh * kw * channels

  struct Row {
    std::int32_t first = 0, h = 0, w = 0;  // first pixel of the image, position; h < 0: no row
  };
  BITCYCLE_DEVICE Row row(int index) const {
    if (index >= rows) return {0, INT32_MIN, 0};
    const int x = index % w, y = index / w % h, n = index / w / h;
    if (transposed) return {n * source_h * source_w, y + padding, x + padding};
    return {n * source_h * source_w, y * stride - padding, x * stride - padding};
  }
  /// Index of the first code of the pixel that tap (y, x) of a row reads, -1 where there is none.
  BITCYCLE_DEVICE std::int64_t pixel(const Row& r, int y, int x) const {
    if (r.h == INT32_MIN) return -1;
    int sh = r.h + y, sw = r.w + x;
    if (transposed) {
      sh = r.h - y;
      sw = r.w - x;
      if (sh < 0 || sw < 0) return -1;
      if (stride != 1) {
        if (sh % stride != 0 || sw % stride != 0) return -1;
        sh /= stride;
        sw /= stride;
      }
    }
    if (sh < 0 || sw < 0 || sh >= source_h || sw >= source_w) return -1;
    return static_cast<std::int64_t>(r.first + sh * source_w + sw) * channels;
  }
};

/// Bytes of one parity of two words of 16-bit codes {c0, c1}, {c2, c3}: limb 0 or 1 of the four.
BITCYCLE_DEVICE std::uint32_t limb_of(std::uint32_t first, std::uint32_t second, int limb) {
  return permute_bytes(first, second, limb == 0 ? 0x6420U : 0x7531U);
}

/// One block's product: 128 rows x 8 NT columns, 32 codes of the reduction at a time, three stages in flight.
/// LA, LB: limbs of the streamed operand and of the weights; SignedB: the weights' highest limb is signed.
template <int LA, int LB, bool SignedB, int NT>
struct TileProduct {
  static constexpr int kDiagonals = LA + LB - 1;  // sums of limbs of equal weight, 2^(8 d)
  static constexpr int kRows = 128, kColumns = 8 * NT, kBlock = 128, kStages = 3;
  static constexpr int kABytes = kRows * kTilePitch, kBBytes = kColumns * kTilePitch;
  static constexpr int kStageBytes = kABytes * LA + kBBytes * LB;
  using Sum = std::conditional_t<kDiagonals == 1, std::int32_t, std::int64_t>;
  static constexpr int kPitch = kColumns + (kDiagonals == 1 ? 4 : 2);  // of the tile of sums
  static constexpr int kWork = kStages * kStageBytes > kRows* kPitch* static_cast<int>(sizeof(Sum))
                                   ? kStages* kStageBytes
                                   : kRows* kPitch* static_cast<int>(sizeof(Sum));
  // After the stages, which the tile of sums shares: sums of the rows' codes and their classes.
  static constexpr int kRowSums = kWork, kRowClass = kRowSums + kRows * 8, kEnd = kRowClass + kRows * 4;

  BITCYCLE_DEVICE static void load_stage(const StreamedRows& x, const StreamedRows::Row& row, const Packed& weights,
                                         int first_column, int chunk, int stage) {
    auto* bytes = shared_memory<std::uint8_t>(stage * kStageBytes);
    // Weights: padded, so that every 16 bytes are there.
    for (int i = thread_index(); i < kColumns * LB * 2; i += kBlock) {
      const int half = i % 2, column = i / 2 % kColumns, limb = i / 2 / kColumns;
      const std::uint8_t* from =
          weights.bytes + (static_cast<std::int64_t>(limb) * weights.rows + first_column + column) * weights.depth +
          chunk * 32 + half * 16;
      async_copy16(bytes + kABytes * LA + limb * kBBytes + column * kTilePitch + half * 16, from, true);
    }
    // The thread's row.
    std::uint8_t* to = bytes + thread_index() * kTilePitch;
    if (x.channels % 16 == 0) {
      const int pieces = x.channels / 16;
      for (int half = 0; half < 2; ++half) {
        const int piece = chunk * 2 + half, tap = piece / pieces;
        const std::int64_t pixel = tap < x.kh * x.kw ? x.pixel(row, tap / x.kw, tap % x.kw) : -1;
        const std::int64_t at = pixel < 0 ? 0 : pixel + piece % pieces * 16;
        if constexpr (LA == 1) {
          async_copy16(to + half * 16, static_cast<const std::uint8_t*>(x.codes) + at, pixel >= 0);
        } else {
          Word4 low{}, high{};
          if (pixel >= 0) {
            const auto* from = reinterpret_cast<const Word4*>(static_cast<const std::uint16_t*>(x.codes) + at);
            low = global_load(from);
            high = global_load(from + 1);
          }
          for (int limb = 0; limb < LA; ++limb) {
            const Word4 word{{limb_of(low.v[0], low.v[1], limb), limb_of(low.v[2], low.v[3], limb),
                              limb_of(high.v[0], high.v[1], limb), limb_of(high.v[2], high.v[3], limb)}};
            shared_store(reinterpret_cast<Word4*>(to + limb * kABytes + half * 16), word);
          }
        }
      }
    } else {
      // Any number of channels, code by code.
      int k = chunk * 32, tap = k / x.channels, channel = k % x.channels;
      std::int64_t pixel = tap < x.kh * x.kw ? x.pixel(row, tap / x.kw, tap % x.kw) : -1;
      for (int word = 0; word < 8; ++word) {
        std::uint32_t packed[LA] = {};
        for (int j = 0; j < 4; ++j) {
          const std::uint32_t code =
              pixel < 0 ? 0U : load_code(x.codes, LA == 1 ? Container::kUint8 : Container::kUint16, pixel + channel);
          for (int limb = 0; limb < LA; ++limb) packed[limb] |= ((code >> (8 * limb)) & 255U) << (8 * j);
          if (++channel == x.channels) {
            channel = 0;
            ++tap;
            pixel = tap < x.kh * x.kw ? x.pixel(row, tap / x.kw, tap % x.kw) : -1;
          }
        }
        for (int limb = 0; limb < LA; ++limb) {
          shared_store(reinterpret_cast<std::uint32_t*>(to + limb * kABytes + word * 4), packed[limb]);
        }
      }
    }
  }

  /// Sums of rows first_row.. and columns first_column.. into shared memory, (kRows, kPitch); the rows' sums of codes
  /// and classes beside them.
  BITCYCLE_DEVICE static void run(const StreamedRows& x, const ClassMap& map, const Packed& weights, int first_row,
                                  int first_column) {
    const int thread = thread_index(), lane = lane_index(), warp = thread / 32;
    const StreamedRows::Row row = x.row(first_row + thread);
    const int chunks = (x.depth + 31) / 32;
    std::int32_t sums[kDiagonals][2][NT][4];
    for (int d = 0; d < kDiagonals; ++d) {
      for (int m = 0; m < 2; ++m) {
        for (int n = 0; n < NT; ++n) {
          for (int j = 0; j < 4; ++j) sums[d][m][n][j] = 0;
        }
      }
    }
    std::uint32_t codes[LA] = {};
    for (int chunk = 0; chunk < kStages - 1; ++chunk) {
      if (chunk < chunks) load_stage(x, row, weights, first_column, chunk, chunk);
      async_commit();
    }
    for (int chunk = 0; chunk < chunks; ++chunk) {
      async_wait<kStages - 2>();
      sync_threads();  // the stage is there for all, and all are done with the one that is filled next
      const int next = chunk + kStages - 1;
      if (next < chunks) load_stage(x, row, weights, first_column, next, next % kStages);
      async_commit();
      const auto* bytes = shared_memory<std::uint8_t>(chunk % kStages * kStageBytes);
      std::uint32_t a[LA][2][4];
      for (int limb = 0; limb < LA; ++limb) {
        for (int m = 0; m < 2; ++m) {
          load_matrices(a[limb][m],
                        bytes + limb * kABytes + (warp * 32 + m * 16 + lane % 16) * kTilePitch + lane / 16 * 16);
        }
        // The row's own sum.
        for (int half = 0; half < 2; ++half) {
          const Word4 word =
              shared_load(reinterpret_cast<const Word4*>(bytes + limb * kABytes + thread * kTilePitch + half * 16));
          for (int j = 0; j < 4; ++j) codes[limb] = dot_bytes(word.v[j], 0x01010101U, codes[limb]);
        }
      }
      for (int limb = 0; limb < LB; ++limb) {
        std::uint32_t b[NT][2];
        for (int n = 0; n < NT; n += 2) {
          std::uint32_t r[4];
          load_matrices(r, bytes + kABytes * LA + limb * kBBytes + ((n + lane / 16) * 8 + lane % 8) * kTilePitch +
                               lane / 8 % 2 * 16);
          b[n][0] = r[0];
          b[n][1] = r[1];
          b[n + 1][0] = r[2];
          b[n + 1][1] = r[3];
        }
        for (int i = 0; i < LA; ++i) {
          if (SignedB && limb == LB - 1) {
            multiply_tiles<true>(sums[i + limb], a[i], b);
          } else {
            multiply_tiles<false>(sums[i + limb], a[i], b);
          }
        }
      }
    }
    sync_threads();  // the stages become the tile of sums
    auto* tile = shared_memory<Sum>(0);
    for (int m = 0; m < 2; ++m) {
      for (int n = 0; n < NT; ++n) {
        for (int j = 0; j < 4; ++j) {
          Sum sum = static_cast<Sum>(sums[0][m][n][j]);
          for (int d = 1; d < kDiagonals; ++d) {
            sum = static_cast<Sum>(sum + static_cast<Sum>(sums[d][m][n][j]) * (Sum{1} << (8 * d)));
          }
          const int r = warp * 32 + m * 16 + j / 2 * 8 + lane / 4, c = n * 8 + lane % 4 * 2 + j % 2;
          shared_store(tile + r * kPitch + c, sum);
        }
      }
    }
    std::int64_t own = codes[0];
    for (int limb = 1; limb < LA; ++limb) own += static_cast<std::int64_t>(codes[limb]) << (8 * limb);
    shared_store(shared_memory<std::int64_t>(kRowSums) + thread, own);
    const int index = first_row + thread;
    shared_store(shared_memory<std::int32_t>(kRowClass) + thread,
                 index < x.rows ? map.of(index / x.w % x.h, index % x.w) : 0);
    sync_threads();
  }
};

/// Four neighbouring channels of a thread in a product's epilogue, all its tiles through.
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
  static constexpr int kThreads = 128;
  struct Args {
    StreamedRows x;
    ClassMap map;
    Packed weights;
    std::int32_t columns;  // output channels
    const ChannelScale* scale;
    const double* offset;
    float* y;
    ChannelStatistics* statistics;  // may be null
    std::int32_t *lo, *hi;
    std::uint32_t* ticket;
  };
  struct Sums {
    std::int64_t s1[Tile::kColumns], s2[Tile::kColumns];
    std::int32_t lo[Tile::kColumns], hi[Tile::kColumns];
  };
  static constexpr int kSharedBytes = Tile::kEnd + 16;

  BITCYCLE_DEVICE static void run(const Args& a) {
    const int column_tiles = (a.columns + Tile::kColumns - 1) / Tile::kColumns;
    const int row_tiles = (a.x.rows + Tile::kRows - 1) / Tile::kRows;
    const int first_column = block_index() % column_tiles * Tile::kColumns;
    using Columns = EpilogueColumns<NT>;
    const int column = Columns::column(), o = first_column + column;
    ChannelScale scale[4];
    float to_grid[4] = {};
    std::int64_t s1[4] = {};
    std::uint64_t s2[4] = {};
    KeyRange keys[4];
    for (int j = 0; j < 4; ++j) {
      if (o + j >= a.columns) continue;
      scale[j] = a.scale[o + j];
      if (a.statistics != nullptr) to_grid[j] = power_of_two(a.statistics[o + j].exponent);
    }
    for (int tile = block_index() / column_tiles; tile < row_tiles; tile += block_count() / column_tiles) {
      Tile::run(a.x, a.map, a.weights, tile * Tile::kRows, first_column);
      const auto* sums = shared_memory<typename Tile::Sum>(0);
      for (int r = Columns::row(); r < Tile::kRows; r += Columns::kStep) {
        const int row = tile * Tile::kRows + r;
        if (row >= a.x.rows || o >= a.columns) break;
        const auto streamed = to_binary64(shared_load(shared_memory<std::int64_t>(Tile::kRowSums) + r));
        const int position_class = shared_load(shared_memory<std::int32_t>(Tile::kRowClass) + r);
        const double* offset = a.offset + static_cast<std::int64_t>(position_class) * a.columns + o;
        Quad y{};
        for (int j = 0; j < 4; ++j) {
          if (o + j >= a.columns) break;
          const auto sum = to_binary64(static_cast<std::int64_t>(shared_load(sums + r * Tile::kPitch + column + j)));
          const float v = rescale(scale[j].a, sum, scale[j].b, streamed, global_load(offset + j));
          y.v[j] = v;
          const std::int64_t q = on_grid(v, to_grid[j]);
          add_wrapping(s1[j], q);
          s2[j] += static_cast<std::uint64_t>(q) * static_cast<std::uint64_t>(q);
          include(keys[j], v);
        }
        store_quad_of_row(a.y + static_cast<std::int64_t>(row) * a.columns, o, a.columns, y);
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
    if (!last_block(a.ticket, shared_memory<std::uint32_t>(Tile::kEnd))) return;
    for (int i = thread_index(); i < a.columns; i += kThreads) {
      const Range extremes = range_of_keys({atomic_load(a.lo + i), atomic_load(a.hi + i)});
      a.statistics[i].lo = extremes.lo;
      a.statistics[i].hi = extremes.hi;
    }
  }

  BITCYCLE_DEVICE static void store_quad_of_row(float* row, int first, int columns, const Quad& q) {
    store_quad(row, static_cast<std::uint32_t>(first), static_cast<std::uint32_t>(columns), q);
  }
};

/// Error pass in both readings: dx, or its join with a second contribution, masked, and the sums of the norms there.
template <int LA, int LB, bool Shared, int NT>
struct ErrorProductKernel {
  using Tile = TileProduct<LA, LB, Shared, NT>;
  static constexpr const char* kName = "convolution error";
  static constexpr int kThreads = 128;
  struct Args {
    StreamedRows g;
    ClassMap map;
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
    std::int64_t s_u[2][Tile::kColumns], s_ut[2][Tile::kColumns];
    std::int32_t u, dx;
  };
  static constexpr int kSharedBytes = Tile::kEnd;

  BITCYCLE_DEVICE static void run(const Args& a) {
    const int column_tiles = (a.columns + Tile::kColumns - 1) / Tile::kColumns;
    const int row_tiles = (a.g.rows + Tile::kRows - 1) / Tile::kRows;
    const int first_column = block_index() % column_tiles * Tile::kColumns;
    using Columns = EpilogueColumns<NT>;
    const int column = Columns::column(), i0 = first_column + column;
    const GradientJoin& join = a.join;
    ChannelScale scale[4];
    JoinGrid grid[2][4];
    std::int64_t s_u[2][4] = {}, s_ut[2][4] = {};
    std::int32_t u_key = 0, dx_key = 0;
    for (int j = 0; j < 4; ++j) {
      if (i0 + j >= a.columns) continue;
      scale[j] = a.scale[i0 + j];
      for (int i = 0; i < 2; ++i) {
        if (a.joins && join.norm[i].sums != nullptr) {
          grid[i][j] = join_grid(join.norm[i], static_cast<std::uint32_t>(i0 + j));
        }
      }
    }
    const auto columns = static_cast<std::uint32_t>(a.columns);
    const auto first = static_cast<std::uint32_t>(i0);
    for (int tile = block_index() / column_tiles; tile < row_tiles; tile += block_count() / column_tiles) {
      Tile::run(a.g, a.map, a.weights, tile * Tile::kRows, first_column);
      const auto* sums = shared_memory<typename Tile::Sum>(0);
      for (int r = Columns::row(); r < Tile::kRows; r += Columns::kStep) {
        const int row = tile * Tile::kRows + r;
        if (row >= a.g.rows || i0 >= a.columns) break;
        const auto streamed = to_binary64(shared_load(shared_memory<std::int64_t>(Tile::kRowSums) + r));
        const int position_class = shared_load(shared_memory<std::int32_t>(Tile::kRowClass) + r);
        const double* offset = a.offset + static_cast<std::int64_t>(position_class) * a.columns + i0;
        const std::int64_t at = static_cast<std::int64_t>(row) * a.columns;
        Quad dx{};
        for (int j = 0; j < 4 && i0 + j < a.columns; ++j) {
          const auto sum = to_binary64(static_cast<std::int64_t>(shared_load(sums + r * Tile::kPitch + column + j)));
          dx.v[j] = Shared ? rescale_shared(scale[j].a, sum, global_load(offset + j))
                           : rescale(scale[j].a, sum, scale[j].b, streamed, global_load(offset + j));
          const std::int32_t key = magnitude_key(dx.v[j]);
          dx_key = key > dx_key ? key : dx_key;
        }
        if (a.dx != nullptr) store_quad(a.dx + at, first, columns, dx);
        if (!a.joins) continue;
        Quad other{}, y[2];
        if (join.other != nullptr) other = load_quad(join.other + at, first, columns);
        for (int i = 0; i < 2; ++i) {
          if (join.norm[i].sums != nullptr) y[i] = load_quad(join.norm[i].y + at, first, columns);
        }
        Quad u{};
        for (int j = 0; j < 4 && i0 + j < a.columns; ++j) {
          const float sum = join.other == nullptr ? dx.v[j] : dx.v[j] + other.v[j];
          const float value = join_passes(join, static_cast<std::uint32_t>(at) + first + static_cast<std::uint32_t>(j),
                                          first + static_cast<std::uint32_t>(j))
                                  ? sum
                                  : 0.0F;
          u.v[j] = value;
          const std::int32_t key = magnitude_key(value);
          u_key = key > u_key ? key : u_key;
          for (int i = 0; i < 2; ++i) {
            if (join.norm[i].sums == nullptr) continue;
            const float t = y[i].v[j] - grid[i][j].mean;
            add_wrapping(s_u[i][j], on_grid(value, grid[i][j].to_u));
            add_wrapping(s_ut[i][j], on_grid(value * t, grid[i][j].to_ut));
          }
        }
        store_quad(join.u + at, first, columns, u);
      }
      sync_threads();
    }
    if (!a.joins && a.dx_bound == nullptr) return;
    auto* shared = shared_memory<Sums>(0);
    for (int c = thread_index(); c < Tile::kColumns; c += kThreads) {
      for (int i = 0; i < 2; ++i) shared->s_u[i][c] = shared->s_ut[i][c] = 0;
    }
    if (thread_index() == 0) shared->u = shared->dx = 0;
    sync_threads();
    for (int i = 0; i < 2; ++i) {
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
      for (int i = 0; i < 2; ++i) {
        if (join.norm[i].sums == nullptr) continue;
        atomic_add(&join.norm[i].sums[first_column + c].s_u, shared->s_u[i][c]);
        atomic_add(&join.norm[i].sums[first_column + c].s_ut, shared->s_ut[i][c]);
      }
    }
  }
};

/// Weight gradient: integers of a part of the positions added to `sums`, (o, taps * c) in 64 bits, 0 before.
/// LG, LX: limbs of gradient and activation codes; MT: 16 output channels a tile.
template <int LG, int LX, int MT>
struct WeightGradientProductKernel {
  static constexpr const char* kName = "convolution weight gradient";
  static constexpr int kThreads = 128;
  static constexpr int kDiagonals = LG + LX - 1;
  static constexpr int kRows = 16 * MT, kColumns = 64;
  static constexpr int kABytes = kRows * kTilePitch, kBBytes = kColumns * kTilePitch;
  static constexpr int kStageBytes = kABytes * LG + kBBytes * LX;
  static constexpr int kSharedBytes = 2 * kStageBytes;
  struct Args {
    Geometry s;
    const void *g, *x;
    std::int64_t* sums;
    std::int32_t positions;  // n * out_h * out_w
    std::int32_t part;       // positions of one block, a multiple of 32
  };

  /// Codes of four channels at four positions, transposed into rows of the tile: row = channel, byte = position.
  template <int L>
  BITCYCLE_DEVICE static void put(std::uint8_t* tile, int bytes, int row, int quad, const std::uint32_t (&code)[4][4]) {
    // Rows that are 4 apart lie 16 banks apart: threads begin with different channels, so that eight of them store to
    // eight banks. Turned by selections, not by an index, so that the words stay in registers.
    const int turn = row / 8 % 4;
    for (int limb = 0; limb < L; ++limb) {
      std::uint32_t word[4];
      for (int c = 0; c < 4; ++c) {
        word[c] = 0;
        for (int p = 0; p < 4; ++p) word[c] |= ((code[p][c] >> (8 * limb)) & 255U) << (8 * p);
      }
      const bool by_one = (turn & 1) != 0, by_two = (turn & 2) != 0;
      const std::uint32_t one[4] = {by_one ? word[1] : word[0], by_one ? word[2] : word[1], by_one ? word[3] : word[2],
                                    by_one ? word[0] : word[3]};
      const std::uint32_t two[4] = {by_two ? one[2] : one[0], by_two ? one[3] : one[1], by_two ? one[0] : one[2],
                                    by_two ? one[1] : one[3]};
      for (int c = 0; c < 4; ++c) {
        shared_store(
            reinterpret_cast<std::uint32_t*>(tile + limb * bytes + (row + (c + turn) % 4) * kTilePitch + quad * 4),
            two[c]);
      }
    }
  }
  /// Four neighbouring codes; only `count` of them exist.
  template <int L>
  BITCYCLE_DEVICE static void four(const void* codes, std::int64_t at, int count, std::uint32_t (&code)[4]) {
    if constexpr (L == 1) {
      if (count == 4 && at % 4 == 0) {
        const std::uint32_t word =
            global_load(reinterpret_cast<const std::uint32_t*>(static_cast<const std::uint8_t*>(codes) + at));
        for (int c = 0; c < 4; ++c) code[c] = (word >> (8 * c)) & 255U;
        return;
      }
    }
    for (int c = 0; c < 4; ++c) {
      code[c] = c < count ? load_code(codes, L == 1 ? Container::kUint8 : Container::kUint16, at + c) : 0U;
    }
  }

  BITCYCLE_DEVICE static void load_stage(const Args& a, int first_row, int first_column, int first, int end,
                                         int stage) {
    const Geometry& s = a.s;
    auto* tile = shared_memory<std::uint8_t>(stage * kStageBytes);
    // Eight quads of positions times quads of channels.
    for (int i = thread_index(); i < kRows / 4 * 8; i += kThreads) {
      const int row = i % (kRows / 4) * 4, quad = i / (kRows / 4), o = first_row + row;
      std::uint32_t code[4][4] = {};
      for (int p = 0; p < 4; ++p) {
        const int position = first + quad * 4 + p;
        if (position < end && o < s.o) {
          four<LG>(a.g, static_cast<std::int64_t>(position) * s.o + o, s.o - o < 4 ? s.o - o : 4, code[p]);
        }
      }
      put<LG>(tile, kABytes, row, quad, code);
    }
    const int all = s.taps() * s.c;
    for (int i = thread_index(); i < kColumns / 4 * 8; i += kThreads) {
      const int row = i % (kColumns / 4) * 4, quad = i / (kColumns / 4), column = first_column + row;
      std::uint32_t code[4][4] = {};
      int position = first + quad * 4;
      int ow = position % s.out_w, oh = position / s.out_w % s.out_h, n = position / s.out_w / s.out_h;
      for (int p = 0; p < 4; ++p, ++position) {
        if (position >= end || column >= all) break;
        for (int c = 0; c < 4; ++c) {
          const int tap = (column + c) / s.c, channel = (column + c) % s.c;
          if (column + c >= all) break;
          const int h = oh * s.stride - s.padding + tap / s.kw, w = ow * s.stride - s.padding + tap % s.kw;
          const bool exists = h >= 0 && h < s.h && w >= 0 && w < s.w;
          const std::int64_t at = ((static_cast<std::int64_t>(n) * s.h + h) * s.w + w) * s.c + channel;
          if (s.c % 4 == 0) {  // the four share a tap
            if (exists) four<LX>(a.x, at, 4, code[p]);
            break;
          }
          if (exists) code[p][c] = load_code(a.x, LX == 1 ? Container::kUint8 : Container::kUint16, at);
        }
        if (++ow == s.out_w) {
          ow = 0;
          if (++oh == s.out_h) {
            oh = 0;
            ++n;
          }
        }
      }
      put<LX>(tile + kABytes * LG, kBBytes, row, quad, code);
    }
  }

  BITCYCLE_DEVICE static void run(const Args& a) {
    const Geometry& s = a.s;
    const int columns = s.taps() * s.c;
    const int row_tiles = (s.o + kRows - 1) / kRows, column_tiles = (columns + kColumns - 1) / kColumns;
    const int tile = block_index() % (row_tiles * column_tiles), part = block_index() / (row_tiles * column_tiles);
    const int first_row = tile % row_tiles * kRows, first_column = tile / row_tiles * kColumns;
    const int begin = part * a.part;
    const int end = a.positions - begin < a.part ? a.positions : begin + a.part;
    const int lane = lane_index(), warp = thread_index() / 32;
    std::int32_t sums[kDiagonals][MT][2][4];
    for (int d = 0; d < kDiagonals; ++d) {
      for (int m = 0; m < MT; ++m) {
        for (int n = 0; n < 2; ++n) {
          for (int j = 0; j < 4; ++j) sums[d][m][n][j] = 0;
        }
      }
    }
    const int chunks = (end - begin + 31) / 32;
    if (chunks > 0) load_stage(a, first_row, first_column, begin, end, 0);
    for (int chunk = 0; chunk < chunks; ++chunk) {
      sync_threads();
      if (chunk + 1 < chunks) {
        load_stage(a, first_row, first_column, begin + (chunk + 1) * 32, end, (chunk + 1) % 2);
      }
      const auto* bytes = shared_memory<std::uint8_t>(chunk % 2 * kStageBytes);
      std::uint32_t fragments[LG][MT][4];
      for (int limb = 0; limb < LG; ++limb) {
        for (int m = 0; m < MT; ++m) {
          load_matrices(fragments[limb][m],
                        bytes + limb * kABytes + (m * 16 + lane % 16) * kTilePitch + lane / 16 * 16);
        }
      }
      for (int limb = 0; limb < LX; ++limb) {
        std::uint32_t r[4];
        load_matrices(r, bytes + kABytes * LG + limb * kBBytes + (warp * 16 + lane / 16 * 8 + lane % 8) * kTilePitch +
                             lane / 8 % 2 * 16);
        const std::uint32_t b[2][2] = {{r[0], r[1]}, {r[2], r[3]}};
        for (int i = 0; i < LG; ++i) multiply_tiles<false>(sums[i + limb], fragments[i], b);
      }
    }
    for (int m = 0; m < MT; ++m) {
      for (int n = 0; n < 2; ++n) {
        for (int j = 0; j < 4; ++j) {
          const int o = first_row + m * 16 + j / 2 * 8 + lane / 4;
          const int column = first_column + warp * 16 + n * 8 + lane % 4 * 2 + j % 2;
          if (o >= s.o || column >= columns) continue;
          std::int64_t sum = sums[0][m][n][j];
          for (int d = 1; d < kDiagonals; ++d) {
            sum += static_cast<std::int64_t>(sums[d][m][n][j]) * (std::int64_t{1} << (8 * d));
          }
          if (sum != 0) atomic_add(a.sums + static_cast<std::int64_t>(o) * columns + column, sum);
        }
      }
    }
  }
};

/// dw from the integers (4.5), a thread an element; they and the sums by class are 0 again afterwards.
struct WeightGradientFinishKernel {
  static constexpr const char* kName = "weight gradient finish";
  static constexpr int kThreads = 128;
  struct Args {
    Geometry s;
    ClassMap input_map, output_map;
    const Affine *g, *x;
    std::int64_t* sums;          // (o, taps * c)
    std::int64_t* g_sums;        // (classes of outputs, o), and behind it:
    const std::int64_t* x_sums;  // (classes of inputs, c)
    const std::int64_t* terms;   // (taps), of one image
    float* dw;
    std::uint32_t size;
    std::uint32_t class_sums;  // of both
    std::uint32_t* ticket;
  };
  BITCYCLE_DEVICE static std::int64_t over_classes(const ClassMap& map, const std::int64_t* sums, int channels,
                                                   int channel, int kh, int kw) {
    std::int64_t sum = 0;
    for (int k = 0; k < map.rows * map.columns; ++k) {
      if (map.has(k, kh, kw)) sum += global_load(sums + static_cast<std::int64_t>(k) * channels + channel);
    }
    return sum;
  }
  BITCYCLE_DEVICE static void run(const Args& a) {
    const WeightGradientScale scale = weight_gradient_scale(*a.g, *a.x);
    for (std::uint32_t e = first_element(); e < a.size; e += grid_threads()) {
      const auto i = static_cast<int>(e);
      const int c = i % a.s.c, tap = i / a.s.c % a.s.taps(), o = i / a.s.c / a.s.taps();
      const std::int64_t product = global_load(a.sums + e);
      global_store(a.sums + e, std::int64_t{0});
      const std::int64_t g = over_classes(a.output_map, a.g_sums, a.s.o, o, tap / a.s.kw, tap % a.s.kw);
      const std::int64_t x = over_classes(a.input_map, a.x_sums, a.s.c, c, tap / a.s.kw, tap % a.s.kw);
      global_store(a.dw + e, rescale_weight_gradient(scale, to_binary64(product), to_binary64(g), to_binary64(x),
                                                     to_binary64(global_load(a.terms + tap) * a.s.n)));
    }
    if (!last_block(a.ticket, shared_memory<std::uint32_t>(0))) return;
    for (auto i = static_cast<std::uint32_t>(thread_index()); i < a.class_sums; i += kThreads) {
      global_store(a.g_sums + i, std::int64_t{0});
    }
  }
};

}  // namespace bitcycle::BITCYCLE_CUDA_NAMESPACE
