// SPDX-License-Identifier: Apache-2.0
// Operation: any of the operations that programs are made of. A new one is a pair of files (op.h says what it has) and
// one line here.
#pragma once

#include <string>
#include <variant>
#include <vector>

#include "sim/ops/adamw.h"
#include "sim/ops/average_pool.h"
#include "sim/ops/bands.h"
#include "sim/ops/batch_norm.h"
#include "sim/ops/batch_norm_gradient.h"
#include "sim/ops/bias_gradient.h"
#include "sim/ops/columns.h"
#include "sim/ops/dropout.h"
#include "sim/ops/elementwise.h"
#include "sim/ops/error_codes.h"
#include "sim/ops/find_non_finite.h"
#include "sim/ops/float_product.h"
#include "sim/ops/gather.h"
#include "sim/ops/grid.h"
#include "sim/ops/layer_norm.h"
#include "sim/ops/load_images.h"
#include "sim/ops/lstm_cell.h"
#include "sim/ops/magnitude_bounds.h"
#include "sim/ops/max_pool.h"
#include "sim/ops/nag.h"
#include "sim/ops/pair_product.h"
#include "sim/ops/pair_softmax.h"
#include "sim/ops/pair_values.h"
#include "sim/ops/positions.h"
#include "sim/ops/product.h"
#include "sim/ops/quantise.h"
#include "sim/ops/range.h"
#include "sim/ops/rescale_sums.h"
#include "sim/ops/rows.h"
#include "sim/ops/sgd_clipped.h"
#include "sim/ops/sgd_update.h"
#include "sim/ops/softmax_loss.h"

namespace bitcycle {

using Operation =
    std::variant<ops::LoadImages, ops::Range, ops::FitGrid, ops::RunningRange, ops::RunningGrid, ops::StepBounds,
                 ops::Quantise, ops::Dequantise, ops::ErrorCodes, ops::Product, ops::CodeSums, ops::Rescale,
                 ops::FloatProduct, ops::ProductBound, ops::Magnitude, ops::SumBound, ops::Moments, ops::NormFromBatch,
                 ops::NormFromRunning, ops::NormApply, ops::NormGradientSums, ops::NormParameterGradient,
                 ops::NormGradient, ops::Add, ops::Relu, ops::ReluGradient, ops::AddBias, ops::AveragePool,
                 ops::AveragePoolGradient, ops::MaxPool, ops::MaxPoolGradient, ops::BiasGradient, ops::SoftmaxLoss,
                 ops::FindNonFinite, ops::SgdUpdate, ops::SgdClipped, ops::Gather, ops::GatherGradient, ops::Slice,
                 ops::Concatenate, ops::Store, ops::LstmCell, ops::LstmCellGradient, ops::PairProduct, ops::PairRescale,
                 ops::PairFloatProduct, ops::PairRange, ops::PairSoftmax, ops::PairSoftmaxGradient, ops::LayerNorm,
                 ops::LayerNormGradient, ops::LayerNormParameterGradient, ops::Scale, ops::AddPositions, ops::Dropout,
                 ops::Adamw, ops::Nag, ops::BandRows, ops::BandRowsGradient, ops::MaskRows, ops::BandLabels,
                 ops::AddLosses, ops::Transpose, ops::SliceColumns, ops::ConcatenateColumns>;

inline const char* name_of(const Operation& operation) {
  return std::visit([](const auto& op) { return op.kName; }, operation);
}

/// visit(role, tensor, access) for the operands that are there.
template <typename Visit>
void each_tensor(const Operation& operation, Visit visit) {
  std::visit(
      [&](const auto& op) {
        op.each_tensor(op, [&](const char* role, const Tensor& tensor, Access access) {
          if (tensor) visit(role, tensor, access);
        });
      },
      operation);
}

/// visit(list) for operands that are lists of tensors.
template <typename Visit>
void each_list(const Operation& operation, Visit visit) {
  std::visit(
      [&](const auto& op) {
        if constexpr (requires { op.each_list(op, visit); }) op.each_list(op, visit);
      },
      operation);
}

inline void check(const Operation& operation, const Operands& operands) {
  std::visit([&](const auto& op) { check(op, operands); }, operation);
}
inline void run(const Operation& operation, const StepMemory& memory) {
  std::visit([&](const auto& op) { run(op, memory); }, operation);
}

}  // namespace bitcycle
