// SPDX-License-Identifier: Apache-2.0
// All time steps of an LSTM layer whose products are of bytes (docs/numerics.md, 6.9 and 6.10). Forward, a launch a
// time step: every block quantises the state's rows that it needs, multiplies them with the recurrent weights of 8
// units' four gates, and goes on to the cell of those units. Backward, two launches a time step: the codes of both
// products' gradients, and the error pass of the recurrent weights with the cell of the time step before. What needs no
// time step before it is one launch for all of them. Warps divide the terms of a product among them; fragments come
// straight from memory where both operands lie with their terms side by side, for the order of an integer sum is free.
#pragma once

#include "cuda/kernels/kernels_lstm.h"
#include "cuda/kernels/kernels_nodes.h"
#include "cuda/kernels/kernels_weights.h"
#include "sim/number/order_free_sum.h"
#include "sim/ops/rescale.h"

namespace bitcycle::BITCYCLE_CUDA_NAMESPACE {

/// A time step of a layer, in device memory. Null: nobody looks at it.
struct LstmStep {
  // Of the forward pass.
  const float* x = nullptr;         // (n, inputs)
  std::uint8_t* x_codes = nullptr;  // (n, inputs)
  Affine* x_grid = nullptr;
  Range* x_range = nullptr;
  const float *h = nullptr, *cell = nullptr;  // (n, units)
  std::uint8_t* h_codes = nullptr;            // (n, units)
  Affine* h_grid = nullptr;
  Range* h_range = nullptr;
  float *gates = nullptr, *next_cell = nullptr, *squashed = nullptr, *output = nullptr;
  // Of the backward pass; what both passes have is above.
  const float* doutput = nullptr;  // (n, units), without what comes from the next time step
  Range *x_product_range = nullptr, *h_product_range = nullptr;  // of the gradient, for the reports of both products
  Affine *x_product_grid = nullptr, *h_product_grid = nullptr;
  std::uint8_t *x_product_codes = nullptr, *h_product_codes = nullptr;  // (n, 4 units)
  std::uint32_t x_product_noise = 0, h_product_noise = 0;               // tensor ids of their streams
  float* dx = nullptr;                                                  // (n, inputs)
};

/// What the launches of a layer share.
struct LstmLayer {
  const LstmStep* steps;
  std::int32_t count, rows, inputs, units;
  std::int32_t *lo, *hi;  // keys of a range a time step
};

/// The weights of one of the two products.
struct LstmWeights {
  Packed packed;
  const Affine* affine;           // forward: one an output channel; error pass: the shared grid
  const std::int64_t* code_sums;  // one a row of what is packed
};

/// A tile of 32 rows by 8 NT columns of a product, its terms divided among eight warps, as partial sums in shared
/// memory.
template <int NT>
struct RowTile {
  static constexpr int kThreads = 256, kWarps = kThreads / 32, kRows = 32;
  static constexpr int kColumns = 8 * NT, kPitch = kColumns + 8;
  static constexpr int kSharedBytes = kWarps * kRows * kPitch * 4;
  /// `row(r)`: pointer to the first of the row's codes, of which `chunks` times 64 are read, or null; `column(n)`: of
  /// the packed row of column n.
  template <typename Row, typename Column>
  BITCYCLE_DEVICE static void multiply(int chunks, Row row, Column column, bool is_signed, std::int32_t* partial,
                                       std::int32_t* row_sums) {
    const int lane = lane_index(), warp = thread_index() / 32, part = 16 * (lane % 4);
    std::int32_t sums[2][NT][4] = {}, code_sums[2][1][4] = {};
    const std::uint32_t ones[1][2] = {{0x01010101U, 0x01010101U}};
    const std::uint8_t* a_row[4];
    BITCYCLE_UNROLL
    for (int i = 0; i < 4; ++i) a_row[i] = row(lane / 4 + 8 * i);
    const std::uint8_t* b_row[NT];
    BITCYCLE_UNROLL
    for (int n = 0; n < NT; ++n) b_row[n] = column(n, lane / 4);
    for (int chunk = warp; chunk < chunks; chunk += kWarps) {
      Word4 a[4], b[NT];
      BITCYCLE_UNROLL
      for (int n = 0; n < NT; ++n) b[n] = global_load(reinterpret_cast<const Word4*>(b_row[n] + chunk * 64 + part));
      BITCYCLE_UNROLL
      for (int i = 0; i < 4; ++i) {
        a[i] = a_row[i] == nullptr ? Word4{} : *reinterpret_cast<const Word4*>(a_row[i] + chunk * 64 + part);
      }
      BITCYCLE_UNROLL
      for (int half = 0; half < 4; half += 2) {
        std::uint32_t left[2][4], right[NT][2];
        BITCYCLE_UNROLL
        for (int m = 0; m < 2; ++m) {
          left[m][0] = a[2 * m].v[half];
          left[m][1] = a[2 * m + 1].v[half];
          left[m][2] = a[2 * m].v[half + 1];
          left[m][3] = a[2 * m + 1].v[half + 1];
        }
        BITCYCLE_UNROLL
        for (int n = 0; n < NT; ++n) {
          right[n][0] = b[n].v[half];
          right[n][1] = b[n].v[half + 1];
        }
        if (is_signed) {
          // Column tile 0: the low byte of a signed word; 1: the high one.
          const std::uint32_t low[1][2] = {{right[0][0], right[0][1]}},
                              high[1][2] = {{right[NT - 1][0], right[NT - 1][1]}};
          std::int32_t of_low[2][1][4], of_high[2][1][4];
          BITCYCLE_UNROLL
          for (int m = 0; m < 2; ++m) {
            BITCYCLE_UNROLL
            for (int i = 0; i < 4; ++i) {
              of_low[m][0][i] = sums[m][0][i];
              of_high[m][0][i] = sums[m][NT - 1][i];
            }
          }
          multiply_tiles<false, 2, 1>(of_low, left, low);
          multiply_tiles<true, 2, 1>(of_high, left, high);
          BITCYCLE_UNROLL
          for (int m = 0; m < 2; ++m) {
            BITCYCLE_UNROLL
            for (int i = 0; i < 4; ++i) {
              sums[m][0][i] = of_low[m][0][i];
              sums[m][NT - 1][i] = of_high[m][0][i];
            }
          }
        } else {
          multiply_tiles<false, 2, NT>(sums, left, right);
          multiply_tiles<false, 2, 1>(code_sums, left, ones);
        }
      }
    }
    BITCYCLE_UNROLL
    for (int m = 0; m < 2; ++m) {
      BITCYCLE_UNROLL
      for (int i = 0; i < 4; ++i) {
        const int r = 16 * m + lane / 4 + 8 * (i / 2);
        BITCYCLE_UNROLL
        for (int n = 0; n < NT; ++n) {
          shared_store(partial + (warp * kRows + r) * kPitch + 8 * n + 2 * (lane % 4) + i % 2, sums[m][n][i]);
        }
        if (row_sums != nullptr && lane % 4 == 0 && i % 2 == 0) {
          shared_store(row_sums + warp * kRows + r, code_sums[m][0][i]);
        }
      }
    }
    sync_threads();
  }
  BITCYCLE_DEVICE static std::int64_t sum(const std::int32_t* partial, int row, int column) {
    std::int64_t all = 0;
    for (int w = 0; w < kWarps; ++w) all += shared_load(partial + (w * kRows + row) * kPitch + column);
    return all;
  }
  BITCYCLE_DEVICE static std::int64_t row_sum(const std::int32_t* row_sums, int row) {
    std::int64_t all = 0;
    for (int w = 0; w < kWarps; ++w) all += shared_load(row_sums + w * kRows + row);
    return all;
  }
};

/// Extremes of a time step, by warps, to where its blocks' meet.
BITCYCLE_DEVICE void merge_range(KeyRange keys, std::int32_t* lo, std::int32_t* hi) {
  keys = warp_range(keys);
  if (lane_index() != 0 || keys.lo > keys.hi) return;
  atomic_min(lo, keys.lo);
  atomic_max(hi, keys.hi);
}

/// The grid of an activation: of its range, or of the running one where nothing is trained.
struct LstmGrid {
  const BitWidth* width;
  MinScale min_scale;
  float* running;  // moved by training
  bool training;
  BITCYCLE_DEVICE Affine of(Range range) const {
    return training ? affine_of(range, *width, min_scale) : running_affine(running, *width, min_scale);
  }
};

/// Block t: range, grid and codes of the layer's input at time step t. The last block: the range of the state that the
/// step begins with; the keys of the other time steps are cleared.
struct LstmInputsKernel {
  static constexpr const char* kName = "lstm inputs";
  static constexpr int kThreads = 1024;
  struct Args {
    LstmLayer of;
    LstmGrid x;
    Range* ranges;  // one a time step
  };
  struct Shared {
    std::int32_t lo, hi;
  };
  static constexpr int kSharedBytes = sizeof(Shared);
  BITCYCLE_DEVICE static void run(const Args& a) {
    auto* shared = shared_memory<Shared>(0);
    const bool is_state = block_index() == a.of.count;
    const LstmStep& step = a.of.steps[is_state ? 0 : block_index()];
    const float* x = is_state ? step.h : step.x;
    const int size = a.of.rows * (is_state ? a.of.units : a.of.inputs);
    if (thread_index() == 0) {
      shared->lo = INT32_MAX;
      shared->hi = INT32_MIN;
    }
    sync_threads();
    KeyRange keys;
    for (int e = thread_index(); e < size; e += kThreads) include(keys, global_load(x + e));
    merge_range(keys, &shared->lo, &shared->hi);
    sync_threads();
    keys = {shared_load(&shared->lo), shared_load(&shared->hi)};
    if (is_state) {
      for (int t = thread_index(); t <= a.of.count; t += kThreads) {
        global_store(a.of.lo + t, t == 0 ? keys.lo : INT32_MAX);
        global_store(a.of.hi + t, t == 0 ? keys.hi : INT32_MIN);
      }
      return;
    }
    const Range range = range_of_keys(keys);
    const Affine grid = a.x.of(range);
    if (thread_index() == 0) {
      a.ranges[block_index()] = range;
      if (step.x_range != nullptr) *step.x_range = range;
      *step.x_grid = grid;
    }
    const auto lo = static_cast<float>(grid.lo), width = static_cast<float>(grid.step),
               most = static_cast<float>(grid.max_code);
    for (int e = thread_index(); e < size; e += kThreads) {
      global_store(step.x_codes + e,
                   static_cast<std::uint8_t>(quantise_narrow(global_load(x + e), lo, width, most, 0.0F)));
    }
  }
};

/// Where a block of a product over time steps, tiles of rows and tiles of 8 units is.
struct LstmBlock {
  int step, row, unit;
  BITCYCLE_DEVICE LstmBlock(std::int32_t rows, std::int32_t units) {
    const int unit_tiles = units / 8, row_tiles = (rows + 31) / 32;
    unit = block_index() % unit_tiles * 8;
    row = block_index() / unit_tiles % row_tiles * 32;
    step = block_index() / unit_tiles / row_tiles;
  }
};

/// Rows of codes in shared memory, as long as those of packed weights, with zeros behind; a multiple of 64 that puts
/// neighbouring rows into different banks.
constexpr int lstm_pitch(int depth) { return (depth + 63) / 64 * 64 + ((depth + 63) / 64 % 2 == 0 ? 64 : 0); }

/// What a forward product of four gates ends with: y of gate k at the block's row and unit.
struct LstmForwardTile {
  using Tile = RowTile<4>;
  static int shared_bytes(int depth) {
    return Tile::kSharedBytes + Tile::kWarps * Tile::kRows * 4 + Tile::kRows * lstm_pitch(depth);
  }
  BITCYCLE_DEVICE static std::int32_t* partial() { return shared_memory<std::int32_t>(0); }
  BITCYCLE_DEVICE static std::int32_t* row_sums() { return shared_memory<std::int32_t>(Tile::kSharedBytes); }
  BITCYCLE_DEVICE static std::uint8_t* codes() {
    return shared_memory<std::uint8_t>(Tile::kSharedBytes + Tile::kWarps * Tile::kRows * 4);
  }
  /// code(row, k) of the tile's rows to shared memory, zeros behind.
  template <typename Code>
  BITCYCLE_DEVICE static void stage(int depth, Code code) {
    const int padded = (depth + 63) / 64 * 64, pitch = lstm_pitch(depth);
    for (int r = thread_index() / 32; r < Tile::kRows; r += Tile::kWarps) {
      for (int k = lane_index(); k < padded; k += 32) {
        shared_store(codes() + r * pitch + k, k < depth ? code(r, k) : std::uint8_t{0});
      }
    }
    sync_threads();
  }
  BITCYCLE_DEVICE static void multiply(int depth, const LstmWeights& w, int units, int unit) {
    const int pitch = lstm_pitch(depth);
    Tile::multiply(
        (depth + 63) / 64, [&](int r) -> const std::uint8_t* { return codes() + r * pitch; },
        [&](int n, int j) { return w.packed.bytes + static_cast<std::int64_t>(n * units + unit + j) * w.packed.depth; },
        false, partial(), row_sums());
  }
  BITCYCLE_DEVICE static float value(const Affine& x, const LstmWeights& w, int depth, int row, int unit_in_tile,
                                     int gate, int o) {
    const Affine weight = w.affine[o];
    const ProductScale scale = product_scale(x, weight);
    return rescale(scale.a, to_binary64(Tile::sum(partial(), row, 8 * gate + unit_in_tile)), scale.b,
                   to_binary64(Tile::row_sum(row_sums(), row)),
                   product_offset(x, weight, to_binary64(global_load(w.code_sums + o)), static_cast<double>(depth)));
  }
};

/// The products of all time steps' inputs, biases added; block 0 moves the running range, time step by time step.
struct LstmInputProductKernel {
  static constexpr const char* kName = "lstm input product";
  static constexpr int kThreads = RowTile<4>::kThreads;
  struct Args {
    LstmLayer of;
    LstmWeights w;
    const float* bias;   // may be null
    float* from_inputs;  // (time steps, n, 4 units)
    float* running;      // null: nothing is trained
    const Range* ranges;
  };
  BITCYCLE_DEVICE static void run(const Args& a) {
    using Tile = LstmForwardTile;
    const LstmBlock block(a.of.rows, a.of.units);
    const LstmStep& step = a.of.steps[block.step];
    const int depth = a.of.inputs;
    Tile::stage(depth, [&](int r, int k) {
      const int row = block.row + r;
      return row < a.of.rows ? global_load(step.x_codes + static_cast<std::int64_t>(row) * depth + k) : std::uint8_t{0};
    });
    Tile::multiply(depth, a.w, a.of.units, block.unit);
    const int r = thread_index() / 8, j = thread_index() % 8, row = block.row + r;
    if (row < a.of.rows) {
      const Affine grid = *step.x_grid;
      for (int gate = 0; gate < 4; ++gate) {
        const int o = gate * a.of.units + block.unit + j;
        float y = Tile::value(grid, a.w, depth, r, j, gate, o);
        if (a.bias != nullptr) y = y + global_load(a.bias + o);
        global_store(a.from_inputs + (static_cast<std::int64_t>(block.step) * a.of.rows + row) * 4 * a.of.units + o, y);
      }
    }
    if (block_index() != 0 || a.running == nullptr || thread_index() != 0) return;
    for (int t = 0; t < a.of.count; ++t) update_running_range(a.running, a.ranges[t]);
  }
};

/// One time step.
struct LstmStepKernel {
  static constexpr const char* kName = "lstm step";
  static constexpr int kThreads = RowTile<4>::kThreads;
  struct Args {
    LstmLayer of;
    LstmWeights u;
    LstmGrid h;
    const float* from_inputs;
    std::int32_t step;
  };
  BITCYCLE_DEVICE static void run(const Args& a) {
    using Tile = LstmForwardTile;
    const LstmBlock block(a.of.rows, a.of.units);
    const LstmStep& step = a.of.steps[a.step];
    const int units = a.of.units;
    const Range range = range_of_keys({atomic_load(a.of.lo + a.step), atomic_load(a.of.hi + a.step)});
    const Affine grid = a.h.of(range);
    const auto lo = static_cast<float>(grid.lo), width = static_cast<float>(grid.step),
               most = static_cast<float>(grid.max_code);
    Tile::stage(units, [&](int r, int k) {
      const int row = block.row + r;
      if (row >= a.of.rows) return std::uint8_t{0};
      const std::int64_t at = static_cast<std::int64_t>(row) * units + k;
      const auto code = static_cast<std::uint8_t>(quantise_narrow(global_load(step.h + at), lo, width, most, 0.0F));
      if (block.unit == 0 && step.h_codes != nullptr) global_store(step.h_codes + at, code);
      return code;
    });
    if (block_index() == 0 && thread_index() == 0) {
      if (step.h_grid != nullptr) *step.h_grid = grid;
      if (step.h_range != nullptr) *step.h_range = range;
      if (a.h.training) update_running_range(a.h.running, range);
    }
    Tile::multiply(units, a.u, units, block.unit);
    const int r = thread_index() / 8, j = thread_index() % 8, row = block.row + r;
    KeyRange keys;
    if (row < a.of.rows) {
      const std::int64_t gates_at = static_cast<std::int64_t>(row) * 4 * units + block.unit + j;
      const std::int64_t at = static_cast<std::int64_t>(row) * units + block.unit + j;
      const float* from_input = a.from_inputs + static_cast<std::int64_t>(a.step) * a.of.rows * 4 * units + gates_at;
      float sum[4];
      for (int gate = 0; gate < 4; ++gate) {
        sum[gate] = global_load(from_input + gate * units) +
                    Tile::value(grid, a.u, units, r, j, gate, gate * units + block.unit + j);
      }
      const LstmElement of = lstm_element(sum, global_load(step.cell + at));
      if (step.gates != nullptr) {
        for (int gate = 0; gate < 4; ++gate) global_store(step.gates + gates_at + gate * units, of.gate[gate]);
      }
      global_store(step.next_cell + at, of.next);
      if (step.squashed != nullptr) global_store(step.squashed + at, of.squashed);
      global_store(step.output + at, of.output);
      include(keys, of.output);
    }
    merge_range(keys, a.of.lo + a.step + 1, a.of.hi + a.step + 1);
  }
};

/// What the launches of a layer's backward pass share beside the layer.
struct LstmBackward {
  float *dgates, *dcell;            // of the time step at hand: (n, 4 units), (n, units)
  std::int32_t *code_lo, *code_hi;  // extremes of x_product_codes a time step
};

/// The cell of one element backward: its gates' gradients, and their extremes.
BITCYCLE_DEVICE void lstm_backward_element(const LstmLayer& of, const LstmBackward& b, const LstmStep& step, int row,
                                           int unit, float doutput, bool last, KeyRange& keys) {
  const std::int64_t at = static_cast<std::int64_t>(row) * of.units + unit;
  const std::int64_t gates_at = static_cast<std::int64_t>(row) * 4 * of.units + unit;
  float gate[4], dgate[4];
  for (int k = 0; k < 4; ++k) gate[k] = global_load(step.gates + gates_at + k * of.units);
  const float dnext = last ? 0.0F : global_load(b.dcell + at);
  const float dcell = lstm_gradient(gate, global_load(step.cell + at), global_load(step.squashed + at), doutput,
                                    last ? nullptr : &dnext, dgate);
  for (int k = 0; k < 4; ++k) {
    global_store(b.dgates + gates_at + k * of.units, dgate[k]);
    include(keys, dgate[k]);
  }
  global_store(b.dcell + at, dcell);
}

/// Clears the keys of all time steps.
struct LstmClearKernel {
  static constexpr const char* kName = "lstm clear";
  static constexpr int kThreads = 256;
  struct Args {
    LstmLayer of;
    LstmBackward backward;
  };
  BITCYCLE_DEVICE static void run(const Args& a) {
    for (auto t = static_cast<std::int32_t>(first_element()); t < a.of.count; t += kThreads) {
      global_store(a.of.lo + t, INT32_MAX);
      global_store(a.of.hi + t, INT32_MIN);
      global_store(a.backward.code_lo + t, INT32_MAX);
      global_store(a.backward.code_hi + t, INT32_MIN);
    }
  }
};

/// The cell of the last time step.
struct LstmLastCellKernel {
  static constexpr const char* kName = "lstm last cell";
  static constexpr int kThreads = 256;
  struct Args {
    LstmLayer of;
    LstmBackward backward;
  };
  BITCYCLE_DEVICE static void run(const Args& a) {
    const LstmStep& step = a.of.steps[a.of.count - 1];
    KeyRange keys;
    const auto size = static_cast<std::uint32_t>(a.of.rows * a.of.units);
    for (std::uint32_t e = first_element(); e < size; e += grid_threads()) {
      lstm_backward_element(a.of, a.backward, step, static_cast<int>(e) / a.of.units, static_cast<int>(e) % a.of.units,
                            global_load(step.doutput + e), true, keys);
    }
    merge_range(keys, a.of.lo + a.of.count - 1, a.of.hi + a.of.count - 1);
  }
};

/// How the gradient at a product's result is quantised.
struct LstmGradientGrid {
  const BitWidth* width;
  MinScale min_scale;
  bool zero_on_grid, stochastic;
  BITCYCLE_DEVICE Affine of(Range range) const { return gradient_affine(range, *width, min_scale, zero_on_grid); }
};

/// Codes of one time step's gradient for both products, with a noise of their own each.
struct LstmGradientCodesKernel {
  static constexpr const char* kName = "lstm gradient codes";
  static constexpr int kThreads = 256;
  struct Args {
    LstmLayer of;
    LstmBackward backward;
    LstmGradientGrid x, h;
    std::uint64_t seed;
    const std::uint32_t* number;  // of the training step; null: nothing is stochastic
    std::int32_t step;
  };
  BITCYCLE_DEVICE static std::uint32_t codes_of(const Quad& x, const LstmGradientGrid& grid, const Affine& affine,
                                                const PhiloxStream& stream, std::uint32_t e) {
    const PhiloxBlock block = grid.stochastic ? philox_block(stream, e / 4) : PhiloxBlock{};
    std::uint32_t word = 0;
    for (int j = 0; j < 4; ++j) {
      const float noise = grid.stochastic ? rounding_noise(block.word[j]) : 0.0F;
      word |= quantise_narrow(x.v[j], static_cast<float>(affine.lo), static_cast<float>(affine.step),
                              static_cast<float>(affine.max_code), noise)
              << (8 * j);
    }
    return word;
  }
  BITCYCLE_DEVICE static void run(const Args& a) {
    const LstmStep& step = a.of.steps[a.step];
    const Range range = range_of_keys({atomic_load(a.of.lo + a.step), atomic_load(a.of.hi + a.step)});
    const Affine x = a.x.of(range), h = a.h.of(range);
    if (block_index() == 0 && thread_index() == 0) {
      if (step.x_product_range != nullptr) *step.x_product_range = range;
      if (step.h_product_range != nullptr) *step.h_product_range = range;
      *step.x_product_grid = x;
      *step.h_product_grid = h;
    }
    // Gradients that are rounded to the nearest need no noise, and their steps no number.
    const std::uint32_t number = a.number == nullptr ? 0U : global_load(a.number);
    const PhiloxStream x_stream = philox_stream(a.seed, number, RandomPurpose::kGradientRounding, step.x_product_noise);
    const PhiloxStream h_stream = philox_stream(a.seed, number, RandomPurpose::kGradientRounding, step.h_product_noise);
    const auto size = static_cast<std::uint32_t>(a.of.rows * 4 * a.of.units);
    KeyRange codes;
    for (std::uint32_t e = 4 * first_element(); e < size; e += 4 * grid_threads()) {
      const Quad gradient = global_load(reinterpret_cast<const Quad*>(a.backward.dgates + e));
      const std::uint32_t of_x = codes_of(gradient, a.x, x, x_stream, e);
      global_store(reinterpret_cast<std::uint32_t*>(step.x_product_codes + e), of_x);
      global_store(reinterpret_cast<std::uint32_t*>(step.h_product_codes + e), codes_of(gradient, a.h, h, h_stream, e));
      for (int j = 0; j < 4; ++j) include_key(codes, static_cast<std::int32_t>(of_x >> (8 * j) & 255U));
    }
    merge_range(codes, a.backward.code_lo + a.step, a.backward.code_hi + a.step);
  }
};

/// An error pass of 8 inputs with 16-bit weights on one grid, two limbs.
struct LstmErrorTile {
  using Tile = RowTile<2>;
  static constexpr int kSharedBytes = Tile::kSharedBytes;
  BITCYCLE_DEVICE static void multiply(const std::uint8_t* codes, int rows, int first_row, int depth,
                                       const LstmWeights& w, int input) {
    Tile::multiply(
        depth / 64,
        [&](int r) -> const std::uint8_t* {
          return first_row + r < rows ? codes + static_cast<std::int64_t>(first_row + r) * depth : nullptr;
        },
        [&](int limb, int j) {
          return w.packed.bytes + (static_cast<std::int64_t>(limb) * w.packed.rows + input + j) * w.packed.depth;
        },
        true, shared_memory<std::int32_t>(0), nullptr);
  }
  BITCYCLE_DEVICE static float value(const Affine& g, const LstmWeights& w, int row, int j, int input) {
    const auto* partial = shared_memory<std::int32_t>(0);
    const std::int64_t sum = Tile::sum(partial, row, j) + 256 * Tile::sum(partial, row, 8 + j);
    const double grid = w.affine->step;
    return rescale_shared(shared_scale(g, grid), to_binary64(sum),
                          shared_offset(g, grid, to_binary64(global_load(w.code_sums + input))));
  }
};

/// The recurrent error pass of time step `step`, and the cell of the time step before it.
struct LstmStepErrorKernel {
  static constexpr const char* kName = "lstm step error";
  static constexpr int kThreads = RowTile<2>::kThreads;
  struct Args {
    LstmLayer of;
    LstmBackward backward;
    LstmWeights u;
    std::int32_t step;
  };
  BITCYCLE_DEVICE static void run(const Args& a) {
    const LstmBlock block(a.of.rows, a.of.units);
    const LstmStep &step = a.of.steps[a.step], &before = a.of.steps[a.step - 1];
    LstmErrorTile::multiply(step.h_product_codes, a.of.rows, block.row, 4 * a.of.units, a.u, block.unit);
    const int r = thread_index() / 8, j = thread_index() % 8, row = block.row + r, unit = block.unit + j;
    KeyRange keys;
    if (row < a.of.rows) {
      const float dh = LstmErrorTile::value(*step.h_product_grid, a.u, r, j, unit);
      const float doutput = dh + global_load(before.doutput + static_cast<std::int64_t>(row) * a.of.units + unit);
      lstm_backward_element(a.of, a.backward, before, row, unit, doutput, false, keys);
    }
    merge_range(keys, a.of.lo + a.step - 1, a.of.hi + a.step - 1);
  }
};

/// The error passes of all time steps' inputs.
struct LstmInputErrorKernel {
  static constexpr const char* kName = "lstm input error";
  static constexpr int kThreads = RowTile<2>::kThreads;
  struct Args {
    LstmLayer of;
    LstmWeights w;
  };
  BITCYCLE_DEVICE static void run(const Args& a) {
    const LstmBlock block(a.of.rows, a.of.inputs);
    const LstmStep& step = a.of.steps[block.step];
    LstmErrorTile::multiply(step.x_product_codes, a.of.rows, block.row, 4 * a.of.units, a.w, block.unit);
    const int r = thread_index() / 8, j = thread_index() % 8, row = block.row + r, input = block.unit + j;
    if (row >= a.of.rows) return;
    global_store(step.dx + static_cast<std::int64_t>(row) * a.of.inputs + input,
                 LstmErrorTile::value(*step.x_product_grid, a.w, r, j, input));
  }
};

/// Gradients of the bias: of every time step, from the codes' values, on the grid of its largest one; then added, the
/// last time step's first. A block 32 channels, a warp some of the time steps.
struct LstmBiasGradientKernel {
  static constexpr const char* kName = "lstm bias gradient";
  static constexpr int kThreads = 1024;
  struct Args {
    LstmLayer of;
    LstmBackward backward;
    float* dbias;
  };
  static int shared_bytes(int count) { return 32 * count * 4; }
  BITCYCLE_DEVICE static void run(const Args& a) {
    auto* parts = shared_memory<float>(0);
    const int o = block_index() * 32 + lane_index(), outputs = 4 * a.of.units;
    for (int t = thread_index() / 32; t < a.of.count; t += kThreads / 32) {
      const LstmStep& step = a.of.steps[t];
      const Affine grid = *step.x_product_grid;
      // Values rise with their codes, so that the largest magnitude is that of an extreme one.
      const Range range{
          static_cast<float>(dequantise(static_cast<std::uint32_t>(global_load(a.backward.code_lo + t)), grid)),
          static_cast<float>(dequantise(static_cast<std::uint32_t>(global_load(a.backward.code_hi + t)), grid))};
      const int exponent =
          sum_exponent(static_cast<double>(magnitude_of(range)), static_cast<std::uint64_t>(a.of.rows));
      const float to_grid = power_of_two(exponent);
      std::int64_t sum = 0;
      for (int row = 0; row < a.of.rows && o < outputs; ++row) {
        const std::uint8_t code = global_load(step.x_product_codes + static_cast<std::int64_t>(row) * outputs + o);
        add_wrapping(sum, on_grid(static_cast<float>(dequantise(code, grid)), to_grid));
      }
      shared_store(parts + 32 * t + lane_index(), static_cast<float>(sum_value(sum, exponent)));
    }
    sync_threads();
    if (thread_index() >= 32 || o >= outputs) return;
    float sum = shared_load(parts + 32 * (a.of.count - 1) + lane_index());
    for (int t = a.of.count - 2; t >= 0; --t) sum = sum + shared_load(parts + 32 * t + lane_index());
    global_store(a.dbias + o, sum);
  }
};

}  // namespace bitcycle::BITCYCLE_CUDA_NAMESPACE
