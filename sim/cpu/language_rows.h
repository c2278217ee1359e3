// SPDX-License-Identifier: Apache-2.0
// Rows of language models' operations: what an instruction set computes of one row or run of elements.
#pragma once

#include <cstdint>

namespace bitcycle::cpu {

/// Layer normalisation of a row (docs/numerics.md, 6.13).
struct LayerNormRow {
  const float* x = nullptr;
  std::int64_t count = 0;
  const float* gamma = nullptr;
  const float* beta = nullptr;
  double eps = 0.0;
  float* statistics = nullptr;  // (2)
  float* y = nullptr;
};
struct LayerNormGradientRow {
  const float* x = nullptr;
  const float* dy = nullptr;
  std::int64_t count = 0;
  const float* gamma = nullptr;
  float mean = 0.0F, inverse_deviation = 0.0F;
  float* dx = nullptr;
};

/// AdamW over a run of elements (docs/numerics.md, 9.4).
struct AdamwRow {
  const float* g = nullptr;
  float *m = nullptr, *v = nullptr, *p = nullptr;
  std::int64_t count = 0;
  float beta1 = 0.0F, rest1 = 0.0F, beta2 = 0.0F, rest2 = 0.0F, eps = 0.0F, decay = 0.0F, size = 0.0F, factor = 1.0F;
  bool clips = false;
};

/// NAG over a run of elements (docs/numerics.md, 9.5).
struct NagRow {
  const float* g = nullptr;
  float *buffer = nullptr, *w = nullptr;
  std::int64_t count = 0;
  float ahead = 0.0F, keep = 0.0F, far = 0.0F, rate = 0.0F, decay = 1.0F, factor = 1.0F;
  bool clips = false, decays = false;
};

/// A row of an LSTM cell's time step and its gradient (sim/ops/lstm_cell.h): gates are four runs of `count` numbers.
/// sigmoid, tangent: sigmoid_f32 and tanh_f32, for blocks with a NaN.
struct LstmCellRow {
  const float *x = nullptr, *h = nullptr, *cell = nullptr;
  std::int64_t count = 0;
  float *gates = nullptr, *next_cell = nullptr, *squashed = nullptr, *output = nullptr;
  float (*sigmoid)(float) = nullptr;
  float (*tangent)(float) = nullptr;
};
struct LstmGradientRow {
  const float *gates = nullptr, *cell = nullptr, *squashed = nullptr, *doutput = nullptr;
  const float* dnext_cell = nullptr;  // null: none
  std::int64_t count = 0;
  float *dgates = nullptr, *dcell = nullptr;
};

/// A weight gradient of 16 outputs, added to what is there (docs/numerics.md, 4.5 and 6.10): totals(i, lane) =
/// fl(totals
/// + fl32(fma(a, [q_g q_x], fma(b, [q_g], rest(i))))), or that value where it is the first.
struct GradientAddend {
  const std::int32_t* sums = nullptr;  // (channels, 16), of codes of g times code - 128 of x
  std::int64_t channels = 0;
  const double* g_sums = nullptr;  // (16), of codes
  double a = 0.0, b = 0.0;
  const double* rest = nullptr;  // (channels)
  bool is_first = false;
  float* totals = nullptr;  // (channels, 16)
};

/// Rows whose sums run side by side.
constexpr std::int64_t kSummedRows = 8;

struct LanguageRows {
  void (*layer_norm)(const LayerNormRow&);
  void (*layer_norm_gradient)(const LayerNormGradientRow&);
  /// out[i] = fl(dy[i] * fl(fl(x[i] - mean) * inverse_deviation))
  void (*layer_norm_products)(const LayerNormGradientRow&);
  /// Sums along a row by 32 lanes in binary32 (docs/numerics.md, 6.12).
  float (*row_sum)(const float* x, std::int64_t count);
  float (*row_dot)(const float* a, const float* b, std::int64_t count);
  /// y[i] = fl(x[i] * factor), and the largest; y may be x.
  float (*scale)(const float* x, float factor, std::int64_t count, float* y);
  void (*divide)(float* x, float by, std::int64_t count);
  /// dx[i] = fl(fl(y * fl(dy - d)) * factor)
  void (*softmax_errors)(const float* y, const float* dy, float d, float factor, std::int64_t count, float* dx);
  void (*add)(const float* a, const float* b, std::int64_t count, float* z);
  /// y[i] = fl(fl(x[i] * factor) + b[i])
  void (*scale_and_add)(const float* x, float factor, const float* b, std::int64_t count, float* y);
  /// z[i] = x[i] > 0 ? x[i] : +0
  void (*relu)(const float* x, std::int64_t count, float* z);
  /// dx[i] = bit i ? dz[i] : +0
  void (*masked)(const float* dz, const std::uint8_t* bits, std::int64_t count, float* dx);
  /// y[i] = noise[i] >= least ? fl(x[i] * factor) : +0
  void (*dropped)(const float* x, const float* noise, float least, float factor, std::int64_t count, float* y);
  /// values[i] = table[codes[i]]
  void (*values_of_bytes)(const std::uint8_t* codes, const float* table, std::int64_t count, float* values);
  void (*adamw)(const AdamwRow&);
  void (*nag)(const NagRow&);
  void (*lstm_cell)(const LstmCellRow&);
  void (*lstm_cell_gradient)(const LstmGradientRow&);
  void (*add_gradient)(const GradientAddend&);
  /// sums[r] = the sum of sums[r] and x[r][0], x[r][1], ... ascending, of kSummedRows rows.
  void (*ordered_sums)(const float* const* x, std::int64_t count, float* sums);
  /// The sum of rint(fl64(fl64(g * scale)^2 * grid)), |addends| at most 2^50.
  std::int64_t (*squares_on_grid)(const float* g, double scale, double grid, std::int64_t count);
  /// w[i] = fl(w[i] - fl(rate * fl(g[i] * factor)))
  void (*sgd_clipped)(const float* g, float factor, float rate, std::int64_t count, float* w);
};

}  // namespace bitcycle::cpu
