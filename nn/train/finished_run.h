// SPDX-License-Identifier: Apache-2.0
// A run that has nothing left to do: its recorded summary stands for it.
#pragma once

#include <filesystem>
#include <optional>

#include "nn/train/trainer.h"

namespace bitcycle {

/// What a finished run has left, and a warning for everything of it that is damaged; nothing where it is not finished,
/// its summary cannot be read, or the config asks for more steps: the last checkpoint then gives a new one.
std::optional<TrainSummary> finished_summary(const std::filesystem::path& run, const Config& config,
                                             TrainListener& listener);

}  // namespace bitcycle
