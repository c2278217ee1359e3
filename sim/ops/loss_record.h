// SPDX-License-Identifier: Apache-2.0
// LossRecord: what a loss reports.
#pragma once

#include <cstdint>

namespace bitcycle {

struct LossRecord {
  double loss = 0.0;         // mean over the batch
  std::int64_t correct = 0;  // arg max equals the label; the lowest index wins ties
};

}  // namespace bitcycle
