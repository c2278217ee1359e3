// SPDX-License-Identifier: Apache-2.0
// The elementwise part of an LSTM's time step (sim/ops/lstm_cell.h), all gates of an element in one thread.
#pragma once

#include "cuda/kernels/kernels_common.h"
#include "sim/number/elementary.h"

namespace bitcycle::BITCYCLE_CUDA_NAMESPACE {

/// The four gates of one element, and what follows from them.
struct LstmElement {
  float gate[4];  // i, f, g, o
  float next, squashed, output;
};
/// sum: fl(x + h) of each gate.
BITCYCLE_DEVICE LstmElement lstm_element(const float (&sum)[4], float cell) {
  LstmElement of;
  of.gate[0] = sigmoid_f32(sum[0]);
  of.gate[1] = sigmoid_f32(sum[1]);
  of.gate[2] = tanh_f32(sum[2]);
  of.gate[3] = sigmoid_f32(sum[3]);
  const float kept = of.gate[1] * cell, added = of.gate[0] * of.gate[2];
  of.next = kept + added;
  of.squashed = tanh_f32(of.next);
  of.output = of.gate[3] * of.squashed;
  return of;
}

/// The gradients at the four gates' sums; returns the one at the cell. dnext is added where there is one.
BITCYCLE_DEVICE float lstm_gradient(const float (&gate)[4], float cell, float squashed, float doutput,
                                    const float* dnext, float (&dgate)[4]) {
  const float i = gate[0], f = gate[1], g = gate[2], o = gate[3];
  const float square = squashed * squashed, slope = 1.0F - square, through = doutput * o;
  float dc = through * slope;
  if (dnext != nullptr) dc = *dnext + dc;
  const auto of_sigmoid = [](float s) {
    const float rest = 1.0F - s;
    return s * rest;
  };
  const float g_square = g * g, g_slope = 1.0F - g_square;
  const float at_i = dc * g, at_f = dc * cell, at_g = dc * i, at_o = doutput * squashed;
  dgate[0] = at_i * of_sigmoid(i);
  dgate[1] = at_f * of_sigmoid(f);
  dgate[2] = at_g * g_slope;
  dgate[3] = at_o * of_sigmoid(o);
  return dc * f;
}

struct LstmCellKernel {
  static constexpr const char* kName = "lstm cell";
  static constexpr int kThreads = 128;
  struct Args {
    const float *x, *h, *cell;
    float *gates, *next_cell, *squashed, *output;
    std::uint32_t size, channels;  // of the cell
  };
  BITCYCLE_DEVICE static void run(const Args& a) {
    for (std::uint32_t e = first_element(); e < a.size; e += grid_threads()) {
      const std::uint32_t at = e / a.channels * 4 * a.channels + e % a.channels;
      float sum[4];
      for (std::uint32_t k = 0; k < 4; ++k) {
        sum[k] = global_load(a.x + at + k * a.channels) + global_load(a.h + at + k * a.channels);
      }
      const LstmElement of = lstm_element(sum, global_load(a.cell + e));
      for (std::uint32_t k = 0; k < 4; ++k) global_store(a.gates + at + k * a.channels, of.gate[k]);
      global_store(a.next_cell + e, of.next);
      global_store(a.squashed + e, of.squashed);
      global_store(a.output + e, of.output);
    }
  }
};

struct LstmCellGradientKernel {
  static constexpr const char* kName = "lstm cell gradient";
  static constexpr int kThreads = 128;
  struct Args {
    const float *gates, *cell, *squashed, *doutput, *dnext;  // dnext may be null
    float *dgates, *dcell;
    std::uint32_t size, channels;  // of the cell
  };
  BITCYCLE_DEVICE static void run(const Args& a) {
    for (std::uint32_t e = first_element(); e < a.size; e += grid_threads()) {
      const std::uint32_t at = e / a.channels * 4 * a.channels + e % a.channels;
      float gate[4], dgate[4];
      for (std::uint32_t k = 0; k < 4; ++k) gate[k] = global_load(a.gates + at + k * a.channels);
      const float dnext = a.dnext == nullptr ? 0.0F : global_load(a.dnext + e);
      const float dcell = lstm_gradient(gate, global_load(a.cell + e), global_load(a.squashed + e),
                                        global_load(a.doutput + e), a.dnext == nullptr ? nullptr : &dnext, dgate);
      for (std::uint32_t k = 0; k < 4; ++k) global_store(a.dgates + at + k * a.channels, dgate[k]);
      global_store(a.dcell + e, dcell);
    }
  }
};

}  // namespace bitcycle::BITCYCLE_CUDA_NAMESPACE
