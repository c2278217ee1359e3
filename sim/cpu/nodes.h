// SPDX-License-Identifier: Apache-2.0
// Nodes: the operations of language models on vectors and all threads, one node of a program at a time.
#pragma once

#include <vector>

#include "sim/cpu/kernels.h"
#include "sim/cpu/scratch.h"
#include "sim/cpu/workers.h"
#include "sim/device/node_kernels.h"
#include "sim/device/operation_profile.h"

namespace bitcycle::cpu {

/// Memory of one thread.
struct NodeScratch {
  Scratch<std::uint8_t> codes;
  Scratch<char> staged, packed;
  Scratch<std::int32_t> integers, sums, corrections, row_sums;
  Scratch<std::int64_t> columns, wide;
  Scratch<double> offsets, scales;
  Scratch<float> values, noise, weights;

  template <typename Visit>
  static void each_scratch(NodeScratch& a, const NodeScratch& b, const Visit& visit) {
    visit(a.codes, b.codes);
    visit(a.staged, b.staged);
    visit(a.packed, b.packed);
    visit(a.integers, b.integers);
    visit(a.sums, b.sums);
    visit(a.corrections, b.corrections);
    visit(a.row_sums, b.row_sums);
    visit(a.columns, b.columns);
    visit(a.wide, b.wide);
    visit(a.offsets, b.offsets);
    visit(a.scales, b.scales);
    visit(a.values, b.values);
    visit(a.noise, b.noise);
    visit(a.weights, b.weights);
  }
};

class Nodes {
 public:
  Nodes(const KernelTable& kernels, Workers& workers, OperationProfile& profile)
      : kernels_(kernels),
        workers_(workers),
        profile_(profile),
        scratch_(static_cast<std::size_t>(workers.threads())) {}

  static bool has(const Operation& operation);
  void run(const Operation& operation, const StepMemory& memory);

 private:
  // Elementwise (nodes.cpp).
  void run(const ops::Add& op, const StepMemory& memory);
  void run(const ops::AddBias& op, const StepMemory& memory);
  void run(const ops::Relu& op, const StepMemory& memory);
  void run(const ops::ReluGradient& op, const StepMemory& memory);
  void run(const ops::Quantise& op, const StepMemory& memory);
  void run(const ops::Dequantise& op, const StepMemory& memory);
  void run(const ops::Magnitude& op, const StepMemory& memory);
  void run(const ops::Scale& op, const StepMemory& memory);
  void run(const ops::AddPositions& op, const StepMemory& memory);
  void run(const ops::Dropout& op, const StepMemory& memory);
  void run(const ops::LstmCell& op, const StepMemory& memory);
  void run(const ops::LstmCellGradient& op, const StepMemory& memory);
  void run(const ops::Gather& op, const StepMemory& memory);
  void run(const ops::GatherGradient& op, const StepMemory& memory);
  // Bands, and what is moved (band_nodes.cpp).
  void run(const ops::Slice& op, const StepMemory& memory);
  void run(const ops::Concatenate& op, const StepMemory& memory);
  void run(const ops::Transpose& op, const StepMemory& memory);
  void run(const ops::SliceColumns& op, const StepMemory& memory);
  void run(const ops::ConcatenateColumns& op, const StepMemory& memory);
  void run(const ops::BandRows& op, const StepMemory& memory);
  void run(const ops::BandRowsGradient& op, const StepMemory& memory);
  void run(const ops::MaskRows& op, const StepMemory& memory);
  void run(const ops::SoftmaxLoss& op, const StepMemory& memory);
  void run(const ops::Nag& op, const StepMemory& memory);
  // Sums and optimisers (node_sums.cpp).
  void run(const ops::BiasGradient& op, const StepMemory& memory);
  void run(const ops::LayerNorm& op, const StepMemory& memory);
  void run(const ops::LayerNormGradient& op, const StepMemory& memory);
  void run(const ops::LayerNormParameterGradient& op, const StepMemory& memory);
  void run(const ops::SgdClipped& op, const StepMemory& memory);
  void run(const ops::Adamw& op, const StepMemory& memory);
  // Pairs (pair_products.cpp, pair_nodes.cpp). The product is made where it is rescaled, so that its sums need no
  // memory of their own.
  void run(const ops::PairProduct& op, const StepMemory& memory);
  void run(const ops::PairRescale& op, const StepMemory& memory);
  void run(const ops::PairFloatProduct& op, const StepMemory& memory);
  void run(const ops::PairRange& op, const StepMemory& memory);
  void run(const ops::PairSoftmax& op, const StepMemory& memory);
  void run(const ops::PairSoftmaxGradient& op, const StepMemory& memory);

  /// body(thread, begin, end) over a tensor's elements in runs that are multiples of 64 of them.
  template <typename Body>
  void over_elements(std::int64_t size, const Body& body) {
    workers_.chunks(size, std::int64_t{1} << 14, body);
  }
  void copy(const float* from, std::int64_t count, float* to);
  /// Row v of a table = the sum of the rows whose word is first + v, ascending; +0 where there is none.
  void add_rows_of_words(Tensor tokens, std::int64_t first, Tensor rows, Tensor table, const StepMemory& memory);
  float largest_magnitude(const float* x, std::int64_t size);
  double norm_of(const std::vector<Tensor>& gradients, const StepMemory& memory);
  NodeScratch& of(int thread) { return scratch_[static_cast<std::size_t>(thread)]; }

  const KernelTable& kernels_;
  Workers& workers_;
  OperationProfile& profile_;
  std::vector<NodeScratch> scratch_;
  std::vector<float> positions_;
  Scratch<float> losses_;  // where nobody asks for them
  std::int64_t positions_channels_ = 0, positions_first_ = 0;
};

}  // namespace bitcycle::cpu
