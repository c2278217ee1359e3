// SPDX-License-Identifier: Apache-2.0
// The digests that shipped configs end with. They stand in expected_digests.json beside the configs, one entry a
// config and set of overrides; README shows the same ones.
#pragma once

#include <filesystem>
#include <optional>

#include "nn/config/config.h"
#include "sim/number/digest.h"

namespace bitcycle::cli {

/// The digest that a run of `config`, read from `file`, must end with; nothing where none is recorded for exactly
/// this config. Throws where the record itself is damaged.
std::optional<Digest128> expected_digest(const std::filesystem::path& file, const Config& config);

}  // namespace bitcycle::cli
