// SPDX-License-Identifier: Apache-2.0
#include "nn/io/free_memory.h"

#include <algorithm>
#include <charconv>
#include <fstream>
#include <sstream>
#include <string>

namespace bitcycle {
namespace {

namespace fs = std::filesystem;
using Bytes = std::optional<std::uint64_t>;

/// The number that a file holds; nothing where it holds none ("max") or is not there.
Bytes number_in(const fs::path& path) {
  std::ifstream file(path);
  std::string text;
  if (!(file >> text)) return std::nullopt;
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

/// The number behind a word that begins a line.
Bytes number_after(const fs::path& path, const std::string& word) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    std::string name;
    std::uint64_t value = 0;
    if (words >> name >> value && name == word) return value;
  }
  return std::nullopt;
}

Bytes smaller(Bytes a, Bytes b) {
  if (!a) return b;
  return b ? std::min(*a, *b) : a;
}

/// What a group leaves: its limit less what it uses, but for files that it can drop.
Bytes left_in(const fs::path& group, const char* limit, const char* usage, const char* droppable) {
  const Bytes most = number_in(group / limit), used = number_in(group / usage);
  if (!most || !used) return std::nullopt;
  const std::uint64_t files = number_after(group / "memory.stat", droppable).value_or(0);
  const std::uint64_t held = *used > files ? *used - files : 0;
  return *most > held ? *most - held : 0;
}

/// The least that a group and those above it leave.
Bytes left_in_groups(const fs::path& mount, const std::string& group, const char* limit, const char* usage,
                     const char* droppable) {
  Bytes least;
  for (fs::path at = fs::path(group).relative_path();; at = at.parent_path()) {
    least = smaller(least, left_in(mount / at, limit, usage, droppable));
    if (at.empty()) return least;
  }
}

}  // namespace

std::optional<std::uint64_t> free_memory(const fs::path& root) {
  Bytes least = number_after(root / "proc/meminfo", "MemAvailable:");
  if (least) *least *= 1024;
  std::ifstream groups(root / "proc/self/cgroup");
  for (std::string line; std::getline(groups, line);) {  // number:controllers:path
    const auto first = line.find(':'), second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string controllers = "," + line.substr(first + 1, second - first - 1) + ",";
    const std::string group = line.substr(second + 1);
    const fs::path mount = root / "sys/fs/cgroup";
    if (controllers == ",,") {
      least = smaller(least, left_in_groups(mount, group, "memory.max", "memory.current", "inactive_file"));
    } else if (controllers.find(",memory,") != std::string::npos) {
      least = smaller(least, left_in_groups(mount / "memory", group, "memory.limit_in_bytes", "memory.usage_in_bytes",
                                            "total_inactive_file"));
    }
  }
  return least;
}

}  // namespace bitcycle
