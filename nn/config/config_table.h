// SPDX-License-Identifier: Apache-2.0
// The table of all configuration keys: how each is read, written and described. The one place that knows them.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "nn/config/config.h"

namespace YAML {
class Node;
}

namespace bitcycle {

struct ConfigTableEntry {
  std::string key;
  std::string type;
  std::string meaning;
  bool identity = true;  // part of what resuming compares
  /// Throws std::invalid_argument saying what is legal; the caller adds key and location.
  std::function<void(Config&, const YAML::Node&)> read;
  /// The value as YAML text on one line.
  std::function<std::string(const Config&)> write;
  /// In place of `read` where a value may name a file: paths are relative to `folder`.
  std::function<void(Config&, const YAML::Node&, const std::filesystem::path& folder)> read_in = {};
  /// What JSON Schema says of the value, a JSON object.
  std::string schema = {};
};

/// In the order of docs/config.md; keys of one section stand together.
const std::vector<ConfigTableEntry>& config_table();

}  // namespace bitcycle
