// SPDX-License-Identifier: Apache-2.0
// Said where averaging of weights or a warm-up was asked for, and no step of the run does it.
#pragma once

#include <string>
#include <vector>

#include "nn/config/config.h"

namespace bitcycle::cli {

/// One sentence for each key of swa and of the warm-up that differs from its default and cannot act.
std::vector<std::string> idle_settings(const Config& config);

}  // namespace bitcycle::cli
