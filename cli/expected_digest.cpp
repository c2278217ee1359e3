// SPDX-License-Identifier: Apache-2.0
#include "cli/expected_digest.h"

#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <vector>

#include "nn/io/atomic_file.h"

namespace bitcycle::cli {

std::optional<Digest128> expected_digest(const std::filesystem::path& file, const Config& config) {
  const std::filesystem::path record = file.parent_path() / "expected_digests.json";
  if (!std::filesystem::exists(record)) return std::nullopt;
  try {
    const auto entries = nlohmann::json::parse(read_file(record));
    for (const auto& entry : entries) {
      if (entry.at("config").get<std::string>() != file.filename().string()) continue;
      std::vector<ConfigOverride> overrides;
      for (const auto& item : entry.at("set")) overrides.push_back(parse_override(item.get<std::string>()));
      if (config_identity(load_config(file, overrides)) == config_identity(config)) {
        return parse_digest(entry.at("digest").get<std::string>());
      }
    }
  } catch (const nlohmann::json::exception& error) {
    throw std::runtime_error("'" + record.string() + "' is damaged: " + error.what());
  }
  return std::nullopt;
}

}  // namespace bitcycle::cli
