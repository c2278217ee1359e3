// SPDX-License-Identifier: Apache-2.0
#include "nn/config/layer_overrides.h"

#include <stdexcept>

#include "nn/config/config_values.h"
#include "nn/config/schedule_points.h"

namespace bitcycle {

/// A number or float32: constant at that width; a section: a whole schedule.
ScheduleSpec read_schedule(const YAML::Node& node, const std::string& location, const std::filesystem::path& folder) {
  ScheduleSpec spec;
  if (node.IsScalar()) {
    spec.max = read_width(node);
    spec.min = spec.max;
    return spec;
  }
  if (!node.IsMap())
    throw std::invalid_argument(location + " must be a width (2..32, float32) or {schedule, min, max, cycles, points}");
  bool has_max = false, has_min = false;
  for (const auto& entry : node) {
    const std::string key = entry.first.Scalar();
    if (key == "schedule") {
      spec.name = read_choice(entry.second, schedule_names());
    } else if (key == "min") {
      spec.min = read_width(entry.second);
      has_min = true;
    } else if (key == "max") {
      spec.max = read_width(entry.second);
      has_max = true;
    } else if (key == "cycles") {
      spec.cycles = read_integer(entry.second, 1, 1000000000);
    } else if (key == "points") {
      try {
        spec.points = read_schedule_points(entry.second, folder);
      } catch (const std::invalid_argument& error) {
        throw std::invalid_argument(location + " points: " + error.what());
      }
    } else {
      throw std::invalid_argument(location + " has the unknown key '" + key +
                                  "'; the keys are schedule, min, max, cycles, points");
    }
  }
  if (spec.name == "piecewise") {
    if (spec.points.empty()) throw std::invalid_argument(location + " lacks points");
  } else if (!has_max) {
    throw std::invalid_argument(location + " lacks max");
  } else if (spec.name != "constant" && !has_min) {
    throw std::invalid_argument(location + " lacks min");
  }
  spec.max = largest_width(spec);
  spec.min = smallest_width(spec);
  return spec;
}

std::string write_schedule(const ScheduleSpec& spec) {
  return "{schedule: " + spec.name + ", min: " + spec.min.text() + ", max: " + spec.max.text() +
         ", cycles: " + std::to_string(spec.cycles) +
         (spec.points.empty() ? "" : ", points: " + write_schedule_points(spec.points)) + "}";
}

std::vector<PrecisionOverride> read_layer_overrides(const YAML::Node& node, const std::filesystem::path& folder) {
  if (!node.IsSequence()) throw std::invalid_argument("it must be a list of {match, forward, gradient}");
  std::vector<PrecisionOverride> overrides;
  for (const auto& item : node) {
    const std::string location = "entry " + std::to_string(overrides.size() + 1);
    if (!item.IsMap()) throw std::invalid_argument(location + " must be {match: PATTERN, forward: ..., gradient: ...}");
    PrecisionOverride entry;
    for (const auto& field : item) {
      const std::string key = field.first.Scalar();
      if (key == "match") {
        entry.pattern = read_text(field.second);
      } else if (key == "forward") {
        entry.forward = read_schedule(field.second, location + ", forward,", folder);
      } else if (key == "gradient") {
        entry.gradient = read_schedule(field.second, location + ", gradient,", folder);
      } else {
        throw std::invalid_argument(location + " has the unknown key '" + key +
                                    "'; the keys are match, forward, gradient");
      }
    }
    if (entry.pattern.empty()) throw std::invalid_argument(location + " lacks match, the pattern of layer names");
    if (!entry.forward && !entry.gradient) throw std::invalid_argument(location + " has neither forward nor gradient");
    overrides.push_back(std::move(entry));
  }
  return overrides;
}

std::string write_layer_overrides(const std::vector<PrecisionOverride>& overrides) {
  std::string list;
  for (const auto& entry : overrides) {
    list += (list.empty() ? "" : ", ") + std::string("{match: ") + write_text(entry.pattern);
    if (entry.forward) list += ", forward: " + write_schedule(*entry.forward);
    if (entry.gradient) list += ", gradient: " + write_schedule(*entry.gradient);
    list += "}";
  }
  return "[" + list + "]";
}

}  // namespace bitcycle
