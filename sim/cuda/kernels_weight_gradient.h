// SPDX-License-Identifier: Apache-2.0
// The weight gradient on tensor cores: rows are output channels, columns taps and input channels, the reduction over
// positions is split over blocks and added with 64-bit atomics.
#pragma once

#include "sim/cuda/tile_product.h"

namespace bitcycle::BITCYCLE_CUDA_NAMESPACE {

/// Weight gradient: integers of a part of the positions added to `sums` in 64 bits, 0 before. Rows are output channels;
/// columns taps and input channels, and behind them a column a tap whose codes are 1 where the tap exists, which gives
/// the sums of gradient codes that the offsets need. The row behind the last has the columns' own sums.
/// LG, LX: limbs of gradient and activation codes; MT: 16 output channels a tile.
template <int LG, int LX, int MT>
struct WeightGradientProductKernel {
  static constexpr const char* kName = "convolution weight gradient";
  static constexpr int kThreads = 128, kMinBlocks = LG + LX > 2 ? 2 : (MT == 1 ? 4 : 3);
  static constexpr int kDiagonals = LG + LX - 1;
  static constexpr int kRows = 16 * MT, kColumns = 64;
  static constexpr int kDepth = 128;  // positions a stage, bytes of a row
  static constexpr int kABytes = kRows * kDepth, kBBytes = kColumns * kDepth;
  static constexpr int kStageBytes = kABytes * LG + kBBytes * LX;
  static constexpr int kSharedBytes = 2 * kStageBytes;
  struct Args {
    Geometry s;
    Divisor out_w, out_h;
    ClassMap map;  // of outputs
    const void *g, *x;
    std::int64_t* sums;      // (o + 1, taps * c + taps)
    std::int32_t positions;  // n * out_h * out_w
    std::int32_t part;       // positions of one block, a multiple of kDepth
  };

