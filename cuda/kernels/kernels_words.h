// SPDX-License-Identifier: Apache-2.0
// Rows of tables by words, and vocabularies in bands (docs/numerics.md, 6.8, 6.16).
#pragma once

#include "cuda/kernels/kernels_common.h"
#include "sim/ops/loss_record.h"

namespace bitcycle::BITCYCLE_CUDA_NAMESPACE {

/// y(r) = row token(r) - first of the table; what else is written where the token is none of its words.
struct GatherKernel {
  static constexpr const char* kName = "gather";
  static constexpr int kThreads = 256;
  struct Args {
    const float* table;
    const std::int32_t* tokens;
    float* y;
    std::uint32_t rows, size;  // elements of a row
    std::int64_t first, words;
    float otherwise;
  };
  BITCYCLE_DEVICE static void run(const Args& a) {
    for (std::uint32_t e = first_element(); e < a.rows * a.size; e += grid_threads()) {
      const std::uint32_t r = e / a.size;
      const std::int64_t word = global_load(a.tokens + r) - a.first;
      const bool belongs = word >= 0 && word < a.words;
      global_store(a.y + e, belongs ? global_load(a.table + word * a.size + e % a.size) : a.otherwise);
    }
  }
};

/// y(r) = x(r) where the row's word is one of first .. first + words - 1, else +0.
struct MaskRowsKernel {
  static constexpr const char* kName = "mask rows";
  static constexpr int kThreads = 256;
  struct Args {
    const float* x;
    const std::int32_t* tokens;
    float* y;
    std::uint32_t rows, size;
    std::int64_t first, words;
  };
  BITCYCLE_DEVICE static void run(const Args& a) {
    for (std::uint32_t e = first_element(); e < a.rows * a.size; e += grid_threads()) {
      const std::int64_t word = global_load(a.tokens + e / a.size) - a.first;
      global_store(a.y + e, word >= 0 && word < a.words ? global_load(a.x + e) : 0.0F);
    }
  }
};

/// dtable(v) = the rows of word first + v, one sum ascending from the first; +0 where there is none. A block a word and
/// kColumns columns: it lists the word's rows a chunk of tokens at a time, and every thread adds its columns of them.
struct GatherGradientKernel {
  static constexpr const char* kName = "gather gradient";
  static constexpr int kThreads = 128;
  static constexpr int kColumns = kThreads * 4;
  struct Args {
    const std::int32_t* tokens;
    const float* dy;
    float* dtable;
    std::uint32_t rows, size, pieces;  // of a word
    std::int64_t first;
  };
  struct Shared {
    std::uint32_t rows[kThreads], counts[kThreads / 32];
    std::int32_t any;
  };
  static constexpr int kSharedBytes = sizeof(Shared);

  BITCYCLE_DEVICE static void run(const Args& a) {
    auto* shared = shared_memory<Shared>(0);
    const std::uint32_t piece = static_cast<std::uint32_t>(block_index()) % a.pieces;
    const std::int64_t v = block_index() / static_cast<int>(a.pieces);
    const std::int64_t word = a.first + v;
    const auto thread = static_cast<std::uint32_t>(thread_index());
    const std::uint32_t column = piece * kColumns + 4 * thread;
    // Most words are not there at all.
    if (thread == 0) shared_store(&shared->any, 0);
    sync_threads();
    bool mine = false;
    for (std::uint32_t r = thread; r < a.rows; r += kThreads) mine = mine || global_load(a.tokens + r) == word;
    if (mine) atomic_max(&shared->any, 1);
    sync_threads();
    Quad sum{};
    bool seen = false;
    if (shared_load(&shared->any) != 0) {
      for (std::uint32_t begin = 0; begin < a.rows; begin += kThreads) {
        const std::uint32_t r = begin + thread;
        const bool is_row = r < a.rows && global_load(a.tokens + r) == word;
        const std::uint32_t bits = ballot(kAllLanes, is_row);
        if (lane_index() == 0) shared_store(&shared->counts[thread / 32], count_bits(bits));
        sync_threads();
        std::uint32_t before = 0, all = 0;
        for (std::uint32_t w = 0; w < kThreads / 32; ++w) {
          const std::uint32_t count = shared_load(&shared->counts[w]);
          if (w < thread / 32) before += count;
          all += count;
        }
        if (is_row) {
          const std::uint32_t lower = bits & ((1U << lane_index()) - 1U);
          shared_store(&shared->rows[before + count_bits(lower)], r);
        }
        sync_threads();
        for (std::uint32_t i = 0; i < all; ++i) {
          if (column >= a.size) break;
          const float* row = a.dy + static_cast<std::int64_t>(shared_load(&shared->rows[i])) * a.size;
          const Quad x = load_quad(row, column, a.size);
          // The first row is taken as it is, so that -0 stays -0.
          for (int j = 0; j < 4; ++j) sum.v[j] = seen ? sum.v[j] + x.v[j] : x.v[j];
          seen = true;
        }
        sync_threads();
      }
    }
    if (column < a.size) store_quad(a.dtable + v * a.size, column, a.size, sum);
  }

  BITCYCLE_DEVICE static std::uint32_t count_bits(std::uint32_t word) {
    word = word - ((word >> 1) & 0x55555555U);
    word = (word & 0x33333333U) + ((word >> 2) & 0x33333333U);
    return (((word + (word >> 4)) & 0x0F0F0F0FU) * 0x01010101U) >> 24;
  }
};

/// Labels of the head and of every band.
struct BandLabelsKernel {
  static constexpr const char* kName = "band labels";
  static constexpr int kThreads = 256;
  static constexpr int kMostBands = 16;
  struct Args {
    const std::int32_t* tokens;
    std::int64_t cutoffs[kMostBands];
    std::int32_t* labels[kMostBands];
    std::uint32_t bands, rows;
  };
  BITCYCLE_DEVICE static void run(const Args& a) {
    for (std::uint32_t r = first_element(); r < a.rows; r += grid_threads()) {
      const std::int32_t token = global_load(a.tokens + r);
      std::uint32_t band = 0;
      while (band < a.bands && a.cutoffs[band] <= token) ++band;
      for (std::uint32_t i = 0; i < a.bands; ++i) {
        std::int32_t label = -1;
        if (i == 0) {
          label = band == 0 ? token : static_cast<std::int32_t>(a.cutoffs[0] + band - 1);
        } else if (band == i) {
          label = token - static_cast<std::int32_t>(a.cutoffs[i - 1]);
        }
        global_store(a.labels[i] + r, label);
      }
    }
  }
};

/// The sum of losses in binary64, in their order.
struct AddLossesKernel {
  static constexpr const char* kName = "add losses";
  static constexpr int kThreads = 32;
  static constexpr int kMostLosses = 16;
  struct Args {
    const LossRecord* losses[kMostLosses];
    std::uint32_t count;
    LossRecord* loss;
  };
  BITCYCLE_DEVICE static void run(const Args& a) {
    if (thread_index() != 0) return;
    LossRecord sum = *a.losses[0];
    for (std::uint32_t i = 1; i < a.count; ++i) sum.loss = sum.loss + a.losses[i]->loss;
    *a.loss = sum;
  }
};

}  // namespace bitcycle::BITCYCLE_CUDA_NAMESPACE
