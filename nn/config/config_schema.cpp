// SPDX-License-Identifier: Apache-2.0
#include "nn/config/config_schema.h"

#include <yaml-cpp/yaml.h>

#include <nlohmann/json.hpp>
#include <sstream>

#include "nn/config/config_table.h"

namespace bitcycle {
namespace {

using Json = nlohmann::ordered_json;

Json section() { return {{"type", "object"}, {"additionalProperties", false}, {"properties", Json::object()}}; }

/// A default as JSON: by what the schema says of its type, since YAML's text alone does not tell 8 from "8".
Json default_of(const std::string& yaml) {
  const YAML::Node node = YAML::Load(yaml);
  if (node.IsSequence()) {
    Json list = Json::array();
    for (const auto& item : node) list.push_back(default_of(YAML::Dump(item)));
    return list;
  }
  const bool quoted = node.Tag() == "!";
  Json value = quoted ? Json() : Json::parse(node.Scalar(), nullptr, false);
  return value.is_discarded() || value.is_null() ? Json(node.Scalar()) : value;
}

}  // namespace

std::string config_schema() {
  Json schema{{"$schema", "https://json-schema.org/draft/2020-12/schema"}, {"title", "bitcycle config"}};
  schema.update(section());
  schema["properties"]["base"] = {
      {"type", "string"}, {"description", "another config file, relative to this one, whose keys are defaults"}};
  for (const auto& entry : config_table()) {
    Json* at = &schema;
    std::istringstream parts(entry.key);
    std::string part;
    for (std::getline(parts, part, '.'); !parts.eof();) {
      Json& properties = (*at)["properties"];
      if (!properties.contains(part)) properties[part] = section();
      at = &properties[part];
      std::getline(parts, part, '.');
    }
    Json& key = (*at)["properties"][part] = Json::parse(entry.schema);
    key["default"] = default_of(entry.write(Config()));
    key["description"] = entry.meaning;
  }
  return schema.dump(2) + "\n";
}

}  // namespace bitcycle
