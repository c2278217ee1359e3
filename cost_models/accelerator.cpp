// SPDX-License-Identifier: Apache-2.0
#include "cost_models/accelerator.h"

#include <yaml-cpp/depthguard.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>
#include <stdexcept>

#include "cost_models/quantity.h"
#include "cost_models/yaml_depth.h"
#include "cost_models/yaml_section.h"
#include "sim/nearest_name.h"

namespace bitcycle {
namespace {

namespace fs = std::filesystem;

/// Quantities that a file may leave out or say in one word.
const std::map<std::string, QuantityKind> kOptionalQuantities{{"dram.bandwidth", QuantityKind::kRate},
                                                              {"compute.core", QuantityKind::kEnergyPerCycle},
                                                              {"compute.multiply", QuantityKind::kEnergy},
                                                              {"compute.add", QuantityKind::kEnergy},
                                                              {"float32.mac", QuantityKind::kEnergy},
                                                              {"leakage", QuantityKind::kPower},
                                                              {"area", QuantityKind::kArea}};

/// The units that an optional quantity may be set in; a relative design has its own.
std::string units_of(const YAML::Node& root, QuantityKind kind) {
  const YAML::Node energies = root["energies"];
  if (energies.IsDefined() && energies.IsMap()) {
    if (kind == QuantityKind::kEnergy) kind = QuantityKind::kRelative;
    if (kind == QuantityKind::kEnergyPerCycle) kind = QuantityKind::kRelativePerCycle;
  }
  return units_text(kind);
}

/// "25.6 GB/s" as value and unit; the unit is empty where there is none, the value where it is no number.
std::pair<std::string, std::string> number_and_unit(const std::string& text) {
  double number = 0.0;
  const char* end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, number);
  if (rest == text.data() || error == std::errc::invalid_argument) return {};
  const auto used = static_cast<std::size_t>(rest - text.data());
  const auto unit = text.find_first_not_of(' ', used);
  return {text.substr(0, used), unit == std::string::npos ? "" : text.substr(unit)};
}

/// Puts the value there. What the file does not have is made; whether it is a key at all, the reader says afterwards.
void set_value(const YAML::Node& root, const AcceleratorSetting& setting) {
  const auto fail = [&](const std::string& text) {
    throw std::invalid_argument("--set accelerator." + setting.key + ": " + text);
  };
  YAML::Node node = root;
  std::string rest = setting.key;
  while (true) {
    const auto dot = rest.find('.');
    const std::string key = rest.substr(0, dot);
    if (key.empty()) fail("a key has an empty part");
    if (dot == std::string::npos) {
      YAML::Node target = node[key];
      const auto quantity = kOptionalQuantities.find(setting.key);
      const auto [value, unit] = number_and_unit(setting.value);
      // A quantity keeps its unit unless the setting brings one. One that was not there, or was a word, has none to
      // keep.
      if (target.IsMap() && target["value"].IsDefined()) {
        if (quantity != kOptionalQuantities.end() && setting.value == "unlimited") {
          node[key] = setting.value;
          return;
        }
        target["value"] = unit.empty() ? setting.value : value;
        if (!unit.empty()) target["unit"] = unit;
        target["source"] = "--set";
      } else if (target.IsMap()) {
        fail("this is a section; set one of its keys");
      } else if (quantity != kOptionalQuantities.end() && !value.empty()) {
        if (unit.empty()) {
          fail("'" + setting.value + "' has no unit, and the file has none for it; write the unit, too, as in '" +
               setting.value + " UNIT': one of " + units_of(root, quantity->second));
        }
        YAML::Node made(YAML::NodeType::Map);
        made["value"] = value;
        made["unit"] = unit;
        made["source"] = "--set";
        node[key] = made;
      } else {
        node[key] = setting.value;
      }
      return;
    }
    YAML::Node below = node[key];
    if (!below.IsDefined() || (below.IsScalar() && below.Scalar() == "none")) {
      node[key] = YAML::Node(YAML::NodeType::Map);
      below.reset(node[key]);
    }
    if (!below.IsMap()) fail("'" + key + "' is a value, not a section with keys");
    node.reset(below);
    rest = rest.substr(dot + 1);
  }
}

/// The settings put in, then read.
Accelerator read_with(const std::string& text, const std::string& path,
                      const std::vector<AcceleratorSetting>& settings) {
  const YAML::Node root = YAML::Load(text);
  if (!root.IsMap()) throw std::invalid_argument(path + ": not an accelerator: the file must be a mapping of keys");
  refuse_duplicates(root, path, "");
  for (const auto& setting : settings) set_value(root, setting);
  Accelerator result = read_accelerator(root, path);
  for (const auto& setting : settings) {
    result.settings.push_back(setting.key + "=" + setting.value);
    // A quantity has its source; other constants are marked here.
    for (auto& constant : result.constants) {
      if (constant.starts_with(setting.key + " = ") && !constant.ends_with("(--set)")) constant += "  (--set)";
    }
  }
  return result;
}

}  // namespace

