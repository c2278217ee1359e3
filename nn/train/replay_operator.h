// SPDX-License-Identifier: Apache-2.0
// Replaying a recorded operator, compared with what the case records: the quantised convolution or fully connected
// layer in all three passes and both variants of the error pass; the product of two activations; optimisers and
// averages of weights (replay_pairs.h).
#pragma once

#include <filesystem>
#include <optional>

#include "nn/train/replay_report.h"
#include "sim/device/device.h"

namespace bitcycle {

/// Codes and scales must be equal to the bit; y, dw and dx_requantised within the case's `close_tolerance` (1e-6 where
/// it has none) of the tensor's largest magnitude; dx the same on the 24-bit grid of the error pass, and within 1e-4 on
/// the 16-bit one. out_dir gets codes, scales,
/// accumulators and results as .npy in NCHW and OIHW; it is made where it does not exist. Throws std::runtime_error
/// naming file and key where the case is malformed.
ReplayReport replay_operator(const std::filesystem::path& case_dir, Device& device,
                             const std::optional<std::filesystem::path>& out_dir);

}  // namespace bitcycle
