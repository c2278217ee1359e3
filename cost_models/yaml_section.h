// SPDX-License-Identifier: Apache-2.0
// YamlSection: a mapping of an accelerator's file that is read key by key; what is left over is an error. Every error
// is a std::invalid_argument "FILE:LINE: ..." that names the key.
#pragma once

#include <yaml-cpp/yaml.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "cost_models/quantity.h"

namespace bitcycle {

/// What the sections of one file share.
struct YamlFile {
  std::string name;
  double clock_hz = 0.0;               // once it has been read; bits a second need it
  bool relative = false;               // energies are ratios
  std::vector<std::string> constants;  // what has been read, as text
};

class YamlSection {
 public:
  YamlSection(const YAML::Node& node, YamlFile& file, std::string path);

  [[noreturn]] void fail(const YAML::Node& at, const std::string& text) const;
  std::string name(const std::string& key) const { return path_.empty() ? key : path_ + "." + key; }

  /// The keys that a section may have, whatever its model is: others are named at once, before one that is missing is.
  void only(const std::vector<std::string>& keys);
  bool has(const std::string& key);
  /// `wanted`: what belongs there, for the error where the key is missing.
  YAML::Node need(const std::string& key, const std::string& wanted = "");
  std::string text(const std::string& key, const std::string& wanted = "");
  std::int64_t count(const std::string& key, std::int64_t least, std::int64_t most);
  bool flag_or(const std::string& key, bool fallback);
  template <typename T>
  T choice(const std::string& key, const std::vector<std::pair<std::string, T>>& choices) {
    std::vector<std::string> names;
    for (const auto& entry : choices) names.push_back(entry.first);
    return choices[choice_index(key, text(key, one_of(names)), names)].second;
  }
  /// The text's index among the names; an error that lists them where it is none of them.
  std::size_t choice_index(const std::string& key, const std::string& value, const std::vector<std::string>& names);
  /// "one of a, b, c".
  static std::string one_of(const std::vector<std::string>& names);
  /// {value, unit, source} in the base unit of the kind. Energies of a relative design are read in its units.
  double quantity(const std::string& key, QuantityKind kind, bool zero_allowed);
  /// The key's value is this word, not a quantity.
  bool is_word(const std::string& key, const std::string& word);
  YamlSection section(const std::string& key) { return {need(key), *file_, name(key)}; }
  std::vector<std::string> keys() const;
  /// Notes "KEY = TEXT" among the constants.
  void note(const std::string& key, const std::string& text) { file_->constants.push_back(name(key) + " = " + text); }
  /// Every key has been asked for; others are unknown.
  void finish() const;

 private:
  YAML::Node node_;
  YamlFile* file_;
  std::string path_;
  std::vector<std::string> known_, possible_;
};

/// yaml-cpp takes the last of two equal keys without a word: an error here.
void refuse_duplicates(const YAML::Node& node, const std::string& file, const std::string& path);

}  // namespace bitcycle
