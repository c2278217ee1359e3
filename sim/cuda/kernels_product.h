// SPDX-License-Identifier: Apache-2.0
// The three products on int8 tensor cores, as implicit matrix products: bytes times bytes in 32-bit sums that cannot
// overflow, wider codes as limbs of 8 bits whose sums are added in 64 bits. Forward and error pass: rows are positions,
// columns channels, the reduction runs over taps and channels; batch-norm statistics, the join of gradients and its
// sums happen where a tile's results are. Weight gradient: rows are output channels, columns taps and input channels,
// the reduction over positions is split over blocks and added with 64-bit atomics.
#pragma once

#include "sim/cuda/fast_divide.h"
#include "sim/cuda/kernels_quantise.h"

namespace bitcycle::BITCYCLE_CUDA_NAMESPACE {

/// Where the rows of a product's streamed operand come from. Kernels of at most 64 taps.
struct StreamedRows {
  static constexpr std::int64_t kMostTaps = 64;
  const void* codes;     // (n, source_h, source_w, channels), bytes or 16-bit words
  std::int32_t rows;     // n * h * w
  Divisor h, w, stride;  // h, w: of the rows' positions
  std::int32_t source_h, source_w, channels;
  std::int32_t kh, kw, padding;
  bool transposed;     // error pass: row (h, w) meets (h + padding - kh) / stride
  std::int32_t depth;  // kh * kw * channels
  ClassMap map;        // which taps exist at a row's position
  /// Of each tap's pixel from the row's, in codes. In an error pass with a stride s: where s divides a - k,
  /// (a - k) / s = floor(a / s) - floor(k / s).
  std::int32_t offsets[kMostTaps + 1];

  void set_offsets() {
    for (std::int32_t tap = 0; tap < kh * kw; ++tap) {
      const std::int32_t y = tap / kw, x = tap % kw;
      offsets[tap] = (transposed ? -(y / stride.value * source_w + x / stride.value) : y * source_w + x) * channels;
    }
  }

  /// One row on its way through the reduction, tap by tap.
  struct Cursor {
    std::uint64_t taps = 0;  // bit 0: this tap exists; the next ones above
    std::int32_t base = 0;   // of the row's pixel, in codes
    std::int32_t position_class = 0;
    BITCYCLE_DEVICE bool exists() const { return (taps & 1U) != 0; }
  };
  BITCYCLE_DEVICE Cursor row(int index) const {
    Cursor cursor;
    if (index >= rows) return cursor;
    int x = index, y = divide(x, w);
    const int n = divide(y, h);
    const int row_class = global_load(map.row_class + y), column_class = global_load(map.column_class + x);
    const std::uint32_t in_rows = global_load(map.row_taps + row_class);
    const std::uint64_t in_columns = global_load(map.column_taps + column_class);
    for (int k = 0; k < kh; ++k) {
      if (((in_rows >> k) & 1U) != 0) cursor.taps |= in_columns << (k * kw);
    }
    cursor.position_class = row_class * map.columns + column_class;
    const int base_y = transposed ? quotient(y + padding, stride) : y * stride.value - padding;
    const int base_x = transposed ? quotient(x + padding, stride) : x * stride.value - padding;
    cursor.base = ((n * source_h + base_y) * source_w + base_x) * channels;
    return cursor;
  }
};
/// A place in the reduction, the same for all rows.
struct Tap {
  int index = 0, channel = 0;
};

/// Bytes of one parity of two words of 16-bit codes {c0, c1}, {c2, c3}: limb 0 or 1 of the four.
BITCYCLE_DEVICE std::uint32_t limb_of(std::uint32_t first, std::uint32_t second, int limb) {
  return permute_bytes(first, second, limb == 0 ? 0x6420U : 0x7531U);
}

/// One block's product: 128 rows x 8 NT columns, 32 or 64 codes of the reduction at a time, three stages in flight.
/// LA, LB: limbs of the streamed operand and of the weights; SignedB: the weights' highest limb is signed (reading
/// `shared`, which needs no sums of the rows' codes).
template <int LA, int LB, bool SignedB, int NT>
struct TileProduct {
  static constexpr int kDiagonals = LA + LB - 1;  // sums of limbs of equal weight, 2^(8 d)
  static constexpr int kRows = 128, kColumns = 8 * NT, kBlock = 128, kStages = 3;
  static constexpr int kDepth = LA == 1 ? 64 : 32;  // codes a stage
  static constexpr int kBytePitch = kDepth + 16;    // of a row: eight rows lie in different banks
  static constexpr int kABytes = kRows * kBytePitch, kBBytes = kColumns * kBytePitch;
  static constexpr int kStageBytes = kABytes * LA + kBBytes * LB;
  using Sum = std::conditional_t<kDiagonals == 1, std::int32_t, std::int64_t>;
  static constexpr int kPitch =
      kColumns + 8;  // of the tile of sums: rows that are stored together lie in different banks
  static constexpr int kWork = kStages * kStageBytes > kRows* kPitch* static_cast<int>(sizeof(Sum))
                                   ? kStages* kStageBytes
                                   : kRows* kPitch* static_cast<int>(sizeof(Sum));
  // After the stages, which the tile of sums shares: sums of the rows' codes and their classes.
  static constexpr int kRowSums = kWork, kRowClass = kRowSums + kRows * 8, kEnd = kRowClass + kRows * 4;

