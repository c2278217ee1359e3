// SPDX-License-Identifier: Apache-2.0
#include "cost_models/accelerator.h"

#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <sstream>
#include <stdexcept>

#include "sim/nearest_name.h"

namespace bitcycle {
namespace {

namespace fs = std::filesystem;

/// A mapping of the file that is read key by key; what is left over is an error.
class Section {
 public:
  Section(const YAML::Node& node, std::string file, std::string path, std::vector<std::string>* constants)
      : node_(node), file_(std::move(file)), path_(std::move(path)), constants_(constants) {
    if (!node_.IsMap()) fail(node_, (path_.empty() ? "the file" : "'" + path_ + "'") + " must be a mapping of keys");
  }

  [[noreturn]] void fail(const YAML::Node& at, const std::string& text) const {
    const int line = at.IsDefined() && at.Mark().line >= 0 ? at.Mark().line : node_.Mark().line;
    throw std::invalid_argument(file_ + ":" + std::to_string(line + 1) + ": " + text);
  }
  std::string name(const std::string& key) const { return path_.empty() ? key : path_ + "." + key; }

  bool has(const std::string& key) {
    known_.push_back(key);
    return node_[key].IsDefined();
  }
  YAML::Node need(const std::string& key) {
    if (!has(key)) fail(node_, "'" + name(key) + "' is missing");
    return node_[key];
  }
  std::string text(const std::string& key) {
    const YAML::Node node = need(key);
    if (!node.IsScalar()) fail(node, "'" + name(key) + "' must be a text");
    return node.Scalar();
  }
  std::string text_or(const std::string& key, const std::string& fallback) { return has(key) ? text(key) : fallback; }
  std::int64_t count(const std::string& key, std::int64_t least, std::int64_t most) {
    const YAML::Node node = need(key);
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
  std::int64_t count_or(const std::string& key, std::int64_t fallback, std::int64_t least, std::int64_t most) {
    return has(key) ? count(key, least, most) : fallback;
  }
  bool flag_or(const std::string& key, bool fallback) {
    if (!has(key)) return fallback;
    try {
      return node_[key].as<bool>();
    } catch (const YAML::Exception&) {
      fail(node_[key], "'" + name(key) + "' must be true or false");
    }
  }
  template <typename T>
  T choice(const std::string& key, const std::vector<std::pair<std::string, T>>& choices) {
    const std::string value = text(key);
    std::vector<std::string> names;
    for (const auto& [choice_name, result] : choices) {
      if (choice_name == value) return result;
      names.push_back(choice_name);
    }
    std::string legal;
    for (const auto& choice_name : names) legal += (legal.empty() ? "" : ", ") + choice_name;
    fail(node_[key],
         "'" + name(key) + "' is '" + value + "', must be one of " + legal + "; " + suggestion(value, names));
  }
  /// {value, unit, source}: the value in the first unit of `units`, each with its factor.
  double quantity(const std::string& key, const std::vector<std::pair<std::string, double>>& units) {
    Section q(need(key), file_, name(key), nullptr);
    const YAML::Node node = q.need("value");
    double value = 0.0;
    try {
      value = node.as<double>();
    } catch (const YAML::Exception&) {
      fail(node, "'" + name(key) + ".value' must be a number");
    }
    if (!std::isfinite(value) || value < 0.0) fail(node, "'" + name(key) + ".value' must be 0 or more");
    std::string legal;
    for (const auto& [unit, factor] : units) legal += (legal.empty() ? "" : ", ") + unit;
    if (!q.has("unit")) fail(node, "'" + name(key) + "' has no unit; one of " + legal);
    const std::string unit = q.text("unit");
    const std::string source = q.text("source");
    q.finish();
    for (const auto& [known, factor] : units) {
      if (known != unit) continue;
      if (constants_ != nullptr) {
        constants_->push_back(name(key) + " = " + node.Scalar() + " " + unit + "  (" + source + ")");
      }
      return value * factor;
    }
    fail(q.need("unit"), "'" + name(key) + ".unit' is '" + unit + "', must be one of " + legal);
  }
  Section section(const std::string& key) { return {need(key), file_, name(key), constants_}; }
  std::vector<std::string> keys() const {
    std::vector<std::string> names;
    for (const auto& entry : node_) names.push_back(entry.first.Scalar());
    return names;
  }
  /// Every key has been asked for; others are unknown.
  void finish() const {
    for (const auto& entry : node_) {
      const std::string key = entry.first.Scalar();
      if (std::find(known_.begin(), known_.end(), key) == known_.end()) {
        fail(entry.first, "unknown key '" + name(key) + "'; " + suggestion(key, known_));
      }
    }
  }

 private:
  YAML::Node node_;
  std::string file_, path_;
  std::vector<std::string>* constants_;
  std::vector<std::string> known_;
};

const std::vector<std::pair<std::string, double>> kPicojoules{{"pJ", 1.0}, {"fJ", 1e-3}, {"nJ", 1e3}};
const std::vector<std::pair<std::string, double>> kPicojoulesPerBit{{"pJ/bit", 1.0}, {"fJ/bit", 1e-3}, {"nJ/bit", 1e3}};

/// Sections and quantities that a file may leave out or say in one word, and the units their values are set in.
const std::map<std::string, std::string> kOptionalQuantities{
    {"dram.bandwidth", "bit/cycle"}, {"compute.core", "nJ/cycle"}, {"compute.multiply", "pJ"},
    {"compute.add", "pJ"},           {"float32.mac", "pJ"},        {"leakage", "mW"}};

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
      double number = 0.0;
      const char* end = setting.value.data() + setting.value.size();
      const bool numeric = std::from_chars(setting.value.data(), end, number).ptr == end && !setting.value.empty();
      // A quantity keeps its unit: its value is set. One that was not there, or was a word, gets its usual unit.
      if (target.IsMap() && target["value"].IsDefined()) {
        if (quantity != kOptionalQuantities.end() && setting.value == "unlimited") {
          node[key] = setting.value;
          return;
        }
        target["value"] = setting.value;
        target["source"] = "--set";
      } else if (target.IsMap()) {
        fail("this is a section; set one of its keys");
      } else if (quantity != kOptionalQuantities.end() && numeric) {
        YAML::Node made(YAML::NodeType::Map);
        made["value"] = setting.value;
        made["unit"] = quantity->second;
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

/// yaml-cpp takes the last of two equal keys without a word.
void refuse_duplicates(const YAML::Node& node, const std::string& file, const std::string& path) {
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

BufferSpec read_buffer(Section buffer, const std::string& name) {
  BufferSpec spec;
  spec.name = name;
  spec.role = buffer.choice<BufferRole>(
      "role", {{"lhs", BufferRole::kLhs}, {"rhs", BufferRole::kRhs}, {"out", BufferRole::kOut}});
  spec.size_bits = buffer.quantity("size", {{"bit", 1.0}, {"B", 8.0}, {"KiB", 8192.0}, {"MiB", 8388608.0}});
  spec.double_buffered = buffer.flag_or("double_buffered", true);
  spec.read_pj_per_bit = buffer.quantity("read", kPicojoulesPerBit);
  spec.write_pj_per_bit = buffer.quantity("write", kPicojoulesPerBit);
  buffer.finish();
  return spec;
}

Accelerator read_accelerator(const YAML::Node& root, const std::string& path,
                             const std::vector<AcceleratorSetting>& settings) {
  if (!root.IsMap()) throw std::invalid_argument(path + ": not an accelerator: the file must be a mapping of keys");
  refuse_duplicates(root, path, "");
  for (const auto& setting : settings) set_value(root, setting);

  Accelerator result;
  result.file = path;
  Section top(root, path, "", &result.constants);
  result.name = top.text("name");
  result.description = top.text("description");
  result.model = top.choice<CostModel>("model", {{"metric", CostModel::kMetric},
                                                 {"arithmetic", CostModel::kArithmetic},
                                                 {"systolic", CostModel::kSystolic},
                                                 {"bit-serial", CostModel::kBitSerial},
                                                 {"fusion-array", CostModel::kFusionArray}});
  Section precision = top.section("precision");
  result.min_bits = static_cast<int>(precision.count("minimum", 1, 32));
  result.max_bits = static_cast<int>(precision.count("maximum", result.min_bits, 32));
  if (result.model == CostModel::kFusionArray) {
    result.fusion_min_bits = static_cast<int>(precision.count("fusion_minimum", 1, result.max_bits));
  }
  if (result.model == CostModel::kBitSerial) {
    result.lhs_serial_bits = static_cast<int>(precision.count("lhs_bits_per_cycle", 0, 32));
    result.rhs_serial_bits = static_cast<int>(precision.count("rhs_bits_per_cycle", 0, 32));
  }
  precision.finish();
  if (result.has_energy()) {
    result.technology_nm = top.quantity("technology", {{"nm", 1.0}});
    if (!(result.technology_nm > 0.0)) top.fail(top.need("technology"), "'technology' must be above 0");
    result.output_bits = static_cast<int>(top.count("output_bits", 1, 64));
    if (top.has("float32") && top.need("float32").IsMap()) {
      Section section = top.section("float32");
      Float32Spec spec;
      spec.mac_pj = section.quantity("mac", kPicojoules);
      if (result.has_time()) spec.macs_per_cycle = static_cast<double>(section.count("macs_per_cycle", 1, 1000000000));
      section.finish();
      result.float32 = spec;
    } else if (top.text("float32") != "none") {
      top.fail(top.need("float32"), "'float32' must be 'none', or say what a multiply-accumulate costs (mac)");
    }
    Section dram = top.section("dram");
    result.dram_pj_per_bit = dram.quantity("energy", kPicojoulesPerBit);
    if (result.has_time() &&
        !(dram.has("bandwidth") && dram.need("bandwidth").IsScalar() && dram.text("bandwidth") == "unlimited")) {
      result.dram_bits_per_cycle = dram.quantity("bandwidth", {{"bit/cycle", 1.0}, {"B/cycle", 8.0}});
      if (!(result.dram_bits_per_cycle > 0.0))
        dram.fail(dram.need("bandwidth"), "'dram.bandwidth' must be above 0, or 'unlimited'");
    }
    dram.finish();
    Section compute = top.section("compute");
    if (compute.has("core")) {
      if (!result.has_time())
        compute.fail(compute.need("core"), "'compute.core' is energy a cycle; this model has no cycles");
      if (compute.has("multiply") || compute.has("add"))
        compute.fail(compute.need("core"),
                     "'compute' says what a cycle of the array costs (core), or what a multiply-accumulate costs "
                     "(multiply, at_bits, add); not both");
      result.core_nj_per_cycle = compute.quantity("core", {{"nJ/cycle", 1.0}, {"pJ/cycle", 1e-3}});
    } else {
      result.mac.multiply_pj = compute.quantity("multiply", kPicojoules);
      result.mac.at_bits = static_cast<int>(compute.count("at_bits", 1, 64));
      result.mac.add_pj = compute.quantity("add", kPicojoules);
    }
    compute.finish();
    result.zero_inserted_errors = top.choice<bool>("strided_error_pass", {{"zero-inserted", true}, {"skipped", false}});
  }
  if (result.has_time()) {
    result.clock_hz = top.quantity("clock", {{"MHz", 1e6}, {"GHz", 1e9}, {"kHz", 1e3}});
    if (!(result.clock_hz > 0.0)) top.fail(top.need("clock"), "'clock' must be above 0");
    Section array = top.section("array");
    result.rows = array.count("rows", 1, 1000000);
    result.columns = array.count("columns", 1, 1000000);
    if (result.model == CostModel::kBitSerial) result.lanes = array.count("lanes", 1, 1000000);
    array.finish();
    result.leakage_mw = top.quantity("leakage", {{"mW", 1.0}, {"W", 1e3}, {"uW", 1e-3}});
  }
  if (result.model == CostModel::kSystolic || result.model == CostModel::kBitSerial) {
    result.dataflow = top.choice<Dataflow>(
        "dataflow",
        {{"os", Dataflow::kOutputStationary}, {"ws", Dataflow::kWeightStationary}, {"is", Dataflow::kInputStationary}});
  }
  if (result.model == CostModel::kFusionArray) result.im2col_first_layer = top.flag_or("im2col_first_layer", true);
  if (result.has_time()) {
    Section buffers = top.section("buffers");
    std::set<BufferRole> roles;
    for (const auto& key : buffers.keys()) {
      result.buffers.push_back(read_buffer(buffers.section(key), key));
      if (!roles.insert(result.buffers.back().role).second) {
        buffers.fail(buffers.need(key), "two buffers have the role of '" + key + "'");
      }
    }
    if (roles.size() != 3) buffers.fail(top.need("buffers"), "'buffers' must have one of each role: lhs, rhs, out");
    for (const auto& spec : result.buffers) {
      if (!(spec.size_bits > 0.0))
        buffers.fail(buffers.need(spec.name), "'buffers." + spec.name + ".size' must be above 0");
    }
  }
  top.finish();
  return result;
}

}  // namespace

const BufferSpec* Accelerator::buffer(BufferRole role) const {
  for (const auto& spec : buffers) {
    if (spec.role == role) return &spec;
  }
  return nullptr;
}

Accelerator load_accelerator(const std::string& path, const std::vector<AcceleratorSetting>& settings) {
  std::ifstream file(path);
  std::stringstream text;
  if (file) text << file.rdbuf();
  if (!file || file.bad()) throw std::invalid_argument("cannot read the accelerator '" + path + "'");
  return parse_accelerator(text.str(), path, settings);
}

Accelerator parse_accelerator(const std::string& text, const std::string& path,
                              const std::vector<AcceleratorSetting>& settings) {
  try {
    const Accelerator as_it_is = read_accelerator(YAML::Load(text), path, {});
    if (settings.empty()) return as_it_is;
  } catch (const YAML::Exception& error) {
    throw std::invalid_argument(path + ":" + std::to_string(error.mark.line + 1) + ": " + error.msg);
  }
  try {
    return read_accelerator(YAML::Load(text), path, settings);
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
  const auto names = accelerator_names(folder);
  std::string known;
  for (const auto& name : names) known += (known.empty() ? "" : ", ") + name;
  throw std::invalid_argument("there is no accelerator '" + name_or_path + "': neither a file nor one of " +
                              (known.empty() ? "those in " + folder : known) + "; " + suggestion(name_or_path, names));
}

}  // namespace bitcycle