double peak_macs_per_cycle(const Accelerator& accelerator, int lhs_bits, int rhs_bits) {
  const double elements = static_cast<double>(accelerator.rows) * static_cast<double>(accelerator.columns);
  const auto steps = [](int bits, int at_once) {
    return at_once == 0 ? 1.0 : std::ceil(static_cast<double>(bits) / at_once);
  };
  switch (accelerator.model) {
    case CostModel::kSystolic:
    case CostModel::kHierarchy: return elements;
    case CostModel::kBitSerial:
      return elements * static_cast<double>(accelerator.lanes) /
             (steps(lhs_bits, accelerator.lhs_serial_bits) * steps(rhs_bits, accelerator.rhs_serial_bits));
    case CostModel::kFusionArray: {
      const auto split = [&](int bits) { return accelerator.max_bits / std::max(bits, accelerator.fusion_min_bits); };
      return elements * split(lhs_bits) * split(rhs_bits);
    }
    case CostModel::kMetric:
    case CostModel::kArithmetic: break;
  }
  return 0.0;
}

std::string Accelerator::described() const {
  if (settings.empty()) return description;
  std::string changes;
  for (const auto& setting : settings) changes += (changes.empty() ? "" : ", ") + setting;
  return "priced with " + changes + " (--set). Without that, it is: " + description;
}

const BufferSpec* Accelerator::buffer(BufferRole role) const {
  for (const auto& spec : buffers) {
    if (spec.role == role) return &spec;
  }
  return nullptr;
}

Accelerator load_accelerator(const std::string& path, const std::vector<AcceleratorSetting>& settings) {
  std::error_code error;
  if (fs::exists(path, error) && !fs::is_regular_file(path, error)) {
    throw std::invalid_argument("cannot read the accelerator '" + path + "': it is not a file");
  }
  std::ifstream file(path);
  std::stringstream text;
  if (file) text << file.rdbuf();
  if (!file || file.bad()) throw std::invalid_argument("cannot read the accelerator '" + path + "'");
  return parse_accelerator(text.str(), path, settings);
}

Accelerator parse_accelerator(const std::string& text, const std::string& path,
                              const std::vector<AcceleratorSetting>& settings) {
  try {
    const Accelerator as_it_is = read_with(text, path, {});
    if (settings.empty()) return as_it_is;
  } catch (const YAML::DeepRecursion&) {
    throw std::invalid_argument(path + ":" + std::to_string(deepest_place(text).line + 1) + ": " + kTooDeep);
  } catch (const YAML::Exception& error) {
    throw std::invalid_argument(path + ":" + std::to_string(error.mark.line + 1) + ": " + error.msg);
  }
  try {
    return read_with(text, path, settings);
  } catch (const std::invalid_argument& error) {  // the file alone is fine
    const std::string message = error.what();
    if (message.starts_with("--set ")) throw;
    std::string given;
    for (const auto& setting : settings) given += " --set accelerator." + setting.key + "=" + setting.value;
    throw std::invalid_argument("with" + given + ": " + message);
  }
}

std::vector<std::string> accelerator_names(const std::string& folder) {
  std::vector<std::string> names;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    if (entry.path().extension() == ".yaml") names.push_back(entry.path().stem().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

std::string accelerator_path(const std::string& name_or_path, const std::string& folder) {
  const fs::path shipped = fs::path(folder) / (name_or_path + ".yaml");
  if (name_or_path.find('/') == std::string::npos && fs::exists(shipped)) return shipped.string();
  if (fs::is_regular_file(name_or_path)) return name_or_path;
  if (name_or_path.find(',') != std::string::npos) {
    throw std::invalid_argument("there is no accelerator '" + name_or_path +
                                "'; several are named one by one: " + "--accelerator A --accelerator B");
  }
  const auto names = accelerator_names(folder);
  std::string known;
  for (const auto& name : names) known += (known.empty() ? "" : ", ") + name;
  throw std::invalid_argument("there is no accelerator '" + name_or_path + "': neither a file nor one of " +
                              (known.empty() ? "those in " + folder : known) + "; " + suggestion(name_or_path, names));
}

}  // namespace bitcycle