  // Pieces of 16 bytes of the weights' part of a stage; a thread has the same ones in every stage.
  static constexpr int kParts = kDepth / 16, kPieces = kColumns * LB * kParts, kOwn = (kPieces + kBlock - 1) / kBlock;

  BITCYCLE_DEVICE static void load_stage(const StreamedRows& x, StreamedRows::Cursor& row, Tap& tap,
                                         const std::uint8_t* const (&weights)[kOwn], int chunk, int stage) {
    auto* bytes = shared_memory<std::uint8_t>(stage * kStageBytes);
    // Weights are padded, so that every 16 bytes are there.
    BITCYCLE_UNROLL
    for (int i = 0; i < kOwn; ++i) {
      const int piece = thread_index() + i * kBlock;
      if (kPieces % kBlock != 0 && piece >= kPieces) break;
      async_copy16(bytes + kABytes * LA + piece / kParts * kBytePitch + piece % kParts * 16,
                   weights[i] + chunk * kDepth, true);
    }
    // The thread's row.
    std::uint8_t* to = bytes + thread_index() * kBytePitch;
    if (x.channels % 16 == 0) {
      BITCYCLE_UNROLL
      for (int part = 0; part < kParts; ++part) {
        const bool exists = row.exists();
        const std::int32_t at = exists ? row.base + x.offsets[tap.index] + tap.channel : 0;
        if constexpr (LA == 1) {
          async_copy16(to + part * 16, static_cast<const std::uint8_t*>(x.codes) + at, exists);
        } else {
          Word4 low{}, high{};
          if (exists) {
            const auto* from = reinterpret_cast<const Word4*>(static_cast<const std::uint16_t*>(x.codes) + at);
            low = global_load(from);
            high = global_load(from + 1);
          }
          for (int limb = 0; limb < LA; ++limb) {
            const Word4 word{{limb_of(low.v[0], low.v[1], limb), limb_of(low.v[2], low.v[3], limb),
                              limb_of(high.v[0], high.v[1], limb), limb_of(high.v[2], high.v[3], limb)}};
            shared_store(reinterpret_cast<Word4*>(to + limb * kABytes + part * 16), word);
          }
        }
        tap.channel += 16;
        if (tap.channel == x.channels) next_tap(row, tap);
      }
    } else {
      // Any number of channels, code by code.
      for (int word = 0; word < kDepth / 4; ++word) {
        std::uint32_t packed[LA] = {};
        for (int j = 0; j < 4; ++j) {
          const std::uint32_t code = row.exists() ? load_code(x.codes, LA == 1 ? Container::kUint8 : Container::kUint16,
                                                              row.base + x.offsets[tap.index] + tap.channel)
                                                  : 0U;
          for (int limb = 0; limb < LA; ++limb) packed[limb] |= ((code >> (8 * limb)) & 255U) << (8 * j);
          if (++tap.channel == x.channels) next_tap(row, tap);
        }
        for (int limb = 0; limb < LA; ++limb) {
          shared_store(reinterpret_cast<std::uint32_t*>(to + limb * kABytes + word * 4), packed[limb]);
        }
      }
    }
  }
  /// Behind the last tap none exists, however far the padded reduction goes.
  BITCYCLE_DEVICE static void next_tap(StreamedRows::Cursor& row, Tap& tap) {
    row.taps >>= 1;
    ++tap.index;
    tap.channel = 0;
  }

