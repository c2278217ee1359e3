// SPDX-License-Identifier: Apache-2.0
// Single operations that go by the words of a text.
#include <cmath>

#include "cuda/device/nodes.h"
#include "cuda/kernels/kernels_words.h"

namespace bitcycle::BITCYCLE_CUDA_NAMESPACE {

bool NodeLauncher::has(const ops::BandLabels& op) { return op.labels.size() <= BandLabelsKernel::kMostBands; }
bool NodeLauncher::has(const ops::AddLosses& op) { return op.losses.size() <= AddLossesKernel::kMostLosses; }

void NodeLauncher::run(const ops::Gather& op) {
  const TensorSpec& table = memory_.spec(op.table);
  const std::uint32_t count = size(op.y, "gather"), rows = size(op.tokens, "gather");
  // The host has checked its text. A word that is none is no number, which ends the step.
  launch<GatherKernel>(library_.blocks(4 * std::min(count, UINT32_MAX / 4)), 0,
                       {data<float>(op.table), data<std::int32_t>(op.tokens), data<float>(op.y), rows,
                        rows == 0 ? 1 : count / rows, 0, table.shape.front(), std::nanf("")},
                       {0, std::int64_t{8} * count});
}

void NodeLauncher::run(const ops::BandRows& op) {
  const TensorSpec& table = memory_.spec(op.table);
  const std::uint32_t count = size(op.y, "band rows"), rows = size(op.tokens, "band rows");
  launch<GatherKernel>(library_.blocks(4 * std::min(count, UINT32_MAX / 4)), 0,
                       {data<float>(op.table), data<std::int32_t>(op.tokens), data<float>(op.y), rows,
                        rows == 0 ? 1 : count / rows, op.first, table.shape.front(), 0.0F},
                       {0, std::int64_t{8} * count});
}

void NodeLauncher::gather_gradient(Tensor tokens, Tensor dy, std::int64_t first, Tensor dtable) {
  const TensorSpec& table = memory_.spec(dtable);
  const std::int64_t words = table.shape.front(), row = table.size() / words;
  const std::int64_t pieces = (row + GatherGradientKernel::kColumns - 1) / GatherGradientKernel::kColumns;
  launch<GatherGradientKernel>(
      CudaLibrary::elements(words * pieces, "gather gradient"), GatherGradientKernel::kSharedBytes,
      {data<std::int32_t>(tokens), data<float>(dy), data<float>(dtable), size(tokens, "gather gradient"),
       static_cast<std::uint32_t>(row), static_cast<std::uint32_t>(pieces), first},
      {0, 4 * (memory_.size(dy) + table.size())});
}

void NodeLauncher::run(const ops::GatherGradient& op) { gather_gradient(op.tokens, op.dy, 0, op.dtable); }
void NodeLauncher::run(const ops::BandRowsGradient& op) { gather_gradient(op.tokens, op.dy, op.first, op.dtable); }

void NodeLauncher::run(const ops::MaskRows& op) {
  const std::uint32_t count = size(op.x, "mask rows");
  const auto row = static_cast<std::uint32_t>(memory_.last_extent(op.x));
  launch<MaskRowsKernel>(
      library_.blocks(4 * std::min(count, UINT32_MAX / 4)), 0,
      {data<float>(op.x), data<std::int32_t>(op.tokens), data<float>(op.y), count / row, row, op.first, op.count},
      {0, std::int64_t{8} * count});
}

void NodeLauncher::run(const ops::BandLabels& op) {
  BandLabelsKernel::Args args{};
  args.tokens = data<std::int32_t>(op.tokens);
  args.rows = size(op.tokens, "band labels");
  args.bands = static_cast<std::uint32_t>(op.labels.size());
  for (std::size_t i = 0; i < op.labels.size(); ++i) {
    args.cutoffs[i] = op.cutoffs[i];
    args.labels[i] = data<std::int32_t>(op.labels[i]);
  }
  launch<BandLabelsKernel>(library_.blocks(4 * args.rows), 0, args);
}

void NodeLauncher::run(const ops::AddLosses& op) {
  AddLossesKernel::Args args{};
  args.count = static_cast<std::uint32_t>(op.losses.size());
  for (std::size_t i = 0; i < op.losses.size(); ++i) args.losses[i] = data<LossRecord>(op.losses[i]);
  args.loss = data<LossRecord>(op.loss);
  launch<AddLossesKernel>(1, 0, args);
}

}  // namespace bitcycle::BITCYCLE_CUDA_NAMESPACE
