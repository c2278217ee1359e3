// SPDX-License-Identifier: Apache-2.0
// How much memory a process may still take, so that one that needs more says so instead of being killed.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>

namespace bitcycle {

/// Bytes: what the system says is available (/proc/meminfo), and no more than what the process's control groups (of
/// version 2 and 1) leave it; nothing where neither is known. `root`: where /proc and /sys are found.
std::optional<std::uint64_t> free_memory(const std::filesystem::path& root = "/");

}  // namespace bitcycle
