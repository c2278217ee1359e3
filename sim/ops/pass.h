// SPDX-License-Identifier: Apache-2.0
// Pass: the three products of training.
#pragma once

#include <cstdint>

namespace bitcycle {

enum class Pass : std::uint8_t { kForward, kError, kWeightGradient };

}  // namespace bitcycle
