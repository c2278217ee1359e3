// SPDX-License-Identifier: Apache-2.0
// Replaying a recorded step of a language model, or the first steps of its training. The case carries its tokens.
#pragma once

#include "nn/train/case_file.h"
#include "nn/train/replay_report.h"
#include "sim/device/device.h"

namespace bitcycle {

/// Loss, gradients of every parameter, running ranges and what the step hands on, with the tolerances of the case.
ReplayReport replay_language_step(const CaseFile& file, const ReplayPaths& paths, Device& device);

/// The loss of every step with the case's tolerance, and what the first step changed.
ReplayReport replay_language_trajectory(const CaseFile& file, const ReplayPaths& paths, Device& device);

}  // namespace bitcycle
