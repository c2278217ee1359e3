// SPDX-License-Identifier: Apache-2.0
#include "sim/ops/gather.h"

#include <algorithm>
#include <stdexcept>

namespace bitcycle::ops {
namespace {

/// Elements of a row.
std::int64_t row_size(const TensorSpec& spec) { return spec.size() / spec.shape.front(); }

void check_rows(Tensor table, Tensor tokens, Tensor rows, const Operands& operands) {
  const TensorSpec &of_table = operands.of(table, "table"), &of_rows = operands.of(rows, "rows");
  operands.require(table, "table", Element::kFloat32, of_table.shape);
  operands.require(rows, "rows", Element::kFloat32, of_rows.shape);
  if (of_rows.size() % row_size(of_table) != 0) operands.fail("rows have another size than those of the table");
  operands.require(tokens, "tokens", Element::kInt32, of_rows.size() / row_size(of_table));
}

/// A token outside of the table would read memory of others: the host has checked its text.
void check_token(std::int32_t token, std::int64_t words) {
  if (token >= 0 && token < words) return;
  throw std::out_of_range("token " + std::to_string(token) + " is not one of the " + std::to_string(words) + " words");
}

}  // namespace

void check(const Gather& op, const Operands& operands) { check_rows(op.table, op.tokens, op.y, operands); }

void run(const Gather& op, const StepMemory& memory) {
  const std::int64_t size = row_size(memory.spec(op.table)), words = memory.spec(op.table).shape.front();
  const auto* table = memory.data<float>(op.table);
  const auto* tokens = memory.data<std::int32_t>(op.tokens);
  auto* y = memory.data<float>(op.y);
  for (std::int64_t r = 0; r < memory.size(op.tokens); ++r) {
    check_token(tokens[r], words);
    std::copy_n(table + tokens[r] * size, size, y + r * size);
  }
}

void check(const GatherGradient& op, const Operands& operands) { check_rows(op.dtable, op.tokens, op.dy, operands); }

void run(const GatherGradient& op, const StepMemory& memory) {
  const std::int64_t size = row_size(memory.spec(op.dtable)), words = memory.spec(op.dtable).shape.front();
  const auto* tokens = memory.data<std::int32_t>(op.tokens);
  const auto* dy = memory.data<float>(op.dy);
  auto* dtable = memory.data<float>(op.dtable);
  std::fill_n(dtable, words * size, 0.0F);
  std::vector<bool> seen(static_cast<std::size_t>(words));
  for (std::int64_t r = 0; r < memory.size(op.tokens); ++r) {
    check_token(tokens[r], words);
    float* sum = dtable + tokens[r] * size;
    const float* row = dy + r * size;
    // The first row is taken as it is, so that -0 stays -0.
    if (!seen[static_cast<std::size_t>(tokens[r])]) {
      std::copy_n(row, size, sum);
    } else {
      for (std::int64_t i = 0; i < size; ++i) sum[i] = sum[i] + row[i];
    }
    seen[static_cast<std::size_t>(tokens[r])] = true;
  }
}

}  // namespace bitcycle::ops
