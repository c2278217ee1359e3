// SPDX-License-Identifier: Apache-2.0
// case.json as an object in which no key is given twice.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

namespace bitcycle {

/// Throws std::runtime_error naming the file and what is wrong.
inline nlohmann::json parse_case_json(const std::string& text, const std::filesystem::path& path) {
  std::vector<std::set<std::string>> keys;  // of the objects that are open
  std::string twice;
  const auto note_keys = [&](int, nlohmann::json::parse_event_t event, nlohmann::json& parsed) {
    using Event = nlohmann::json::parse_event_t;
    if (event == Event::object_start) keys.emplace_back();
    if (event == Event::object_end) keys.pop_back();
    if (event == Event::key && !keys.back().insert(parsed.get<std::string>()).second && twice.empty()) {
      twice = parsed.get<std::string>();
    }
    return true;
  };
  nlohmann::json json;
  try {
    json = nlohmann::json::parse(text, note_keys);
  } catch (const nlohmann::json::parse_error& error) {
    throw std::runtime_error(path.string() + " is not JSON: it cannot be read from byte " + std::to_string(error.byte) +
                             " on");
  }
  if (!twice.empty()) {
    throw std::runtime_error(path.string() + ": the key '" + twice.substr(0, 60) + "' is given twice; take one out");
  }
  return json;
}

}  // namespace bitcycle
