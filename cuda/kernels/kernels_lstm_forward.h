// SPDX-License-Identifier: Apache-2.0
// The forward pass of an LSTM layer (lstm_row_tile.h): a launch for all inputs, one for their products, and one a time
// step.
#pragma once

#include "cuda/kernels/lstm_row_tile.h"

namespace bitcycle::BITCYCLE_CUDA_NAMESPACE {

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

}  // namespace bitcycle::BITCYCLE_CUDA_NAMESPACE
