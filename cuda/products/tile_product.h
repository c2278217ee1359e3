// SPDX-License-Identifier: Apache-2.0
// One tile of an implicit matrix product on int8 tensor cores: bytes times bytes in 32-bit sums that cannot overflow,
// wider codes as limbs of 8 bits whose sums are added in 64 bits. Rows are positions, columns channels, the reduction
// runs over taps and channels.
#pragma once

#include "cuda/kernels/fast_divide.h"
#include "cuda/kernels/kernels_quantise.h"

namespace bitcycle::BITCYCLE_CUDA_NAMESPACE {

/// Where the rows of a product's streamed operand come from. Kernels of at most 64 taps.
struct StreamedRows {
  static constexpr std::int64_t kMostTaps = 64;
  const void* codes;     // (n, source_h, source_w, channels), bytes or 16-bit words
  std::int32_t rows;     // n * h * w
  Divisor h, w, stride;  // h, w: of the rows' positions
  std::int32_t source_h, source_w;
  std::int32_t channels;  // of a pixel that the reduction runs over: all, or a tile's window (group_tiles.h)
  std::int32_t pixel;     // codes from one pixel to the next
  std::int32_t kh, kw, padding;
  bool transposed;     // error pass: row (h, w) meets (h + padding - kh) / stride
  bool segments;       // sixteen codes that begin at a multiple of sixteen channels are 16-byte segments of memory
  std::int32_t depth;  // kh * kw * channels
  ClassMap map;        // which taps exist at a row's position
  /// Of each tap's pixel from the row's, in codes. In an error pass with a stride s: where s divides a - k,
  /// (a - k) / s = floor(a / s) - floor(k / s).
  std::int32_t offsets[kMostTaps + 1];

  void set_offsets() {
    depth = kh * kw * channels;
    segments = channels % 16 == 0 && pixel % 16 == 0;
    for (std::int32_t tap = 0; tap < kh * kw; ++tap) {
      const std::int32_t y = tap / kw, x = tap % kw;
      offsets[tap] = (transposed ? -(y / stride.value * source_w + x / stride.value) : y * source_w + x) * pixel;
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
    cursor.position_class = row_class * map.columns + column_class;
    cursor.taps = global_load(map.taps + cursor.position_class);
    const int base_y = transposed ? quotient(y + padding, stride) : y * stride.value - padding;
    const int base_x = transposed ? quotient(x + padding, stride) : x * stride.value - padding;
    cursor.base = ((n * source_h + base_y) * source_w + base_x) * pixel;
    return cursor;
  }
};
/// A position in the reduction, the same for all rows.
struct Tap {
  int index = 0, channel = 0;
};

/// Bytes of one parity of two words of 16-bit codes {c0, c1}, {c2, c3}: limb 0 or 1 of the four.
BITCYCLE_DEVICE std::uint32_t limb_of(std::uint32_t first, std::uint32_t second, int limb) {
  return permute_bytes(first, second, limb == 0 ? 0x6420U : 0x7531U);
}

/// Bits of 1.5 * 2^52. The double whose bits are larger by v is larger by v, for |v| <= 2^51.
constexpr std::uint64_t kIntegerBits = 0x4338000000000000U;
constexpr double kIntegerBase = 0x1.8p52;
BITCYCLE_DEVICE double double_of_bits(std::uint64_t bits) {
  return double_of_words(static_cast<std::uint32_t>(bits >> 32), static_cast<std::uint32_t>(bits));
}

/// What belongs to a row besides its sums. Offsets count elements: they are multiplied once a row, not once a thread.
struct alignas(16) RowInfo {
  std::int32_t at;              // of the position's first channel in the result; -1: no such position
  std::int32_t offsets;         // of its class in the table of offsets
  std::uint32_t codes, unused;  // sum of its codes: at most 33,025 of 16 bits
};

/// Columns of the result that a tile has: from the first one to before the end.
struct ColumnSpan {
  std::int32_t first, end;
};

/// The sums of one block's product on their way from tensor cores to the epilogue: rows x 8 NT columns in shared
/// memory, beside them what belongs to a row. Each of four warps writes and reads its own 16 MT rows.
template <int LA, int LB, bool SignedB, int NT, int MT>
struct TileOfSums {
  static constexpr int kDiagonals = LA + LB - 1;  // sums of limbs of equal weight, 2^(8 d)
  static constexpr int kWarpRows = 16 * MT, kRows = 4 * kWarpRows, kColumns = 8 * NT;
  static_assert(kDiagonals > 1 || !SignedB, "a single sum is taken as unsigned");
  using Sum = std::conditional_t<kDiagonals == 1, std::uint32_t, double>;
  static constexpr int kPitch = kColumns + 8;  // rows that are stored together lie in different banks
  static constexpr int kSumBytes = kRows * kPitch * static_cast<int>(sizeof(Sum));

