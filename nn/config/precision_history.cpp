// SPDX-License-Identifier: Apache-2.0
#include "nn/config/precision_history.h"

#include <set>
#include <stdexcept>

#include "nn/config/config_values.h"
#include "nn/config/layer_overrides.h"

namespace bitcycle {
namespace {

constexpr std::int64_t kMostSteps = 1000000000;

PrecisionHistory read_entry(const YAML::Node& node, const std::string& location, const std::filesystem::path& folder) {
  if (!node.IsMap()) throw std::invalid_argument(location + " must be {until, steps, forward, gradient, layers}");
  PrecisionHistory entry;
  std::set<std::string> given;
  for (const auto& field : node) {
    const std::string key = field.first.Scalar();
    given.insert(key);
    if (key == "until") {
      entry.until = read_integer(field.second, 1, kMostSteps);
    } else if (key == "steps") {
      entry.steps = read_integer(field.second, 1, kMostSteps);
    } else if (key == "forward") {
      entry.forward = read_schedule(field.second, location + ", forward,", folder);
    } else if (key == "gradient") {
      entry.gradient = read_schedule(field.second, location + ", gradient,", folder);
    } else if (key == "layers") {
      entry.layers = read_layer_overrides(field.second, folder);
    } else {
      throw std::invalid_argument(location + " has the unknown key '" + key +
                                  "'; the keys are until, steps, forward, gradient, layers");
    }
  }
  for (const char* key : {"until", "steps", "forward", "gradient"}) {
    if (given.count(key) == 0) throw std::invalid_argument(location + " lacks " + key);
  }
  return entry;
}

}  // namespace

std::vector<PrecisionHistory> read_precision_history(const YAML::Node& node, const std::filesystem::path& folder) {
  if (!node.IsSequence()) throw std::invalid_argument("it must be a list of {until, steps, forward, gradient, layers}");
  std::vector<PrecisionHistory> history;
  for (const auto& item : node) {
    const std::string location = "entry " + std::to_string(history.size() + 1);
    history.push_back(read_entry(item, location, folder));
    if (history.size() > 1 && history.back().until <= history[history.size() - 2].until) {
      throw std::invalid_argument(location + ": until must be above that of the entry before");
    }
  }
  return history;
}

std::string write_precision_history(const std::vector<PrecisionHistory>& history) {
  std::string list;
  for (const auto& entry : history) {
    list += (list.empty() ? "" : ", ") + std::string("{until: ") + std::to_string(entry.until) +
            ", steps: " + std::to_string(entry.steps) + ", forward: " + write_schedule(entry.forward) +
            ", gradient: " + write_schedule(entry.gradient) + ", layers: " + write_layer_overrides(entry.layers) + "}";
  }
  return "[" + list + "]";
}

}  // namespace bitcycle
