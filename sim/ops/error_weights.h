// SPDX-License-Identifier: Apache-2.0
// ErrorWeights: the two variants of the error pass (docs/numerics.md, section 5).
#pragma once

#include <cstdint>

namespace bitcycle {

enum class ErrorWeights : std::uint8_t { kShared, kRequantised };

}  // namespace bitcycle