  // How the columns of the result are dealt out. Products with groups deal them otherwise (grouped_tile.h).
  template <typename Source>
  BITCYCLE_HD static std::int32_t column_tiles(const Source&, std::int32_t columns) {
    return (columns + kColumns - 1) / kColumns;
  }
  template <typename Source>
  BITCYCLE_DEVICE static ColumnSpan columns_at(const Source&, std::int32_t columns, int tile) {
    return {tile * kColumns, columns};
  }
  /// The sums of streamed codes that four neighbouring columns of a row are offset by: the row's.
  struct StreamedSums {
    template <typename Source>
    BITCYCLE_DEVICE StreamedSums(const Source&, int, int) {}
    BITCYCLE_DEVICE void load(std::uint32_t codes, int, double (&sums)[4]) const {
      for (int j = 0; j < 4; ++j) sums[j] = static_cast<double>(codes);
    }
  };

  /// Limbs' sums of one element, together. All but those of the highest limb are not negative. Up to four limbs make at
  /// most 46 bits (fits_tensor_cores), which are exact; five round once.
  template <typename Sums>
  BITCYCLE_DEVICE static Sum together(const Sums& sums, int m, int n, int j) {
    if constexpr (kDiagonals == 1) {
      return static_cast<std::uint32_t>(sums[0][m][n][j]);
    } else {
      std::uint64_t whole = static_cast<std::uint32_t>(sums[0][m][n][j]);
      if (LA + LB < 5) whole |= kIntegerBits;
      for (int d = 1; d < kDiagonals; ++d) {
        whole += static_cast<std::uint64_t>(std::int64_t{sums[d][m][n][j]} * (1 << (8 * d)));
      }
      if constexpr (LA + LB < 5) return double_of_bits(whole) - kIntegerBase;
      return to_binary64(static_cast<std::int64_t>(whole));
    }
  }
  /// Where the thread's first sum goes, in bytes.
  BITCYCLE_DEVICE static int first_sum() {
    const int lane = lane_index(), row = thread_index() / 32 * kWarpRows + lane / 4;
    return (row * kPitch + lane % 4 * 2) * static_cast<int>(sizeof(Sum));
  }
  BITCYCLE_DEVICE static void store_sums(const std::int32_t (&sums)[kDiagonals][MT][NT][4], int first) {
    auto* tile = shared_memory<Sum>(first);
    for (int m = 0; m < MT; ++m) {
      for (int n = 0; n < NT; ++n) {
        for (int j = 0; j < 4; j += 2) {
          const Pair<Sum> pair{together(sums, m, n, j), together(sums, m, n, j + 1)};
          shared_store(reinterpret_cast<Pair<Sum>*>(tile + (m * 16 + j / 2 * 8) * kPitch + n * 8), pair);
        }
      }
    }
  }
  /// Four neighbouring sums of a row, in binary64.
  BITCYCLE_DEVICE static void load_sums(int row, int column, double (&sums)[4]) {
    const Sum* from = shared_memory<Sum>(0) + row * kPitch + column;
    if constexpr (kDiagonals == 1) {
      const Word4 word = shared_load(reinterpret_cast<const Word4*>(from));
      for (int j = 0; j < 4; ++j) sums[j] = static_cast<double>(word.v[j]);
    } else {
      for (int j = 0; j < 4; j += 2) {
        const Pair<Sum> pair = shared_load(reinterpret_cast<const Pair<Sum>*>(from + j));
        sums[j] = pair.v[0];
        sums[j + 1] = pair.v[1];
      }
    }
  }
  BITCYCLE_DEVICE static double load_sum(int row, int column) {
    return static_cast<double>(shared_load(shared_memory<Sum>(0) + row * kPitch + column));
  }
  BITCYCLE_DEVICE static RowInfo load_row(int info, int row) {
    const Word4 word = shared_load(shared_memory<Word4>(info) + row);
    return {static_cast<std::int32_t>(word.v[0]), static_cast<std::int32_t>(word.v[1]), word.v[2], word.v[3]};
  }
};

/// One block's product: 128 rows x 8 NT columns, 32 or 64 codes of the reduction at a time, three stages in flight.
/// LA, LB: limbs of the streamed operand and of the weights; SignedB: the weights' highest limb is signed (weights
/// `shared`, which needs no sums of the rows' codes).
template <int LA, int LB, bool SignedB, int NT>
struct TileProduct : TileOfSums<LA, LB, SignedB, NT, 2> {
  using Sums = TileOfSums<LA, LB, SignedB, NT, 2>;
  using Source = StreamedRows;
  using Sums::kColumns, Sums::kDiagonals, Sums::kRows;
  static constexpr bool kSigned = SignedB;
  static constexpr int kTiles = NT, kLimbs = LB;
  // Blocks that fit a multiprocessor, by registers.
  static constexpr int kForwardBlocks = LA + LB == 2 && NT <= 4 ? 3 : 2;
  static constexpr int kErrorBlocks = NT == 2 && LA + LB <= (SignedB ? 3 : 2) ? 3 : 2;
  static constexpr int kBlock = 128, kStages = 3;
  static constexpr int kDepth = LA == 1 ? 64 : 32;  // codes a stage
  static constexpr int kBytePitch = kDepth + 16;    // of a row: eight rows lie in different banks
  static constexpr int kABytes = kRows * kBytePitch, kBBytes = kColumns * kBytePitch;
  static constexpr int kStageBytes = kABytes * LA + kBBytes * LB;
  static constexpr int kWork = kStages * kStageBytes > Sums::kSumBytes ? kStages* kStageBytes : Sums::kSumBytes;
  // After the stages, which the tile of sums shares.
  static constexpr int kRowInfo = kWork, kEnd = kRowInfo + kRows * static_cast<int>(sizeof(RowInfo));

