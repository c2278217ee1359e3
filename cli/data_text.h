// SPDX-License-Identifier: Apache-2.0
// What `data` says of texts.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "cli/console.h"
#include "nn/config/config.h"

namespace bitcycle::cli {

inline constexpr std::int64_t kAnyVocabulary = 10'000'000;

/// data.name of the texts that lie there, by the files' names; empty: none.
std::string recognise_text(const std::filesystem::path& path);
int report_text(Console& console, const DataConfig& data, std::int64_t vocabulary);

}  // namespace bitcycle::cli
