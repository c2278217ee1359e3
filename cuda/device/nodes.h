// SPDX-License-Identifier: Apache-2.0
// NodeLauncher: single operations of a program as launches (NodeKernels, sim/device/node_kernels.h). The operands'
// addresses are device memory, so that widths, numbers of steps and rates are read there.
#pragma once

#include <string>
#include <vector>

#include "cuda/device/cuda_library.h"
#include "cuda/kernels/kernels_gradients.h"
#include "cuda/kernels/kernels_nodes.h"
#include "sim/ops/operation.h"

namespace bitcycle::BITCYCLE_CUDA_NAMESPACE {

class NodeLauncher {
 public:
  NodeLauncher(CudaLibrary& library, const StepMemory& memory) : library_(library), memory_(memory) {}

  /// Whether run() takes it, whatever a step's widths are.
  template <typename Op>
  static bool has(const Op&) {
    return requires(NodeLauncher launcher, const Op& op) { launcher.run(op); };
  }
  static bool has(const ops::FitGrid& op) { return op.quantiser == kAffine || op.quantiser == kAffineWithZero; }
  static bool has(const ops::RunningGrid& op) { return op.quantiser == kAffine || op.quantiser == kAffineWithZero; }
  static bool has(const ops::BandLabels& op);
  static bool has(const ops::AddLosses& op);

  // Elementwise, and what is moved (nodes.cpp).
  void run(const ops::Add& op);
  void run(const ops::AddBias& op);
  void run(const ops::Relu& op);
  void run(const ops::ReluGradient& op);
  void run(const ops::Scale& op);
  void run(const ops::AddPositions& op);
  void run(const ops::Dropout& op);
  void run(const ops::Quantise& op);
  void run(const ops::Dequantise& op);
  void run(const ops::FitGrid& op);
  void run(const ops::RunningRange& op);
  void run(const ops::RunningGrid& op);
  void run(const ops::StepBounds& op);
  void run(const ops::SumBound& op);
  void run(const ops::Slice& op);
  void run(const ops::Concatenate& op);
  void run(const ops::Store& op);
  void run(const ops::LstmCell& op);
  void run(const ops::LstmCellGradient& op);
  // By words (words.cpp).
  void run(const ops::Gather& op);
  void run(const ops::GatherGradient& op);
  void run(const ops::BandRows& op);
  void run(const ops::BandRowsGradient& op);
  void run(const ops::MaskRows& op);
  void run(const ops::BandLabels& op);
  void run(const ops::AddLosses& op);
  // Columns (columns.cpp).
  void run(const ops::Transpose& op);
  void run(const ops::SliceColumns& op);
  void run(const ops::ConcatenateColumns& op);
  // The loss of a band (classifier.cpp).
  void run(const ops::SoftmaxLoss& op);
  // Rows and pairs (rows.cpp).
  void run(const ops::LayerNorm& op);
  void run(const ops::LayerNormGradient& op);
  void run(const ops::PairProduct& op);
  void run(const ops::PairRescale& op);
  void run(const ops::PairFloatProduct& op);
  void run(const ops::PairRange& op);
  void run(const ops::PairSoftmax& op);
  void run(const ops::PairSoftmaxGradient& op);
  // Sums of gradients and optimisers (optimisers.cpp).
  void run(const ops::Magnitude& op);
  void run(const ops::BiasGradient& op);
  void run(const ops::LayerNormParameterGradient& op);
  void run(const ops::SgdClipped& op);
  void run(const ops::Adamw& op);
  void run(const ops::Nag& op);

 private:
  template <typename T>
  T* data(Tensor tensor) const {
    return tensor ? memory_.data<T>(tensor) : nullptr;
  }
  std::uint32_t size(Tensor tensor, const char* operation) const {
    return CudaLibrary::elements(memory_.size(tensor), operation);
  }
  StepStream stream(std::uint64_t seed, Tensor step, std::uint32_t tensor_id) const {
    return {seed, data<const std::uint32_t>(step), tensor_id};
  }
  Operand operand(const ops::Quantised& of) const {
    return {data<void>(of.codes), data<const Affine>(of.grid), {}, data<const BitWidth>(of.width)};
  }
  GroupMap group_map(const ops::Groups& groups, Tensor of) const;
  DeviceBound bound(Tensor tensor) const;
  /// Copies join the launch before them, where that is one of copies too and none of them meets another.
  void copy(const float* from, float* to, std::int64_t count);
  /// Columns of a matrix to columns of another one of as many rows.
  struct ColumnCopy {
    const float* from;
    float* to;
    std::int64_t columns, from_pitch, to_pitch;
  };
  void copy_columns(const std::vector<ColumnCopy>& parts, std::int64_t rows);
  void gather_gradient(Tensor tokens, Tensor dy, std::int64_t first, Tensor dtable);
  void pair_product(const ops::Quantised& lhs, const ops::Quantised& rhs, const ops::PairContraction& over, Tensor sums,
                    Tensor y);
  std::int64_t pair_rows(const ops::PairShape& s) const { return memory_.at_samples(s.samples) * s.heads * s.m; }
  int row_blocks(std::int64_t rows) const;
  /// A list that lies side by side: its first tensor, and the elements up to the end of its last one.
  struct List {
    float* first = nullptr;
    std::int64_t size = 0, count = 0;  // with what lies between, and without
  };
  List list(const std::vector<Tensor>& tensors, const char* operation) const;
  OptimiserLists lists(const std::vector<Tensor>& gradients, const std::vector<Tensor>& parameters, Tensor rate,
                       Tensor guard, const char* operation) const;
  /// The norm of the gradients; null where nothing is clipped.
  const GradientNorm* clip(const OptimiserLists& of, const std::vector<Tensor>& gradients, double at_most, Tensor norm);

  template <typename Kernel>
  void launch(std::int64_t grid, std::size_t shared_bytes, const typename Kernel::Args& args, gpu::Work work = {}) {
    library_.launch<Kernel>(static_cast<int>(grid), shared_bytes, args, work);
  }

  CudaLibrary& library_;
  const StepMemory& memory_;
};

}  // namespace bitcycle::BITCYCLE_CUDA_NAMESPACE
