// SPDX-License-Identifier: Apache-2.0
// Replaying the operators of language models: products of two activations, and optimisers.
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

}  // namespace bitcycle
