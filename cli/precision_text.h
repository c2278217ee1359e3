// SPDX-License-Identifier: Apache-2.0
// A schedule in one word of the command line: static-8, static-8/6, cyclic_cosine:3-8/8,cycles=32,steps=64000.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "nn/config/config.h"

namespace bitcycle::cli {

/// What the text says, as keys of a config.
struct PrecisionText {
  std::vector<ConfigOverride> keys;
  bool is_constant = false;  // both widths stay as they are
  bool has_steps = false, has_batch = false;
};

/// static-FORWARD[/GRADIENT], or SCHEDULE:FORWARD[/GRADIENT] with widths W or MIN-MAX, then ,cycles=N ,steps=N
/// ,batch=N. Without a gradient width it is the forward schedule's largest. Throws std::invalid_argument naming what is
/// legal.
PrecisionText parse_precision(const std::string& text);

/// A baseline: 8, static-8, or static-8/6. Throws std::invalid_argument.
LayerWidths parse_baseline(const std::string& text);

}  // namespace bitcycle::cli
