// SPDX-License-Identifier: Apache-2.0
// Going on with a run under a config that asks for more steps: allowed where the run so far is a part of the one that
// is asked for, so that every step that ran is a step that the new config describes.
#pragma once

#include <cstdint>
#include <string>

#include "nn/config/config.h"

namespace bitcycle {

struct RunExtension {
  /// True where the configs differ in more steps, and in schedules of widths and learning rates at most.
  bool asked_for = false;
  /// Why it cannot be: the first step that ran with another width or learning rate; empty: it can.
  std::string refusal;
  bool possible() const { return asked_for && refusal.empty(); }
};

/// `done`: steps that ran under `recorded`.
RunExtension run_extension(const Config& config, const Config& recorded, std::int64_t done);

/// The first step below `steps` at which a layer's widths or the learning rate differ, as a sentence; empty: none.
std::string first_difference(const Config& config, const Config& recorded, std::int64_t steps, bool learning_rates);

}  // namespace bitcycle