  /// Sums of rows first_row.. and columns first_column.. into shared memory, (kRows, kPitch); the rows' sums of codes
  /// and classes beside them.
  BITCYCLE_DEVICE static void run(const StreamedRows& x, const Packed& weights, int first_row, int first_column) {
    const int thread = thread_index(), lane = lane_index(), warp = thread / 32;
    StreamedRows::Cursor row = x.row(first_row + thread);
    Tap tap;
    const std::uint8_t* own_weights[kOwn];
    BITCYCLE_UNROLL
    for (int i = 0; i < kOwn; ++i) {
      const int piece = thread + i * kBlock, column = piece / kParts % kColumns, limb = piece / kParts / kColumns;
      own_weights[i] =
          weights.bytes + (limb * weights.rows + first_column + column) * weights.depth + piece % kParts * 16;
    }
    const int chunks = (x.depth + kDepth - 1) / kDepth;
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
      if (chunk < chunks) load_stage(x, row, tap, own_weights, chunk, chunk);
      async_commit();
    }
    int stage = 0;
    for (int chunk = 0; chunk < chunks; ++chunk) {
      async_wait<kStages - 2>();
      sync_threads();  // the stage is there for all, and all are done with the one that is filled next
      const int next = chunk + kStages - 1;
      if (next < chunks) load_stage(x, row, tap, own_weights, next, stage == 0 ? kStages - 1 : stage - 1);
      async_commit();
      const auto* bytes = shared_memory<std::uint8_t>(stage * kStageBytes);
      for (int step = 0; step < kDepth; step += 32) {
        std::uint32_t a[LA][2][4];
        for (int limb = 0; limb < LA; ++limb) {
          for (int m = 0; m < 2; ++m) {
            load_matrices(a[limb][m], bytes + limb * kABytes + (warp * 32 + m * 16 + lane % 16) * kBytePitch + step +
                                          lane / 16 * 16);
          }
        }
        for (int limb = 0; limb < LB; ++limb) {
          std::uint32_t b[NT][2];
          for (int n = 0; n < NT; n += 2) {
            std::uint32_t r[4];
            load_matrices(r, bytes + kABytes * LA + limb * kBBytes + ((n + lane / 16) * 8 + lane % 8) * kBytePitch +
                                 step + lane / 8 % 2 * 16);
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
      if constexpr (!SignedB) {  // the row's own sum
        for (int limb = 0; limb < LA; ++limb) {
          for (int part = 0; part < kDepth; part += 16) {
            const Word4 word =
                shared_load(reinterpret_cast<const Word4*>(bytes + limb * kABytes + thread * kBytePitch + part));
            for (int j = 0; j < 4; ++j) codes[limb] = dot_bytes(word.v[j], 0x01010101U, codes[limb]);
          }
        }
      }
      stage = stage == kStages - 1 ? 0 : stage + 1;
    }
    sync_threads();  // the stages become the tile of sums
    auto* tile = shared_memory<Sum>(0);
    for (int m = 0; m < 2; ++m) {
      for (int n = 0; n < NT; ++n) {
        for (int j = 0; j < 4; j += 2) {
          Pair<Sum> pair;
          for (int i = 0; i < 2; ++i) {
            pair.v[i] = static_cast<Sum>(sums[0][m][n][j + i]);
            for (int d = 1; d < kDiagonals; ++d) {
              pair.v[i] = static_cast<Sum>(pair.v[i] + static_cast<Sum>(sums[d][m][n][j + i]) * (Sum{1} << (8 * d)));
            }
          }
          const int r = warp * 32 + m * 16 + j / 2 * 8 + lane / 4, c = n * 8 + lane % 4 * 2;
          shared_store(reinterpret_cast<Pair<Sum>*>(tile + r * kPitch + c), pair);
        }
      }
    }
    if constexpr (!SignedB) {
      std::int64_t own = codes[0];
      for (int limb = 1; limb < LA; ++limb) own += static_cast<std::int64_t>(codes[limb]) << (8 * limb);
      shared_store(shared_memory<std::int64_t>(kRowSums) + thread, own);
    }
    shared_store(shared_memory<std::int32_t>(kRowClass) + thread, row.position_class);
    sync_threads();
  }

  /// Four neighbouring sums of a row, in binary64.
  BITCYCLE_DEVICE static void load_sums(int row, int column, double (&sums)[4]) {
    const Sum* from = shared_memory<Sum>(0) + row * kPitch + column;
    if constexpr (kDiagonals == 1) {
      const Word4 word = shared_load(reinterpret_cast<const Word4*>(from));
      for (int j = 0; j < 4; ++j) sums[j] = static_cast<double>(static_cast<std::int32_t>(word.v[j]));
    } else {
      for (int j = 0; j < 4; j += 2) {
        const Pair<Sum> pair = shared_load(reinterpret_cast<const Pair<Sum>*>(from + j));
        sums[j] = to_binary64(pair.v[0]);
        sums[j + 1] = to_binary64(pair.v[1]);
      }
    }
  }
};

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

/// Weight gradient: integers of a part of the positions added to `sums` in 64 bits, 0 before. Rows are output channels;
/// columns taps and input channels, and behind them a column a tap whose codes are 1 where the tap exists, which gives
/// the sums of gradient codes that the offsets need. The row behind the last has the columns' own sums.
/// LG, LX: limbs of gradient and activation codes; MT: 16 output channels a tile.
template <int LG, int LX, int MT>
struct WeightGradientProductKernel {
  static constexpr const char* kName = "convolution weight gradient";
  static constexpr int kThreads = 128;
  static constexpr int kDiagonals = LG + LX - 1;
  static constexpr int kRows = 16 * MT, kColumns = 64;
  static constexpr int kDepth = 128;  // positions a stage, bytes of a row
  static constexpr int kABytes = kRows * kDepth, kBBytes = kColumns * kDepth;
  static constexpr int kStageBytes = kABytes * LG + kBBytes * LX;
  static constexpr int kSharedBytes = 2 * kStageBytes;
  static constexpr int kQuads = 4;  // of positions, that a thread has of a stage's columns; of its rows MT
  struct Args {
    Geometry s;
    Divisor out_w, out_h;
    const void *g, *x;
    std::int64_t* sums;      // (o + 1, taps * c + taps)
    std::int32_t positions;  // n * out_h * out_w
    std::int32_t part;       // positions of one block, a multiple of kDepth
  };

  /// Four neighbouring codes as bytes, limb by limb.
  template <int L>
  BITCYCLE_DEVICE static void four(const void* codes, std::int32_t at, std::uint32_t (&limbs)[L]) {
    if constexpr (L == 1) {
      limbs[0] = global_load(reinterpret_cast<const std::uint32_t*>(static_cast<const std::uint8_t*>(codes) + at));
    } else {
      const auto* from = reinterpret_cast<const Pair<std::uint32_t>*>(static_cast<const std::uint16_t*>(codes) + at);
      const Pair<std::uint32_t> pair = global_load(from);
      for (int limb = 0; limb < L; ++limb) limbs[limb] = limb_of(pair.v[0], pair.v[1], limb);
    }
  }

  /// Where a thread's item t of a stage lies: four rows and four positions. Neighbouring lanes have neighbouring rows,
  /// so that they read neighbouring codes. A thread's rows are the same for all t.
  template <int Rows>
  struct Place {
    static constexpr int kGroups = Rows / 4, kLow = kGroups < 8 ? kGroups : 8, kHigh = kGroups / kLow;
    BITCYCLE_DEVICE static int row() { return (thread_index() % kLow + thread_index() / 32 % kHigh * kLow) * 4; }
    BITCYCLE_DEVICE static int quad(int t) {
      return lane_index() / kLow + (thread_index() / 32 + 4 * t) / kHigh * (32 / kLow);
    }
  };
  /// Pieces of 16 bytes of a row lie in an order of the row's own, so that eight rows' same pieces, which ldmatrix
  /// reads, and the words that a warp stores lie in different banks: piece p is in place p ^ order(row).
  BITCYCLE_DEVICE static int order(int row) { return (row & 7) ^ (row >> 3 & 3); }

  /// Codes of four channels at four positions, turned into rows of the tile: row = channel, byte = position.
  template <int L, int Rows>
  BITCYCLE_DEVICE static void put(std::uint8_t* tile, int bytes, int quad, const std::uint32_t (&code)[L][4]) {
    const int row = Place<Rows>::row(), piece = quad / 4 ^ order(row);
    BITCYCLE_UNROLL
    for (int limb = 0; limb < L; ++limb) {
      const std::uint32_t low01 = permute_bytes(code[limb][0], code[limb][1], 0x5140U);
      const std::uint32_t low23 = permute_bytes(code[limb][2], code[limb][3], 0x5140U);
      const std::uint32_t high01 = permute_bytes(code[limb][0], code[limb][1], 0x7362U);
      const std::uint32_t high23 = permute_bytes(code[limb][2], code[limb][3], 0x7362U);
      const std::uint32_t word[4] = {permute_bytes(low01, low23, 0x5410U), permute_bytes(low01, low23, 0x7632U),
                                     permute_bytes(high01, high23, 0x5410U), permute_bytes(high01, high23, 0x7632U)};
      std::uint8_t* to = tile + limb * bytes + row * kDepth + quad % 4 * 4;
      BITCYCLE_UNROLL
      for (int c = 0; c < 4; ++c) {  // order(row + c) is order(row) ^ c: rows begin at multiples of four
        shared_store(reinterpret_cast<std::uint32_t*>(to + c * kDepth + (piece ^ c) * 16), word[c]);
      }
    }
  }

  /// The four columns of a thread: of one tap, or each its own.
  struct Columns {
    bool one_tap = false;
    std::int32_t h = 0, w = 0, channel = 0;  // of one tap: from a position's pixel
    std::int32_t first = 0;
  };
  BITCYCLE_DEVICE static Columns columns_of(const Geometry& s, int first) {
    Columns c;
    c.first = first;
    c.one_tap = s.c % 4 == 0 && first + 3 < s.taps() * s.c;
    if (!c.one_tap) return c;
    const int tap = first / s.c;
    c.channel = first % s.c;
    c.h = tap / s.kw - s.padding;
    c.w = tap % s.kw - s.padding;
    return c;
  }

  /// A thread's codes of a stage, on their way to shared memory.
  struct Staged {
    std::uint32_t g[MT][LG][4], x[kQuads][LX][4];
  };
  /// Codes of the next stage on their way to registers: rows, whose channels are a multiple of four, and columns of one
  /// tap. Other columns are few, or belong to a network's first layer; they are loaded when they are stored.
  BITCYCLE_DEVICE static void load(const Args& a, const Columns& columns, int first_row, int first, int end,
                                   Staged& staged) {
    const Geometry& s = a.s;
    const int o = first_row + Place<kRows>::row();
    BITCYCLE_UNROLL
    for (int t = 0; t < MT; ++t) {
      const int begin = first + Place<kRows>::quad(t) * 4;
      BITCYCLE_UNROLL
      for (int p = 0; p < 4; ++p) {
        std::uint32_t code[LG] = {};
        if (begin + p < end && o < s.o) four<LG>(a.g, (begin + p) * s.o + o, code);
        BITCYCLE_UNROLL
        for (int limb = 0; limb < LG; ++limb) staged.g[t][limb][p] = code[limb];
      }
    }
    if (!columns.one_tap) return;
    if (a.out_w.value % 4 == 0) {  // four positions lie in one row
      BITCYCLE_UNROLL
      for (int t = 0; t < kQuads; ++t) {
        const int position = first + Place<kColumns>::quad(t) * 4;
        int ow = position, oh = divide(ow, a.out_w);
        const int n = divide(oh, a.out_h), h = oh * s.stride + columns.h, w = ow * s.stride + columns.w;
        const bool exists = position < end && h >= 0 && h < s.h;
        const int at = ((n * s.h + h) * s.w + w) * s.c + columns.channel, step = s.stride * s.c;
        BITCYCLE_UNROLL
        for (int p = 0; p < 4; ++p) {
          std::uint32_t code[LX] = {};
          const auto column = static_cast<std::uint32_t>(w + p * s.stride);
          if (exists && column < static_cast<std::uint32_t>(s.w)) four<LX>(a.x, at + p * step, code);
          BITCYCLE_UNROLL
          for (int limb = 0; limb < LX; ++limb) staged.x[t][limb][p] = code[limb];
        }
      }
      return;
    }
    BITCYCLE_UNROLL
    for (int t = 0; t < kQuads; ++t) {
      int position = first + Place<kColumns>::quad(t) * 4;
      int ow = position, oh = divide(ow, a.out_w);
      int n = divide(oh, a.out_h);
      BITCYCLE_UNROLL
      for (int p = 0; p < 4; ++p, ++position) {
        std::uint32_t code[LX] = {};
        const int h = oh * s.stride + columns.h, w = ow * s.stride + columns.w;
        if (position < end && h >= 0 && h < s.h && w >= 0 && w < s.w) {
          four<LX>(a.x, ((n * s.h + h) * s.w + w) * s.c + columns.channel, code);
        }
        BITCYCLE_UNROLL
        for (int limb = 0; limb < LX; ++limb) staged.x[t][limb][p] = code[limb];
        if (++ow == s.out_w) {
          ow = 0;
          if (++oh == s.out_h) {
            oh = 0;
            ++n;
          }
        }
      }
    }
  }
  /// Columns that each have a tap of their own, or that say where one exists, code by code.
  BITCYCLE_DEVICE static void store_columns(const Args& a, const Columns& columns, int first, int end,
                                            std::uint8_t* tile) {
    const Geometry& s = a.s;
    const int taps = s.taps(), regular = taps * s.c, row = Place<kColumns>::row();
    for (int c = 0; c < 4; ++c) {
      const int column = columns.first + c, tap = column < regular ? column / s.c : column - regular;
      const bool exists = column < regular + taps;
      const int dh = tap / s.kw - s.padding, dw = tap % s.kw - s.padding, channel = column % s.c;
      for (int i = 0; i < kQuads * 4; ++i) {
        const int at = Place<kColumns>::quad(i / 4) * 4 + i % 4, position = first + at;
        int ow = position, oh = divide(ow, a.out_w);
        const int n = divide(oh, a.out_h);
        const int h = oh * s.stride + dh, w = ow * s.stride + dw;
        std::uint32_t q = 0;
        if (exists && position < end && h >= 0 && h < s.h && w >= 0 && w < s.w) {
          q = column >= regular ? 1U
                                : load_code(a.x, LX == 1 ? Container::kUint8 : Container::kUint16,
                                            ((n * s.h + h) * s.w + w) * s.c + channel);
        }
        for (int limb = 0; limb < LX; ++limb) {
          shared_store(tile + limb * kBBytes + (row + c) * kDepth + (at / 16 ^ order(row + c)) * 16 + at % 16,
                       static_cast<std::uint8_t>(q >> (8 * limb)));
        }
      }
    }
  }
  BITCYCLE_DEVICE static void store(const Args& a, const Columns& columns, int first, int end, const Staged& staged,
                                    int stage) {
    auto* tile = shared_memory<std::uint8_t>(stage * kStageBytes);
    BITCYCLE_UNROLL
    for (int t = 0; t < MT; ++t) put<LG, kRows>(tile, kABytes, Place<kRows>::quad(t), staged.g[t]);
    tile += kABytes * LG;
    if (!columns.one_tap) {
      store_columns(a, columns, first, end, tile);
      return;
    }
    BITCYCLE_UNROLL
    for (int t = 0; t < kQuads; ++t) put<LX, kColumns>(tile, kBBytes, Place<kColumns>::quad(t), staged.x[t]);
  }

  BITCYCLE_DEVICE static void run(const Args& a) {
    const Geometry& s = a.s;
    const int columns = s.taps() * s.c + s.taps();
    const int row_tiles = (s.o + kRows - 1) / kRows, column_tiles = (columns + kColumns - 1) / kColumns;
    const int tile = block_index() % (row_tiles * column_tiles), part = block_index() / (row_tiles * column_tiles);
    const int first_row = tile % row_tiles * kRows, first_column = tile / row_tiles * kColumns;
    const int begin = part * a.part;
    const int end = a.positions - begin < a.part ? a.positions : begin + a.part;
    const int lane = lane_index(), warp = thread_index() / 32;
    const Columns own = columns_of(s, first_column + Place<kColumns>::row());
    std::int32_t sums[kDiagonals][MT][2][4];
    for (int d = 0; d < kDiagonals; ++d) {
      for (int m = 0; m < MT; ++m) {
        for (int n = 0; n < 2; ++n) {
          for (int j = 0; j < 4; ++j) sums[d][m][n][j] = 0;
        }
      }
    }
    std::uint32_t column_sums[LX] = {};  // of half of a column: thread / 2
    Staged staged;
    const int chunks = (end - begin + kDepth - 1) / kDepth;
    if (chunks > 0) {
      load(a, own, first_row, begin, end, staged);
      store(a, own, begin, end, staged, 0);
    }
    for (int chunk = 0; chunk < chunks; ++chunk) {
      sync_threads();
      // The next stage's codes are on their way while this one is multiplied.
      const bool more = chunk + 1 < chunks;
      const int next = begin + (chunk + 1) * kDepth;
      if (more) load(a, own, first_row, next, end, staged);
      const auto* bytes = shared_memory<std::uint8_t>(chunk % 2 * kStageBytes);
      BITCYCLE_UNROLL
      for (int step = 0; step < kDepth; step += 32) {
        const int g_row = lane % 16, g_piece = (step + lane / 16 * 16) / 16;
        std::uint32_t fragments[LG][MT][4];
        for (int limb = 0; limb < LG; ++limb) {
          for (int m = 0; m < MT; ++m) {
            const int row = m * 16 + g_row;
            load_matrices(fragments[limb][m], bytes + limb * kABytes + row * kDepth + (g_piece ^ order(row)) * 16);
          }
        }
        const int x_row = warp * 16 + lane / 16 * 8 + lane % 8, x_piece = (step + lane / 8 % 2 * 16) / 16;
        for (int limb = 0; limb < LX; ++limb) {
          std::uint32_t r[4];
          load_matrices(r, bytes + kABytes * LG + limb * kBBytes + x_row * kDepth + (x_piece ^ order(x_row)) * 16);
          const std::uint32_t b[2][2] = {{r[0], r[1]}, {r[2], r[3]}};
          for (int i = 0; i < LG; ++i) multiply_tiles<false>(sums[i + limb], fragments[i], b);
        }
      }
      if (first_row == 0) {
        const int row = thread_index() / 2, half = thread_index() % 2 * (kDepth / 32);
        for (int limb = 0; limb < LX; ++limb) {
          const std::uint8_t* from = bytes + kABytes * LG + limb * kBBytes + row * kDepth;
          for (int i = half; i < half + kDepth / 32; ++i) {
            const Word4 word = shared_load(reinterpret_cast<const Word4*>(from + (i ^ order(row)) * 16));
            for (int j = 0; j < 4; ++j) column_sums[limb] = dot_bytes(word.v[j], 0x01010101U, column_sums[limb]);
          }
        }
      }
      if (more) store(a, own, next, end, staged, (chunk + 1) % 2);
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
    const int column = first_column + thread_index() / 2;
    if (first_row != 0 || column >= columns) return;
    std::int64_t sum = column_sums[0];
    for (int limb = 1; limb < LX; ++limb) sum += static_cast<std::int64_t>(column_sums[limb]) << (8 * limb);
    if (sum != 0) atomic_add(a.sums + static_cast<std::int64_t>(s.o) * columns + column, sum);
  }
};

/// dw from the integers (4.5), a thread an element; they are 0 again afterwards.
struct WeightGradientFinishKernel {
  static constexpr const char* kName = "weight gradient finish";
  static constexpr int kThreads = 128;
  struct Args {
    Geometry s;
    Divisor c, taps;
    const Affine *g, *x;
    std::int64_t* sums;         // as the product leaves them
    const std::int64_t* terms;  // (taps), of one image
    float* dw;
    std::int32_t size;
    std::uint32_t* ticket;  // of these weights
  };
  static constexpr int kSharedBytes = 16;
  BITCYCLE_DEVICE static void run(const Args& a) {
    const WeightGradientScale scale = weight_gradient_scale(*a.g, *a.x);
    const int taps = a.taps.value, regular = taps * a.s.c, columns = regular + taps;
    const std::int64_t* x_sums = a.sums + a.s.o * columns;
    for (auto e = static_cast<int>(first_element()); e < a.size; e += static_cast<int>(grid_threads())) {
      int channel = e, tap = divide(channel, a.c);
      const int o = divide(tap, a.taps);
      std::int64_t* product = a.sums + o * columns + tap * a.s.c + channel;
      const std::int64_t sum = global_load(product);
      global_store(product, std::int64_t{0});
      global_store(a.dw + e, rescale_weight_gradient(scale, to_binary64(sum),
                                                     to_binary64(global_load(a.sums + o * columns + regular + tap)),
                                                     to_binary64(global_load(x_sums + tap * a.s.c + channel)),
                                                     to_binary64(global_load(a.terms + tap) * a.s.n)));
    }
    if (!last_block(a.ticket, shared_memory<std::uint32_t>(0))) return;
    for (int i = thread_index(); i < columns; i += kThreads)
      global_store(a.sums + a.s.o * columns + i, std::int64_t{0});
    for (int i = thread_index(); i < a.s.o * taps; i += kThreads) {
      global_store(a.sums + i / taps * columns + regular + i % taps, std::int64_t{0});
    }
  }
};

}  // namespace bitcycle::BITCYCLE_CUDA_NAMESPACE
