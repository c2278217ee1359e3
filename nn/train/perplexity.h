// SPDX-License-Identifier: Apache-2.0
// Perplexity: e to the mean loss of a text's words, in binary64 (sim/number/elementary.h).
#pragma once

#include <algorithm>

#include "sim/number/elementary.h"

namespace bitcycle {

/// At most exp(700), so that the number can be written.
inline double perplexity(double loss) { return exp_f64(std::min(loss, 700.0)); }

}  // namespace bitcycle
