// SPDX-License-Identifier: Apache-2.0
// ExportedModel: a trained network as inference hardware needs it: weights as integer codes with scales and offsets,
// the fixed grids of the activations, and the float32 rest. Codes and grids are those of an evaluation at the same
// widths, to the bit (docs/numerics.md, sections 2 and 7.4).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "nn/config/config.h"
#include "nn/export/inference_graph.h"
#include "nn/io/safetensors.h"
#include "sim/ops/norm.h"
#include "sim/quantisers/affine.h"

namespace bitcycle {

struct ExportedConv {
  std::string name;
  ConvShape shape;  // n = 1
  BitWidth width;   // of weights and input alike; float32: not quantised, `codes` and `grids` are empty
  std::vector<std::uint32_t> codes;  // OIHW
  std::vector<Affine> grids;         // (o): weight = lo + step * code
  Affine input;                      // activation = lo + step * code
  std::vector<float> weights;        // OIHW, the master weights
};

struct ExportedFloatConv {
  std::string name;
  ConvShape shape;             // n = 1
  std::vector<float> weights;  // OIHW
};

struct ExportedNorm {
  std::string name;
  std::vector<NormChannel> channels;  // z = fma(fl(y - mean), a, beta)
};

struct ExportedLinear {
  std::string name;
  std::int64_t inputs = 0, outputs = 0;
  std::vector<float> weights;  // (outputs, inputs)
  std::vector<float> bias;     // (outputs)
};

struct ExportedModel {
  std::string name;
  std::int64_t classes = 0;
  InferenceGraph graph;
  std::vector<ExportedConv> convs;  // in the order of the graph
  std::vector<ExportedFloatConv> float_convs;
  std::vector<ExportedNorm> norms;
  std::vector<ExportedLinear> linears;

  const ExportedConv& conv(const std::string& layer) const;
  const ExportedFloatConv& float_conv(const std::string& layer) const;
  const ExportedNorm& norm(const std::string& layer) const;
  const ExportedLinear& linear(const std::string& layer) const;
};

/// `widths`: forward widths of the graph's convolutions, in its order. Throws std::runtime_error naming `origin` where
/// a tensor is missing or has another size, or where nothing was trained yet: the running ranges are still empty.
ExportedModel export_model(const std::string& name, const InferenceGraph& graph, const TensorFile& state,
                           const std::vector<BitWidth>& widths, MinScale min_scale, const std::string& origin);

}  // namespace bitcycle
