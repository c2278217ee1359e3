// SPDX-License-Identifier: Apache-2.0
// Some rows of an LSTM cell's time step (lstm_cell.h): rows know nothing of each other.
#pragma once

#include <cstdint>

#include "sim/ops/lstm_cell.h"

namespace bitcycle::ops {

std::int64_t row_count(const LstmCell& op, const StepMemory& memory);
std::int64_t row_count(const LstmCellGradient& op, const StepMemory& memory);
/// Rows begin .. end - 1.
void run_rows(const LstmCell& op, const StepMemory& memory, std::int64_t begin, std::int64_t end);
void run_rows(const LstmCellGradient& op, const StepMemory& memory, std::int64_t begin, std::int64_t end);

}  // namespace bitcycle::ops
