// SPDX-License-Identifier: Apache-2.0
// The JSON Schema of configs, by a validator of the few words that it uses: it takes every shipped config and refuses
// what the reader refuses.
#include "nn/config/config_schema.h"

#include <gtest/gtest.h>
#include <yaml-cpp/yaml.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "nn/config/config.h"

namespace bitcycle {
namespace {

using Json = nlohmann::json;
namespace fs = std::filesystem;

Json to_json(const YAML::Node& node) {
  if (node.IsMap()) {
    Json object = Json::object();
    for (const auto& item : node) object[item.first.Scalar()] = to_json(item.second);
    return object;
  }
  if (node.IsSequence()) {
    Json array = Json::array();
    for (const auto& item : node) array.push_back(to_json(item));
    return array;
  }
  if (node.IsNull()) return {};
  Json value = node.Tag() == "!" ? Json(Json::value_t::discarded) : Json::parse(node.Scalar(), nullptr, false);
  return value.is_discarded() ? Json(node.Scalar()) : value;
}

bool has_type(const Json& value, const std::string& type) {
  if (type == "object") return value.is_object();
  if (type == "array") return value.is_array();
  if (type == "string") return value.is_string();
  if (type == "boolean") return value.is_boolean();
  if (type == "integer") return value.is_number_integer();
  if (type == "number") return value.is_number();
  throw std::logic_error("the schema has the type " + type);
}

/// The path of the first thing that does not fit; empty: it fits.
std::string misfit(const Json& value, const Json& schema, const std::string& path) {
  for (const auto& [word, rule] : schema.items()) {
    bool ok = true;
    if (word == "type") {
      ok = has_type(value, rule.get<std::string>());
    } else if (word == "enum") {
      ok = std::find(rule.begin(), rule.end(), value) != rule.end();
    } else if (word == "const") {
      ok = value == rule;
    } else if (word == "minimum") {
      ok = !value.is_number() || value >= rule;
    } else if (word == "maximum") {
      ok = !value.is_number() || value <= rule;
    } else if (word == "minItems") {
      ok = value.size() >= rule.get<std::size_t>();
    } else if (word == "maxItems") {
      ok = value.size() <= rule.get<std::size_t>();
    } else if (word == "required") {
      for (const auto& key : rule) ok = ok && value.contains(key.get<std::string>());
    } else if (word == "anyOf") {
      ok = std::any_of(rule.begin(), rule.end(), [&](const Json& one) { return misfit(value, one, path).empty(); });
    } else if (word == "items") {
      for (std::size_t i = 0; value.is_array() && i < value.size(); ++i) {
        if (const auto at = misfit(value[i], rule, path + "[" + std::to_string(i) + "]"); !at.empty()) return at;
      }
    } else if (word == "properties") {
      if (!value.is_object()) continue;
      for (const auto& [key, entry] : value.items()) {
        if (!rule.contains(key)) return path + "." + key;
        if (const auto at = misfit(entry, rule[key], path + "." + key); !at.empty()) return at;
      }
    } else if (word != "additionalProperties" && word != "default" && word != "description" && word != "title" &&
               word != "$schema") {
      throw std::logic_error("the schema uses the word " + word);
    }
    if (!ok) return path + ": " + word;
  }
  return "";
}

const Json& schema() {
  static const Json json = Json::parse(config_schema());
  return json;
}
std::string misfit_of(const std::string& yaml) { return misfit(to_json(YAML::Load(yaml)), schema(), ""); }

TEST(ConfigSchema, TakesEveryShippedConfig) {
  int configs = 0;
  for (const auto& entry : fs::recursive_directory_iterator(BITCYCLE_SOURCE "/configs")) {
    const fs::path& path = entry.path();
    if (path.extension() != ".yaml" || path.string().find("/accelerators/") != std::string::npos) continue;
    EXPECT_EQ(misfit(to_json(YAML::LoadFile(path.string())), schema(), ""), "") << path;
    ++configs;
  }
  EXPECT_GE(configs, 10);
}

TEST(ConfigSchema, TakesAConfigWithEveryKeyAndItsOwnDefaults) {
  const std::string yaml = config_yaml(parse_config("name: x", "x.yaml"));
  EXPECT_EQ(misfit_of(yaml), "");
  for (const auto& key : config_keys()) {
    Json at = schema();
    std::string rest = key.key;
    for (auto dot = rest.find('.'); dot != std::string::npos; dot = rest.find('.')) {
      at = at["properties"][rest.substr(0, dot)];
      rest = rest.substr(dot + 1);
    }
    ASSERT_TRUE(at["properties"].contains(rest)) << key.key;
    EXPECT_EQ(misfit(at["properties"][rest]["default"], at["properties"][rest], key.key), "");
    EXPECT_EQ(at["properties"][rest]["description"], key.meaning);
  }
  EXPECT_EQ(schema()["properties"]["learning_rate"]["properties"]["points"]["default"], Json::parse("[0.5, 0.75]"));
}

TEST(ConfigSchema, RefusesWhatTheReaderRefuses) {
  for (const char* yaml :
       {"trian: {steps: 4}", "train: {step: 4}", "train: {steps: 0}", "train: {steps: many}", "train: {seed: -1}",
        "precision: {forward: {max: 33}}", "precision: {forward: {max: eight}}", "data: {augment: yes please}",
        "precision: {forward: {schedule: sometimes}}", "optimizer: {momentum: 1.5}", "precision: {error_grid_bits: 17}",
        "precision: {layers: [{forward: 8}]}", "precision: {layers: [{match: a, forward: {maximum: 8}}]}",
        "learning_rate: {points: 0.5}", "train: 7"}) {
    EXPECT_NE(misfit_of(yaml), "") << yaml;
    EXPECT_ANY_THROW(parse_config(yaml, "x.yaml")) << yaml;
  }
  for (const char* yaml :
       {"precision: {forward: {max: float32, schedule: constant}}", "precision: {error_grid_bits: 24}",
        "precision: {layers: [{match: 'group1*', forward: 8, gradient: {schedule: constant, max: 6}}]}",
        "base: other.yaml", "optimizer: {lr: 1}"}) {
    EXPECT_EQ(misfit_of(yaml), "") << yaml;
  }
}

}  // namespace
}  // namespace bitcycle
