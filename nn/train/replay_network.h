// SPDX-License-Identifier: Apache-2.0
// Replaying a whole network's recorded step, or the first steps of its training. These find a wrong layer, not a wrong
// bit: the cases were computed in floating point, and rounding to codes amplifies the smallest difference.
#pragma once

#include "nn/train/case_file.h"
#include "nn/train/replay_report.h"
#include "sim/device/device.h"

namespace bitcycle {

/// Gradients of every parameter: relative L2 error below 3e-2 at 16/16 bits, below 2e-1 at narrower ones; the loss
/// within 1e-3; the running statistics after the step within 1e-3 of the tensor's maximum.
ReplayReport replay_step(const CaseFile& file, const ReplayPaths& paths, Device& device);

/// Loss of the first step within 1e-3, of the next three within 2e-2; later ones are shown only.
ReplayReport replay_trajectory(const CaseFile& file, const ReplayPaths& paths, Device& device);

}  // namespace bitcycle
