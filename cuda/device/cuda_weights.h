// SPDX-License-Identifier: Apache-2.0
// Weights as the CUDA device keeps them: codes, the limbs that tensor cores multiply, tables of taps and sums.
#pragma once

#include <array>

#include "cuda/products/weight_gradient_sums.h"
#include "sim/device/kernel_library.h"

namespace bitcycle::BITCYCLE_CUDA_NAMESPACE {

constexpr std::int64_t kMostPositions = 1 << 22;  // of an image whose taps' existence is kept, 16 bytes each or more

/// Weights with what kernels keep beside them.
struct CudaWeights final : QuantisedWeights {
  using QuantisedWeights::QuantisedWeights;
  Buffer packed, error_packed;      // limbs
  Buffer tap_sums, error_tap_sums;  // int64
  Buffer largest_value;             // int64: bits of a double
  Buffer maps;                      // int32
  Buffer class_taps;                // uint64 (classes of outputs, then of inputs)
  Buffer scale, offset;             // forward: ChannelScale (o), double (classes, o)
  Buffer error_scale, error_offset;
  Buffer keys;           // int32 (2, o)
  Buffer gradient_sums;  // int64 (WeightGradientLayout::size), and a counter of arrivals
  Buffer terms;          // int64 (taps)
  Buffer existence;      // uint8 (planes, out_h * out_w, 16): 1 where a tap exists, sixteen taps a plane
  ClassMap outputs, inputs;
  std::int64_t output_classes = 0, input_classes = 0;
  Packed forward_pack, error_pack;  // limbs 0; set at launch
  GroupTiles tiles, error_tiles;    // of those, with groups; set at launch
  // All of them: by limbs; of the error pass also by whether its grid is shared.
  std::array<GroupTiles, 2> forward_tiles;
  std::array<std::array<GroupTiles, 3>, 2> error_tiles_of;
};

inline std::int64_t rounded_up(std::int64_t v, std::int64_t unit) { return (v + unit - 1) / unit * unit; }

}  // namespace bitcycle::BITCYCLE_CUDA_NAMESPACE
