// SPDX-License-Identifier: Apache-2.0
// Value: a tensor between layers, (n, h, w, c). Forward it is a float tensor, or the output of a convolution whose
// batch norm and ReLU the reader applies on the way; backward it collects the gradients of its readers.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "sim/backend.h"

namespace bitcycle {

struct Value {
  std::string name;
  std::int64_t h = 1, w = 1, c = 1;
  int index = 0;      // in the network
  int producer = -1;  // layer; -1: the images

  /// Readers in the order of the forward pass. Backward the order is reversed, so that the first reader adds the last
  /// contribution and completes the gradient (docs/numerics.md, 7.6).
  struct Reader {
    int layer;
    enum class Kind : std::uint8_t { kConvolution, kShortcut, kPool, kLinear } kind;
    int convolution = -1;           // kConvolution: its number in the network
    const Value* result = nullptr;  // kShortcut: its contribution is this value's gradient as it is
  };
  std::vector<Reader> readers;
  bool wants_gradient = true;
  bool relu = false;
  bool has_shortcut = false;  // something was added behind the batch norm

  // Forward.
  bool fused = false;        // nobody needs z: readers take relu(norm(y))
  float* z = nullptr;        // (n, h, w, c)
  const float* y = nullptr;  // of the convolution that made it
  const NormChannel* norm = nullptr;
  Range* range = nullptr;  // exact range, where a reader quantises; else null
  const Range* host_range = nullptr;

  // Backward.
  float* u = nullptr;        // gradient at the batch norm's output, behind the ReLU's mask
  float* u_bound = nullptr;  // exact max |u|
  float* side = nullptr;     // error pass of a second convolution that reads this value
  float* side_bound = nullptr;
  std::uint32_t* mask_bits = nullptr;  // z > 0, where it cannot be recomputed from y
  GradientJoin::Norm norms[2];         // batch norms behind this value

  std::int64_t elements(std::int64_t n) const { return n * h * w * c; }
  ConvInput source() const { return fused ? ConvInput{y, norm} : ConvInput{z, nullptr}; }
  /// True for the convolution that runs backward before the one that completes the gradient.
  bool is_side_reader(int convolution) const {
    return readers.size() > 1 && readers[1].kind == Reader::Kind::kConvolution && readers[1].convolution == convolution;
  }
  bool is_quantised() const {
    for (const auto& reader : readers) {
      if (reader.kind == Reader::Kind::kConvolution) return true;
    }
    return false;
  }

  /// What completes the gradient once the last contribution is there.
  GradientJoin join() const {
    GradientJoin join;
    if (readers.size() > 1) {
      const Reader& second = readers[1];
      const bool shortcut = second.kind == Reader::Kind::kShortcut;
      join.other = shortcut ? second.result->u : side;
      join.other_bound = shortcut ? second.result->u_bound : side_bound;
    }
    if (relu) {
      join.mask_bits = mask_bits;
      if (mask_bits == nullptr) {
        join.mask_y = y;
        join.mask_norm = norm;
      }
    }
    join.u = u;
    join.u_bound = u_bound;
    join.norm[0] = norms[0];
    join.norm[1] = norms[1];
    return join;
  }
};

}  // namespace bitcycle
