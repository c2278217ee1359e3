// SPDX-License-Identifier: Apache-2.0
// Site: where in a network an operation stands: its layer, and the pass that it belongs to.
#pragma once

#include <optional>
#include <string>

#include "sim/ops/pass.h"

namespace bitcycle {

struct Site {
  std::string layer;         // as in the precision plan and the parameters, without ".weight"
  std::optional<Pass> pass;  // none: loading, the update of the parameters
};

/// "forward", "error", "weight gradient", "update".
inline std::string pass_text(const std::optional<Pass>& pass) {
  if (!pass) return "update";
  switch (*pass) {
    case Pass::kForward: return "forward";
    case Pass::kError: return "error";
    case Pass::kWeightGradient: return "weight gradient";
  }
  return "";
}

}  // namespace bitcycle
