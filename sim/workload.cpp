// SPDX-License-Identifier: Apache-2.0
#include "sim/workload.h"

namespace bitcycle {

std::int64_t Workload::macs() const {
  std::int64_t sum = 0;
  for (const auto& operation : matrix) sum += operation.shape.macs();
  return sum;
}

}  // namespace bitcycle
