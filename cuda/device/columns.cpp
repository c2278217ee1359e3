// SPDX-License-Identifier: Apache-2.0
// Single operations that move columns of matrices.
#include <algorithm>

#include "cuda/device/nodes.h"
#include "cuda/kernels/kernels_columns.h"

namespace bitcycle::BITCYCLE_CUDA_NAMESPACE {

void NodeLauncher::run(const ops::Transpose& op) {
  const std::int64_t columns = memory_.last_extent(op.x), elements = memory_.spec(op.x).size();
  CudaLibrary::elements(elements, "transpose");
  const std::int64_t rows = elements / columns;
  constexpr std::int64_t kSide = TransposeKernel::kSide;
  TransposeKernel::Args args{};
  args.x = data<float>(op.x);
  args.y = data<float>(op.y);
  args.rows = static_cast<std::int32_t>(rows);
  args.columns = static_cast<std::int32_t>(columns);
  args.column_tiles = static_cast<std::int32_t>((columns + kSide - 1) / kSide);
  launch<TransposeKernel>((rows + kSide - 1) / kSide * args.column_tiles, TransposeKernel::kSharedBytes, args,
                          {0, 8 * elements});
}

void NodeLauncher::copy_columns(const std::vector<ColumnCopy>& parts, std::int64_t rows) {
  for (std::size_t first = 0; first < parts.size(); first += CopyColumnsKernel::kMost) {
    CopyColumnsKernel::Args args{};
    args.rows = CudaLibrary::elements(rows, "columns");
    std::int64_t all = 0, most = 0;
    for (std::size_t i = first; i < std::min(parts.size(), first + CopyColumnsKernel::kMost); ++i) {
      const ColumnCopy& part = parts[i];
      CudaLibrary::elements(rows * std::max(part.from_pitch, part.to_pitch), "columns");
      args.parts[args.count++] = {part.from, part.to, Divisor(static_cast<std::int32_t>(part.columns)),
                                  static_cast<std::int32_t>(part.from_pitch), static_cast<std::int32_t>(part.to_pitch)};
      all += rows * part.columns;
      most = std::max(most, rows * part.columns);
    }
    const auto threads = static_cast<std::uint32_t>(std::min<std::int64_t>(most, UINT32_MAX / 4));
    launch<CopyColumnsKernel>(library_.blocks(4 * threads), 0, args, {0, 8 * all});
  }
}

void NodeLauncher::run(const ops::SliceColumns& op) {
  const std::int64_t all = memory_.last_extent(op.x), columns = memory_.last_extent(op.y);
  copy_columns({{data<float>(op.x) + op.first, data<float>(op.y), columns, all, columns}},
               memory_.size(op.y) / columns);
}

void NodeLauncher::run(const ops::ConcatenateColumns& op) {
  const std::int64_t all = memory_.last_extent(op.y);
  std::vector<ColumnCopy> parts;
  std::int64_t first = 0;
  for (const Tensor part : op.parts) {
    const std::int64_t columns = memory_.last_extent(part);
    parts.push_back({data<float>(part), data<float>(op.y) + first, columns, columns, all});
    first += columns;
  }
  copy_columns(parts, memory_.size(op.y) / all);
}

}  // namespace bitcycle::BITCYCLE_CUDA_NAMESPACE
