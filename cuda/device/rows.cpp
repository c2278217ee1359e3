// SPDX-License-Identifier: Apache-2.0
// Single operations on rows and pairs.
#include <algorithm>

#include "cuda/device/nodes.h"
#include "cuda/kernels/kernels_pairs.h"
#include "cuda/kernels/kernels_row_sums.h"

namespace bitcycle::BITCYCLE_CUDA_NAMESPACE {

/// Eight warps a block, a warp a row.
int NodeLauncher::row_blocks(std::int64_t rows) const {
  return static_cast<int>(std::clamp<std::int64_t>((rows + 7) / 8, 1, 16 * library_.runtime_->processors()));
}

void NodeLauncher::run(const ops::LayerNorm& op) {
  const std::int64_t c = memory_.last_extent(op.x), rows = size(op.x, "layer norm") / c;
  launch<LayerNormKernel>(row_blocks(rows), 0,
                          {data<float>(op.x), data<float>(op.gamma), data<float>(op.beta), op.eps,
                           data<RowStatistics>(op.statistics), data<float>(op.y), rows, static_cast<std::int32_t>(c)},
                          {0, 8 * rows * c});
}

void NodeLauncher::run(const ops::LayerNormGradient& op) {
  const std::int64_t c = memory_.last_extent(op.x), rows = size(op.x, "layer norm gradient") / c;
  launch<LayerNormGradientKernel>(row_blocks(rows), 0,
                                  {data<float>(op.x), data<RowStatistics>(op.statistics), data<float>(op.gamma),
                                   data<float>(op.dy), data<float>(op.dx), rows, static_cast<std::int32_t>(c)},
                                  {0, 12 * rows * c});
}

void NodeLauncher::pair_product(const ops::Quantised& lhs, const ops::Quantised& rhs, const ops::PairContraction& over,
                                Tensor sums, Tensor y) {
  PairProductKernel::Args args{};
  args.over = over.at(memory_.at_samples(over.shape.samples));
  const ops::PairShape& s = args.over.shape;
  const std::int64_t rows = over.form == ops::PairForm::kColumns ? s.n : s.m;
  const std::int64_t columns = over.form == ops::PairForm::kPairs ? s.n : s.d;
  constexpr std::int64_t kSide = HeadTile::kSide;
  args.row_tiles = static_cast<std::int32_t>((rows + kSide - 1) / kSide);
  args.column_tiles = static_cast<std::int32_t>((columns + kSide - 1) / kSide);
  args.lhs = operand(lhs);
  args.rhs = operand(rhs);
  args.sums = data<void>(sums);
  if (sums) args.sum_bytes = static_cast<std::int32_t>(bytes_of(memory_.spec(sums).element, 1));
  args.y = data<float>(y);
  launch<PairProductKernel>(s.samples * s.heads * args.row_tiles * args.column_tiles, PairProductKernel::kSharedBytes,
                            args, {s.macs(), args.over.lhs_size() + args.over.rhs_size() + 4 * args.over.out_size()});
}

void NodeLauncher::run(const ops::PairProduct& op) { pair_product(op.lhs, op.rhs, op.over, op.sums, {}); }
/// The sums are made here, whether somebody keeps them or not.
void NodeLauncher::run(const ops::PairRescale& op) { pair_product(op.lhs, op.rhs, op.over, {}, op.y); }

void NodeLauncher::run(const ops::PairFloatProduct& op) {
  PairFloatProductKernel::Args args{};
  args.over = op.over.at(memory_.at_samples(op.over.shape.samples));
  const ops::PairShape& s = args.over.shape;
  const std::int64_t rows = op.over.form == ops::PairForm::kColumns ? s.n : s.m;
  const std::int64_t columns = op.over.form == ops::PairForm::kPairs ? s.n : s.d;
  constexpr std::int64_t kSide = HeadTile::kSide;
  args.row_tiles = static_cast<std::int32_t>((rows + kSide - 1) / kSide);
  args.column_tiles = static_cast<std::int32_t>((columns + kSide - 1) / kSide);
  args.lhs = data<float>(op.lhs);
  args.rhs = data<float>(op.rhs);
  args.y = data<float>(op.y);
  launch<PairFloatProductKernel>(s.samples * s.heads * args.row_tiles * args.column_tiles,
                                 PairFloatProductKernel::kSharedBytes, args,
                                 {s.macs(), 4 * (args.over.lhs_size() + args.over.rhs_size() + args.over.out_size())});
}

void NodeLauncher::run(const ops::PairRange& op) {
  const std::int64_t rows = pair_rows(op.shape);
  launch<PairRangeKernel>(std::min(row_blocks(rows), 4 * library_.runtime_->processors()),
                          PairRangeKernel::kSharedBytes,
                          {data<float>(op.x), op.shape, op.from_zero, data<Range>(op.range), rows, library_.scratch()},
                          {0, 4 * rows * op.shape.n});
}

void NodeLauncher::run(const ops::PairSoftmax& op) {
  const std::int64_t rows = pair_rows(op.shape);
  launch<PairSoftmaxKernel>(row_blocks(rows), 0, {data<float>(op.x), op.shape, op.scale, data<float>(op.y), rows},
                            {0, 8 * rows * op.shape.n});
}

void NodeLauncher::run(const ops::PairSoftmaxGradient& op) {
  const std::int64_t rows = pair_rows(op.shape);
  launch<PairSoftmaxGradientKernel>(
      row_blocks(rows), 0, {data<float>(op.y), data<float>(op.dy), op.shape, op.scale, data<float>(op.dx), rows},
      {0, 12 * rows * op.shape.n});
}

}  // namespace bitcycle::BITCYCLE_CUDA_NAMESPACE
