// SPDX-License-Identifier: Apache-2.0
#include "sim/ops/bands.h"

#include <algorithm>

#include "sim/ops/loss_record.h"

namespace bitcycle::ops {
namespace {

std::int64_t row_elements(const TensorSpec& spec) { return spec.size() / spec.shape.front(); }

void check_band(Tensor table, Tensor tokens, Tensor rows, std::int64_t first, const Operands& operands) {
  const TensorSpec &of_table = operands.of(table, "table"), &of_rows = operands.of(rows, "rows");
  operands.require(table, "table", Element::kFloat32, of_table.shape);
  operands.require(rows, "rows", Element::kFloat32, of_rows.shape);
  if (of_rows.size() % row_elements(of_table) != 0) operands.fail("rows have another size than those of the table");
  operands.require(tokens, "tokens", Element::kInt32, of_rows.size() / row_elements(of_table));
  if (first < 0) operands.fail("the first word of a band is " + std::to_string(first));
}

bool belongs(std::int64_t word, std::int64_t first, std::int64_t count) {
  return word >= first && word < first + count;
}

}  // namespace

void check(const BandRows& op, const Operands& operands) { check_band(op.table, op.tokens, op.y, op.first, operands); }

void run(const BandRows& op, const StepMemory& memory) {
  const TensorSpec& table = memory.spec(op.table);
  const std::int64_t size = row_elements(table), count = table.shape.front();
  const auto* tokens = memory.data<std::int32_t>(op.tokens);
  for (std::int64_t r = 0; r < memory.size(op.tokens); ++r) {
    float* y = memory.data<float>(op.y) + r * size;
    if (belongs(tokens[r], op.first, count)) {
      std::copy_n(memory.data<float>(op.table) + (tokens[r] - op.first) * size, size, y);
    } else {
      std::fill_n(y, size, 0.0F);
    }
  }
}

void check(const BandRowsGradient& op, const Operands& operands) {
  check_band(op.dtable, op.tokens, op.dy, op.first, operands);
}

void run(const BandRowsGradient& op, const StepMemory& memory) {
  const TensorSpec& table = memory.spec(op.dtable);
  const std::int64_t size = row_elements(table), count = table.shape.front();
  const auto* tokens = memory.data<std::int32_t>(op.tokens);
  auto* dtable = memory.data<float>(op.dtable);
  std::fill_n(dtable, count * size, 0.0F);
  std::vector<bool> seen(static_cast<std::size_t>(count));
  for (std::int64_t r = 0; r < memory.size(op.tokens); ++r) {
    if (!belongs(tokens[r], op.first, count)) continue;
    const std::int64_t v = tokens[r] - op.first;
    const float* row = memory.data<float>(op.dy) + r * size;
    float* sum = dtable + v * size;
    for (std::int64_t i = 0; i < size; ++i) sum[i] = seen[static_cast<std::size_t>(v)] ? sum[i] + row[i] : row[i];
    seen[static_cast<std::size_t>(v)] = true;
  }
}

void check(const MaskRows& op, const Operands& operands) {
  const TensorSpec& x = operands.of(op.x, "x");
  operands.require(op.x, "x", Element::kFloat32, x.shape);
  operands.require(op.y, "y", Element::kFloat32, x.shape);
  operands.require(op.tokens, "tokens", Element::kInt32, x.size() / x.shape.back());
}

void run(const MaskRows& op, const StepMemory& memory) {
  const std::int64_t size = memory.last_extent(op.x);
  const auto* tokens = memory.data<std::int32_t>(op.tokens);
  for (std::int64_t r = 0; r < memory.size(op.tokens); ++r) {
    float* y = memory.data<float>(op.y) + r * size;
    if (belongs(tokens[r], op.first, op.count)) {
      std::copy_n(memory.data<float>(op.x) + r * size, size, y);
    } else {
      std::fill_n(y, size, 0.0F);
    }
  }
}

void check(const BandLabels& op, const Operands& operands) {
  const std::int64_t rows = operands.of(op.tokens, "tokens").size();
  operands.require(op.tokens, "tokens", Element::kInt32, rows);
  for (const Tensor labels : op.labels) operands.require(labels, "labels", Element::kInt32, rows);
  if (op.labels.size() != op.cutoffs.size() || op.cutoffs.empty() ||
      !std::is_sorted(op.cutoffs.begin(), op.cutoffs.end())) {
    operands.fail("cutoffs ascend, and the head and every band have labels");
  }
}

void run(const BandLabels& op, const StepMemory& memory) {
  const auto* tokens = memory.data<std::int32_t>(op.tokens);
  for (std::int64_t r = 0; r < memory.size(op.tokens); ++r) {
    const auto end = std::upper_bound(op.cutoffs.begin(), op.cutoffs.end(), static_cast<std::int64_t>(tokens[r]));
    const auto band = end - op.cutoffs.begin();
    for (std::size_t i = 0; i < op.labels.size(); ++i) {
      auto& label = memory.data<std::int32_t>(op.labels[i])[r];
      if (i == 0) {
        label = band == 0 ? tokens[r] : static_cast<std::int32_t>(op.cutoffs[0] + band - 1);
      } else {
        label = band == static_cast<std::ptrdiff_t>(i) ? tokens[r] - static_cast<std::int32_t>(op.cutoffs[i - 1]) : -1;
      }
    }
  }
}

void check(const AddLosses& op, const Operands& operands) {
  if (op.losses.empty()) operands.fail("there are no losses");
  for (const Tensor loss : op.losses) operands.require(loss, "losses", Element::kLoss, 1);
  operands.require(op.loss, "loss", Element::kLoss, 1);
}

void run(const AddLosses& op, const StepMemory& memory) {
  LossRecord sum = memory.value<LossRecord>(op.losses.front());
  for (std::size_t i = 1; i < op.losses.size(); ++i) sum.loss = sum.loss + memory.value<LossRecord>(op.losses[i]).loss;
  memory.value<LossRecord>(op.loss) = sum;
}

}  // namespace bitcycle::ops
