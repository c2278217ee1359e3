// SPDX-License-Identifier: Apache-2.0
// Replaying the operators that are no convolution: products of two activations, optimisers, averages of weights.
#pragma once

#include <filesystem>
#include <optional>

#include "nn/train/case_file.h"
#include "nn/train/replay_report.h"
#include "sim/device/device.h"

namespace bitcycle {

/// `matmul`: the product of two activations and its two gradients. Codes, scales and exact sums must be equal; pairs
/// that the mask leaves out are 0 in what is compared and written, and take part in nothing. A mask must be causal.
ReplayReport replay_matmul(const CaseFile& file, Device& device, const std::optional<std::filesystem::path>& out_dir);
/// `adamw` and `sgd_clipped`: as many steps as the case records.
ReplayReport replay_adamw(const CaseFile& file, Device& device, const std::optional<std::filesystem::path>& out_dir);
ReplayReport replay_sgd_clipped(const CaseFile& file, Device& device,
                                const std::optional<std::filesystem::path>& out_dir);
/// `swa_average`: the mean of points, and batch-norm statistics as means over batches (docs/numerics.md, 9.2). They are
/// the host's on every device.
ReplayReport replay_swa_average(const CaseFile& file, const std::optional<std::filesystem::path>& out_dir);

}  // namespace bitcycle
