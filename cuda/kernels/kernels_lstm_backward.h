// SPDX-License-Identifier: Apache-2.0
// The backward pass of an LSTM layer (lstm_row_tile.h): codes, error passes and cells, time step by time step, and the
// gradient of the bias.
#pragma once

#include "cuda/kernels/lstm_row_tile.h"

namespace bitcycle::BITCYCLE_CUDA_NAMESPACE {

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