  // Segments of 16 bytes of the weights' part of a stage; a thread has the same ones in every stage.
  static constexpr int kParts = kDepth / 16, kSegments = kColumns * LB * kParts,
                       kOwn = (kSegments + kBlock - 1) / kBlock;

  BITCYCLE_DEVICE static void load_stage(const StreamedRows& x, StreamedRows::Cursor& row, Tap& tap,
                                         const std::uint8_t* const (&weights)[kOwn], int chunk, int stage) {
    auto* bytes = shared_memory<std::uint8_t>(stage * kStageBytes);
    // Weights are padded, so that every 16 bytes are there.
    BITCYCLE_UNROLL
    for (int i = 0; i < kOwn; ++i) {
      const int segment = thread_index() + i * kBlock;
      if (kSegments % kBlock != 0 && segment >= kSegments) break;
      async_copy16(bytes + kABytes * LA + segment / kParts * kBytePitch + segment % kParts * 16,
                   weights[i] + chunk * kDepth, true);
    }
    // The thread's row.
    std::uint8_t* to = bytes + thread_index() * kBytePitch;
    if (x.segments) {
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

  const StreamedRows& x;
  const Packed& weights;
  const int columns, first_weights, first_channel;
  /// of_result: columns of the result; first_row: of the tile's weights; channel: of a pixel's, where the tile's begin.
  BITCYCLE_DEVICE TileProduct(const StreamedRows& rows, const Packed& packed, int of_result, int first_row, int, int,
                              int channel = 0)
      : x(rows), weights(packed), columns(of_result), first_weights(first_row), first_channel(channel) {}

  /// Chunks of rows, and the position of a chunk's row r; -1: none.
  BITCYCLE_HD static int chunks(const StreamedRows& x) { return (x.rows + kRows - 1) / kRows; }
  static int shared_bytes(const StreamedRows&, int of_kernel) { return of_kernel; }
  BITCYCLE_DEVICE int position(int chunk, int r) const {
    const int row = chunk * kRows + r;
    return row < x.rows ? row : -1;
  }

  /// A chunk's sums into shared memory; the rows' sums of codes, classes and positions beside them.
  BITCYCLE_DEVICE void run(int chunk_index, int) {
    const int thread = thread_index(), lane = lane_index(), warp = thread / 32;
    StreamedRows::Cursor row = x.row(chunk_index * kRows + thread);
    row.base += first_channel;
    Tap tap;
    const std::uint8_t* own_weights[kOwn];
    BITCYCLE_UNROLL
    for (int i = 0; i < kOwn; ++i) {
      const int segment = thread + i * kBlock, column = segment / kParts % kColumns, limb = segment / kParts / kColumns;
      own_weights[i] =
          weights.bytes + (limb * weights.rows + first_weights + column) * weights.depth + segment % kParts * 16;
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
    Sums::store_sums(sums, Sums::first_sum());
    std::uint32_t own = codes[0];
    for (int limb = 1; limb < LA; ++limb) own += codes[limb] << (8 * limb);
    const int at = position(chunk_index, thread);
    shared_store(shared_memory<Word4>(kRowInfo) + thread,
                 Word4{{static_cast<std::uint32_t>(at < 0 ? -1 : at * columns),
                        static_cast<std::uint32_t>(row.position_class * columns), own, 0U}});
    sync_threads();
  }
  /// The tile is read; the next one's stages overwrite it.
  BITCYCLE_DEVICE static void done() { sync_threads(); }
};

}  // namespace bitcycle::BITCYCLE_CUDA_NAMESPACE