  /// 4 Count neighbouring codes as bytes, limb by limb.
  template <int L, int Count>
  BITCYCLE_DEVICE static void load_codes(const void* codes, std::int32_t at, std::uint32_t (&limbs)[Count][L]) {
    using Words = std::conditional_t<Count * L == 1, std::uint32_t,
                                     std::conditional_t<Count * L == 2, Pair<std::uint32_t>, Word4>>;
    constexpr int kEach = static_cast<int>(sizeof(Words) / 4), kLoads = Count * L / kEach;
    const auto* from = reinterpret_cast<const Words*>(static_cast<const std::uint8_t*>(codes) + at * L);
    std::uint32_t word[Count * L];
    BITCYCLE_UNROLL
    for (int i = 0; i < kLoads; ++i) {
      const Words loaded = global_load(from + i);
      memcpy(word + i * kEach, &loaded, sizeof loaded);
    }
    BITCYCLE_UNROLL
    for (int i = 0; i < Count; ++i) {
      if constexpr (L == 1) {
        limbs[i][0] = word[i];
      } else {
        for (int limb = 0; limb < L; ++limb) limbs[i][limb] = limb_of(word[2 * i], word[2 * i + 1], limb);
      }
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
  BITCYCLE_DEVICE static int order(int row) { return (row & 7) ^ (row >> 3 & 3) ^ (row >> 5 & 1) * 4; }

  /// Codes of four channels at four positions, turned into rows of the tile: row = channel, byte = position.
  template <int L>
  BITCYCLE_DEVICE static void put(std::uint8_t* tile, int bytes, int row, int quad, const std::uint32_t (&code)[L][4]) {
    const int piece = quad / 4 ^ order(row);
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

  /// A thread has 16 columns and four positions of a stage, so that it reads 16 codes at once: neighbouring lanes have
  /// neighbouring columns.
  struct Columns {
    enum Kind : std::uint8_t { kOneTap, kExistence, kMixed } kind = kMixed;
    std::int32_t row = 0, first = 0;         // in the tile, of all
    std::int32_t h = 0, w = 0, channel = 0;  // of one tap: from a position's pixel
  };
  BITCYCLE_DEVICE static Columns columns_of(const Geometry& s, int first_column) {
    Columns c;
    c.row = thread_index() % 4 * 16;
    c.first = first_column + c.row;
    const int regular = s.taps() * s.c;
    if (c.first >= regular) c.kind = Columns::kExistence;
    if (s.c % 16 != 0 || c.first >= regular) return c;
    c.kind = Columns::kOneTap;
    const int tap = c.first / s.c;
    c.channel = c.first % s.c;
    c.h = tap / s.kw - s.padding;
    c.w = tap % s.kw - s.padding;
    return c;
  }
  BITCYCLE_DEVICE static int quad() { return thread_index() / 4; }

  /// A thread's codes of a stage, on their way to shared memory: of columns four times four channels.
  struct Staged {
    std::uint32_t g[MT][LG][4], x[4][LX][4];
  };
  /// Codes of the next stage on their way to registers: rows, whose channels are a multiple of four, and columns of one
  /// tap. What the other columns hold is made when it is stored.
  BITCYCLE_DEVICE static void load(const Args& a, const Columns& columns, int first_row, int first, int end,
                                   Staged& staged) {
    const Geometry& s = a.s;
    const int o = first_row + Place<kRows>::row();
    BITCYCLE_UNROLL
    for (int t = 0; t < MT; ++t) {
      const int begin = first + Place<kRows>::quad(t) * 4;
      BITCYCLE_UNROLL
      for (int p = 0; p < 4; ++p) {
        std::uint32_t code[1][LG] = {};
        if (begin + p < end && o < s.o) load_codes<LG, 1>(a.g, (begin + p) * s.o + o, code);
        BITCYCLE_UNROLL
        for (int limb = 0; limb < LG; ++limb) staged.g[t][limb][p] = code[0][limb];
      }
    }
    if (columns.kind != Columns::kOneTap) return;
    int position = first + quad() * 4;
    int ow = position, oh = divide(ow, a.out_w);
    int n = divide(oh, a.out_h);
    BITCYCLE_UNROLL
    for (int p = 0; p < 4; ++p, ++position) {
      std::uint32_t code[4][LX] = {};
      const int h = oh * s.stride + columns.h, w = ow * s.stride + columns.w;
      if (position < end && h >= 0 && h < s.h && w >= 0 && w < s.w) {
        load_codes<LX, 4>(a.x, ((n * s.h + h) * s.w + w) * s.c + columns.channel, code);
      }
      BITCYCLE_UNROLL
      for (int i = 0; i < 4; ++i) {
        BITCYCLE_UNROLL
        for (int limb = 0; limb < LX; ++limb) staged.x[i][limb][p] = code[i][limb];
      }
      if (++ow == s.out_w) {
        ow = 0;
        if (++oh == s.out_h) {
          oh = 0;
          ++n;
        }
      }
    }
  }
  /// Bit k: tap k exists at a position.
  BITCYCLE_DEVICE static std::uint64_t taps_at(const Args& a, int position) {
    int ow = position, oh = divide(ow, a.out_w);
    divide(oh, a.out_h);
    return global_load(a.map.taps + a.map.of(oh, ow));
  }
  BITCYCLE_DEVICE static void put_word(std::uint8_t* tile, int row, std::uint32_t word) {
    shared_store(
        reinterpret_cast<std::uint32_t*>(tile + row * kDepth + (quad() / 4 ^ order(row)) * 16 + quad() % 4 * 4), word);
  }
  /// Columns that say where a tap exists, and zeros behind them.
  BITCYCLE_DEVICE static void put_existence(const Args& a, const Columns& columns, int first, int end,
                                            std::uint8_t* tile) {
    const int tap = columns.first - a.s.taps() * a.s.c, position = first + quad() * 4;
    // Sixteen taps of a position are half a word; even and odd positions, two a word.
    std::uint32_t even = 0, odd = 0;
    for (int p = 0; p < 4; ++p) {
      if (position + p >= end || tap >= StreamedRows::kMostTaps) continue;
      const auto taps = static_cast<std::uint32_t>(taps_at(a, position + p) >> tap) & 0xFFFFU;
      (p % 2 == 0 ? even : odd) |= taps << (p / 2 * 16);
    }
    BITCYCLE_UNROLL
    for (int c = 0; c < 16; ++c) {
      put_word(tile, columns.row + c, ((even >> c) & 0x00010001U) | (((odd >> c) & 0x00010001U) << 8));
      for (int limb = 1; limb < LX; ++limb) put_word(tile + limb * kBBytes, columns.row + c, 0U);
    }
  }
  /// Columns that each have a tap of their own, code by code: of channels that are no multiple of 16.
  BITCYCLE_DEVICE static void put_mixed(const Args& a, const Columns& columns, int first, int end, std::uint8_t* tile) {
    const Geometry& s = a.s;
    const int taps = s.taps(), regular = taps * s.c;
    for (int c = 0; c < 16; ++c) {
      const int column = columns.first + c, tap = column < regular ? column / s.c : column - regular;
      const int dh = tap / s.kw - s.padding, dw = tap % s.kw - s.padding, channel = column % s.c;
      std::uint32_t word[LX] = {};
      for (int p = 0; p < 4; ++p) {
        const int position = first + quad() * 4 + p;
        int ow = position, oh = divide(ow, a.out_w);
        const int n = divide(oh, a.out_h);
        const int h = oh * s.stride + dh, w = ow * s.stride + dw;
        if (column >= regular + taps || position >= end || h < 0 || h >= s.h || w < 0 || w >= s.w) continue;
        std::uint32_t q = 1;
        if (column < regular) {
          q = load_code(a.x, LX == 1 ? Container::kUint8 : Container::kUint16,
                        ((n * s.h + h) * s.w + w) * s.c + channel);
        }
        for (int limb = 0; limb < LX; ++limb) word[limb] |= ((q >> (8 * limb)) & 255U) << (8 * p);
      }
      for (int limb = 0; limb < LX; ++limb) put_word(tile + limb * kBBytes, columns.row + c, word[limb]);
    }
  }
  BITCYCLE_DEVICE static void store(const Args& a, const Columns& columns, int first, int end, const Staged& staged,
                                    int stage) {
    auto* tile = shared_memory<std::uint8_t>(stage * kStageBytes);
    BITCYCLE_UNROLL
    for (int t = 0; t < MT; ++t) put<LG>(tile, kABytes, Place<kRows>::row(), Place<kRows>::quad(t), staged.g[t]);
    tile += kABytes * LG;
    if (columns.kind == Columns::kExistence) return put_existence(a, columns, first, end, tile);
    if (columns.kind == Columns::kMixed) return put_mixed(a, columns, first, end, tile);
    BITCYCLE_UNROLL
    for (int i = 0; i < 4; ++i) put<LX>(tile, kBBytes, columns.row + 4 * i, quad(), staged.x[i]);
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
    const Columns own = columns_of(s, first_column);
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
