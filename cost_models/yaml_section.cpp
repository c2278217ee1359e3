// SPDX-License-Identifier: Apache-2.0
#include "cost_models/yaml_section.h"

#include <algorithm>
#include <set>
#include <stdexcept>

#include "sim/nearest_name.h"

namespace bitcycle {
namespace {

std::string list_of(const std::vector<std::string>& names) {
  std::string text;
  for (const auto& name : names) text += (text.empty() ? "" : ", ") + name;
  return text;
}

/// Energies of a design that states ratios only have units of their own.
QuantityKind kind_in(const YamlFile& file, QuantityKind kind) {
  if (!file.relative) return kind;
  switch (kind) {
    case QuantityKind::kEnergy: return QuantityKind::kRelative;
    case QuantityKind::kEnergyPerBit: return QuantityKind::kRelativePerBit;
    case QuantityKind::kEnergyPerCycle: return QuantityKind::kRelativePerCycle;
    default: return kind;
  }
}

bool is_energy(QuantityKind kind) {
  return kind == QuantityKind::kEnergy || kind == QuantityKind::kEnergyPerBit || kind == QuantityKind::kEnergyPerCycle;
}

}  // namespace

YamlSection::YamlSection(const YAML::Node& node, YamlFile& file, std::string path)
    : node_(node), file_(&file), path_(std::move(path)) {
  if (!node_.IsMap()) fail(node_, (path_.empty() ? "the file" : "'" + path_ + "'") + " must be a mapping of keys");
}

void YamlSection::fail(const YAML::Node& at, const std::string& text) const {
  const int line = at.IsDefined() && at.Mark().line >= 0 ? at.Mark().line : node_.Mark().line;
  // What a setting has made stands in no line.
  throw std::invalid_argument(file_->name + (line < 0 ? "" : ":" + std::to_string(line + 1)) + ": " + text);
}

void YamlSection::only(const std::vector<std::string>& keys) {
  possible_ = keys;
  for (const auto& entry : node_) {
    const std::string key = entry.first.Scalar();
    if (std::find(keys.begin(), keys.end(), key) != keys.end()) continue;
    const std::string text = suggestion(key, keys);
    fail(entry.first, "unknown key '" + name(key) + "'; " + text +
                          (text.ends_with("?") ? "" : "; the keys here are " + list_of(keys)));
  }
}

bool YamlSection::has(const std::string& key) {
  known_.push_back(key);
  return node_[key].IsDefined();
}

YAML::Node YamlSection::need(const std::string& key, const std::string& wanted) {
  if (!has(key)) fail(node_, "'" + name(key) + "' is missing" + (wanted.empty() ? "" : "; it must be " + wanted));
  return node_[key];
}

std::string YamlSection::text(const std::string& key, const std::string& wanted) {
  const YAML::Node node = need(key, wanted);
  if (!node.IsScalar()) fail(node, "'" + name(key) + "' must be a text");
  return node.Scalar();
}

std::int64_t YamlSection::count(const std::string& key, std::int64_t least, std::int64_t most) {
  const YAML::Node node = need(key, "a whole number, " + std::to_string(least) + ".." + std::to_string(most));
  std::int64_t value = 0;
  try {
    value = node.as<std::int64_t>();
  } catch (const YAML::Exception&) {
    fail(node, "'" + name(key) + "' must be a whole number");
  }
  if (value < least || value > most) {
    fail(node, "'" + name(key) + "' is " + std::to_string(value) + ", must be " + std::to_string(least) + ".." +
                   std::to_string(most));
  }
  return value;
}

bool YamlSection::flag_or(const std::string& key, bool fallback) {
  if (!has(key)) return fallback;
  try {
    return node_[key].as<bool>();
  } catch (const YAML::Exception&) {
    fail(node_[key], "'" + name(key) + "' must be true or false");
  }
}

std::string YamlSection::one_of(const std::vector<std::string>& names) { return "one of " + list_of(names); }

std::size_t YamlSection::choice_index(const std::string& key, const std::string& value,
                                      const std::vector<std::string>& names) {
  const auto found = std::find(names.begin(), names.end(), value);
  if (found != names.end()) return static_cast<std::size_t>(found - names.begin());
  fail(node_[key],
       "'" + name(key) + "' is '" + value + "', must be one of " + list_of(names) + "; " + suggestion(value, names));
}

double YamlSection::quantity(const std::string& key, QuantityKind kind, bool zero_allowed) {
  const std::string wanted = "{value: NUMBER, unit: UNIT, source: TEXT} with the unit ";
  YamlSection q(need(key, wanted + units_text(kind_in(*file_, kind))), *file_, name(key));
  q.only({"value", "unit", "source"});
  const YAML::Node node = q.need("value");
  double value = 0.0;
  try {
    value = node.as<double>();
  } catch (const YAML::Exception&) {
    fail(node, "'" + name(key) + ".value' must be a number");
  }
  const QuantityKind read_as = kind_in(*file_, kind);
  if (!q.has("unit")) fail(node, "'" + name(key) + "' has no unit; it must be one of " + units_text(read_as));
  const std::string unit = q.text("unit");
  const std::string source = q.text("source");
  q.finish();
  if (!has_unit(read_as, unit)) {
    std::string why;
    if (is_energy(kind) && file_->relative && has_unit(kind, unit)) {
      why = ": 'energies' says that this design states ratios only, so it has no " + unit;
    } else if (is_energy(kind) && unit.starts_with("relative")) {
      why = ": ratios need 'energies: {relative_to: ...}'";
    }
    fail(q.need("unit"), "'" + name(key) + ".unit' is '" + unit + "', must be one of " + units_text(read_as) + why);
  }
  try {
    const double base = in_base_unit(read_as, value, unit, file_->clock_hz, zero_allowed);
    file_->constants.push_back(name(key) + " = " + node.Scalar() + " " + unit + "  (" + source + ")");
    return base;
  } catch (const std::invalid_argument& error) {
    fail(node, "'" + name(key) + "' = " + error.what());
  }
}

bool YamlSection::is_word(const std::string& key, const std::string& word) {
  return has(key) && node_[key].IsScalar() && node_[key].Scalar() == word;
}

std::vector<std::string> YamlSection::keys() const {
  std::vector<std::string> names;
  for (const auto& entry : node_) names.push_back(entry.first.Scalar());
  return names;
}

void YamlSection::finish() const {
  for (const auto& entry : node_) {
    const std::string key = entry.first.Scalar();
    if (std::find(known_.begin(), known_.end(), key) != known_.end()) continue;
    if (std::find(possible_.begin(), possible_.end(), key) != possible_.end()) {
      fail(entry.first, "'" + name(key) + "' means nothing in a design of this model; leave it out");
    }
    fail(entry.first, "unknown key '" + name(key) + "'; " + suggestion(key, known_));
  }
}

void refuse_duplicates(const YAML::Node& node, const std::string& file, const std::string& path) {
  if (node.IsSequence()) {
    for (const auto& entry : node) refuse_duplicates(entry, file, path);
    return;
  }
  if (!node.IsMap()) return;
  std::set<std::string> seen;
  for (const auto& entry : node) {
    const std::string key = entry.first.IsScalar() ? entry.first.Scalar() : "";
    if (!seen.insert(key).second) {
      throw std::invalid_argument(file + ":" + std::to_string(entry.first.Mark().line + 1) + ": '" + path + key +
                                  "' is given twice");
    }
    refuse_duplicates(entry.second, file, path + key + ".");
  }
}

}  // namespace bitcycle
