// SPDX-License-Identifier: Apache-2.0
// Reading, writing and comparing configurations, all by the table of keys.
#include "nn/config/config.h"

#include <yaml-cpp/depthguard.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <functional>
#include <map>
#include <set>
#include <sstream>
#include <stdexcept>

#include "cost_models/yaml_depth.h"
#include "nn/config/config_error.h"
#include "nn/config/config_table.h"
#include "nn/config/config_values.h"
#include "nn/config/language_checks.h"
#include "nn/io/atomic_file.h"
#include "sim/nearest_name.h"

namespace bitcycle {
namespace {

constexpr std::size_t kMaxFile = 16U << 20;  // a schedule may have many points
constexpr int kMaxBases = 8;

std::string location(const std::string& origin, const YAML::Mark& mark) {
  if (mark.is_null()) return origin;
  return origin + ":" + std::to_string(mark.line + 1) + ":" + std::to_string(mark.column + 1);
}

const ConfigTableEntry* find_entry(const std::string& key) {
  for (const auto& entry : config_table()) {
    if (entry.key == key) return &entry;
  }
  return nullptr;
}

bool is_section(const std::string& key) {
  return std::any_of(config_table().begin(), config_table().end(),
                     [&](const auto& entry) { return entry.key.starts_with(key + "."); });
}

[[noreturn]] void fail_unknown(const std::string& at, const std::string& key) {
  std::vector<std::string> known{"base"};
  for (const auto& entry : config_table()) {
    known.push_back(entry.key);
    for (auto dot = entry.key.find('.'); dot != std::string::npos; dot = entry.key.find('.', dot + 1))
      known.push_back(entry.key.substr(0, dot));
  }
  const std::string nearest = suggestion(key, known);
  throw ConfigError(at + ": unknown key '" + key + "'; " + nearest + (nearest.ends_with("?") ? " " : "; ") +
                    "docs/config.md lists all keys");
}

/// Where the last document began that a parser came to.
class DocumentStarts : public YAML::EventHandler {
 public:
  YAML::Mark last;

  void OnDocumentStart(const YAML::Mark& mark) override { last = mark; }
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark&, YAML::anchor_t) override {}
  void OnAlias(const YAML::Mark&, YAML::anchor_t) override {}
  void OnScalar(const YAML::Mark&, const std::string&, YAML::anchor_t, const std::string&) override {}
  void OnSequenceStart(const YAML::Mark&, const std::string&, YAML::anchor_t, YAML::EmitterStyle::value) override {}
  void OnSequenceEnd() override {}
  void OnMapStart(const YAML::Mark&, const std::string&, YAML::anchor_t, YAML::EmitterStyle::value) override {}
  void OnMapEnd() override {}
};

/// The one document of a text; null where it is empty.
YAML::Node load_document(const std::string& yaml, const std::string& origin) {
  if (yaml.size() > kMaxFile) {
    throw ConfigError(origin + ": " + std::to_string(yaml.size()) + " bytes; a config has at most 16 MiB");
  }
  if (yaml.find('\0') != std::string::npos) {
    throw ConfigError(origin + ": holds bytes that are 0; a config is text, and this file is damaged or another kind");
  }
  // Not YAML::LoadAll: version 0.7 never ends where a document is followed by a stray ']' or '}'.
  try {
    std::istringstream stream(yaml);
    YAML::Parser parser(stream);
    DocumentStarts starts;
    if (parser.HandleNextDocument(starts) && parser.HandleNextDocument(starts)) {
      const bool separated = yaml.rfind("---", 0) == 0 || yaml.find("\n---") != std::string::npos;
      throw ConfigError(location(origin, starts.last) +
                        (separated
                             ? ": a second YAML document begins here (after a line '---'); a config is one document"
                             : ": not valid YAML: the config has ended before this character"));
    }
    return YAML::Load(yaml);
  } catch (const YAML::DeepRecursion&) {
    throw ConfigError(location(origin, deepest_place(yaml)) + ": " + kTooDeep);
  } catch (const YAML::Exception& error) {
    throw ConfigError(location(origin, error.mark) + ": not valid YAML: " + error.msg);
  }
}

/// `folder`: what paths in values are relative to.
void set_value(Config& config, const ConfigTableEntry& entry, const YAML::Node& node, const std::string& at,
               const std::filesystem::path& folder) {
  try {
    if (entry.read_in) {
      entry.read_in(config, node, folder);
    } else {
      entry.read(config, node);
    }
  } catch (const std::invalid_argument& error) {
    throw ConfigError(at + ": " + entry.key + ": " + error.what());
  }
}

class Reader {
 public:
  explicit Reader(Config& config) : config_(config) {}

  /// The keys that were read from files.
  const std::set<std::string>& given() const { return given_; }

  void read_section(const YAML::Node& map, const std::string& prefix, const std::string& origin,
                    const std::filesystem::path& folder) {
    std::set<std::string> seen;
    for (const auto& item : map) {
      const std::string at = location(origin, item.first.Mark());
      if (!item.first.IsScalar()) throw ConfigError(at + ": a key must be plain text");
      const std::string key = prefix.empty() ? item.first.Scalar() : prefix + "." + item.first.Scalar();
      if (!seen.insert(key).second) throw ConfigError(at + ": '" + key + "' is given twice");
      if (prefix.empty() && key == "base") continue;
      if (const auto* entry = find_entry(key)) {
        set_value(config_, *entry, item.second, at, folder);
        given_.insert(key);
        locations_[key] = at;
      } else if (is_section(key)) {
        if (item.second.IsNull()) continue;
        if (!item.second.IsMap())
          throw ConfigError(at + ": '" + key + "' is a section; its keys belong indented below it");
        read_section(item.second, key, origin, folder);
      } else {
        fail_unknown(at, key);
      }
    }
  }

  void read_text(const std::string& yaml, const std::string& origin, const std::filesystem::path& folder, int depth) {
    const YAML::Node root = load_document(yaml, origin);
    if (root.IsNull()) return;
    if (!root.IsMap())
      throw ConfigError(origin +
                        ": a config is a list of `key: value`, and this is not; layers are read from a file whose name "
                        "ends in .csv or .onnx");
    try {
      if (const auto base = root["base"]) {
        const std::string at = location(origin, base.Mark());
        if (!base.IsScalar()) throw ConfigError(at + ": base must be the name of one file");
        if (depth >= kMaxBases)
          throw ConfigError(at + ": more than " + std::to_string(kMaxBases) +
                            " files name each other as base; is there a cycle?");
        const auto file = folder / base.Scalar();
        std::string text;
        try {
          text = read_file(file);
        } catch (const std::runtime_error& error) {
          throw ConfigError(at + ": base: " + error.what());
        }
        read_text(text, file.string(), file.parent_path(), depth + 1);
      }
      read_section(root, "", origin, folder);
    } catch (const YAML::Exception& error) {
      throw ConfigError(location(origin, error.mark) + ": " + error.msg);
    }
  }

  void apply(const ConfigOverride& change) {
    const std::string at = change.origin.empty() ? "--set " + change.key + "=" + change.value : change.origin;
    const auto* entry = find_entry(change.key);
    if (entry == nullptr) {
      if (is_section(change.key))
        throw ConfigError(at + ": '" + change.key + "' is a section, not a key; docs/config.md lists its keys");
      fail_unknown(at, change.key);
    }
    YAML::Node node;
    try {
      node = YAML::Load(change.value);
    } catch (const YAML::DeepRecursion&) {
      throw ConfigError("--set " + change.key + ": " + kTooDeep);
    } catch (const YAML::Exception& error) {
      throw ConfigError(at + ": not a YAML value: " + error.msg);
    }
    set_value(config_, *entry, node, at, {});
    locations_[change.key] = at;
  }

  /// Where the key that a message begins with was given: the file and line, or the --set; of a section's keys the one
  /// that the message names next. `origin` where it has its default.
  std::string location_of(const std::string& message, const std::string& origin) const {
    const std::string key = message.substr(0, message.find_first_of(" :,;"));
    if (const auto found = locations_.find(key); found != locations_.end()) return found->second;
    std::string best;
    std::size_t nearest = std::string::npos;
    for (const auto& [name, at] : locations_) {
      if (!name.starts_with(key + ".")) continue;
      const std::size_t where = message.find(name.substr(key.size() + 1) + " is", key.size());
      if (best.empty() || where < nearest) {
        best = at;
        nearest = where;
      }
    }
    return best.empty() ? origin : best;
  }

 private:
  Config& config_;
  std::set<std::string> given_;
  std::map<std::string, std::string> locations_;
};

/// What follows from other keys.
void resolve(Config& config) {
  for (auto* schedule : {&config.precision.forward, &config.precision.gradient}) {
    schedule->steps = config.train.steps;
    schedule->max = largest_width(*schedule);
    schedule->min = smallest_width(*schedule);
  }
  config.learning_rate.lr = config.optimizer.lr;
  config.learning_rate.steps = config.train.steps;
}

/// Looks at the keys that the files have, before anything is made of them.
using CheckKeys = std::function<void(const std::set<std::string>& given)>;

void any_keys(const std::set<std::string>&) {}

Config read_config(const std::string& yaml, const std::string& origin, const std::filesystem::path& folder,
                   const std::string& name, const std::vector<ConfigOverride>& overrides, const CheckKeys& check_keys) {
  Config config;
  Reader reader(config);
  reader.read_text(yaml, origin, folder, 0);
  check_keys(reader.given());
  for (const auto& change : overrides) reader.apply(change);
  if (config.name.empty()) config.name = name;
  resolve(config);
  try {
    check_config(config);
  } catch (const ConfigError& error) {
    throw ConfigError(reader.location_of(error.what(), origin) + ": " + error.what());
  } catch (const std::invalid_argument& error) {
    throw ConfigError(reader.location_of(error.what(), origin) + ": " + error.what());
  }
  return config;
}

std::vector<std::string> parts_of(const std::string& key) {
  std::vector<std::string> parts;
  std::istringstream words(key);
  for (std::string part; std::getline(words, part, '.');) parts.push_back(part);
  return parts;
}

std::string yaml_of(const Config& config, bool identity_only) {
  YAML::Emitter out;
  out << YAML::BeginMap;
  std::vector<std::string> open;  // the sections that the last line stands in
  for (const auto& entry : config_table()) {
    if (identity_only && !entry.identity) continue;
    const auto parts = parts_of(entry.key);
    std::size_t common = 0;
    while (common < open.size() && common + 1 < parts.size() && open[common] == parts[common]) ++common;
    for (; open.size() > common; open.pop_back()) out << YAML::EndMap;
    for (; open.size() + 1 < parts.size(); open.push_back(parts[open.size()])) {
      out << YAML::Key << parts[open.size()] << YAML::Value << YAML::BeginMap;
    }
    YAML::Node value = YAML::Load(entry.write(config));
    if (!value.IsScalar()) value.SetStyle(YAML::EmitterStyle::Flow);
    out << YAML::Key << parts.back() << YAML::Value << value;
  }
  for (; !open.empty(); open.pop_back()) out << YAML::EndMap;
  out << YAML::EndMap;
  return std::string(out.c_str()) + "\n";
}

}  // namespace

ConfigOverride parse_override(const std::string& text) {
  const auto equals = text.find('=');
  if (equals == std::string::npos || equals == 0) {
    throw ConfigError("--set '" + text + "' is not of the form KEY=VALUE, for example --set train.steps=1000");
  }
  return {text.substr(0, equals), text.substr(equals + 1)};
}

Config load_config(const std::filesystem::path& file, const std::vector<ConfigOverride>& overrides) {
  const auto some_key = [&](const std::set<std::string>& given) {
    if (!given.empty()) return;
    throw ConfigError(file.string() +
                      ": holds no key at all, so it describes no training; configs/quickstart.yaml is " +
                      "an example, docs/config.md lists the keys");
  };
  return read_config(read_file(file), file.string(), file.parent_path(), file.stem().string(), overrides, some_key);
}

Config parse_config(const std::string& yaml, const std::string& origin, const std::vector<ConfigOverride>& overrides) {
  return read_config(yaml, origin, std::filesystem::path(), "run", overrides, any_keys);
}

Config parse_complete_config(const std::string& yaml, const std::string& origin) {
  const auto every_key = [&](const std::set<std::string>& given) {
    std::string first;
    std::size_t missing = 0;
    for (const auto& entry : config_table()) {
      if (given.count(entry.key) == 0 && missing++ == 0) first = entry.key;
    }
    if (missing == 0) return;
    throw ConfigError(
        origin + ": '" + first + "' is missing" +
        (missing > 1 ? ", and " + std::to_string(missing - 1) + " more keys" : "") +
        ". The config of a run has every key, so this file is damaged or was cut off: restore it from a copy, or " +
        "start again with --restart");
  };
  return read_config(yaml, origin, std::filesystem::path(), "run", {}, every_key);
}

void check_config(const Config& config) {
  const auto check_schedule = [](const ScheduleSpec& spec, const std::string& key) {
    try {
      make_schedule(spec);
    } catch (const std::invalid_argument& error) {
      throw ConfigError(key + ": " + error.what());
    }
  };
  check_schedule(config.precision.forward, "precision.forward");
  check_schedule(config.precision.gradient, "precision.gradient");
  for (const auto& entry : config.precision.layers) {
    for (const auto* spec : {&entry.forward, &entry.gradient}) {
      if (!*spec) continue;
      ScheduleSpec whole = **spec;
      whole.steps = config.train.steps;
      check_schedule(whole, "precision.layers, '" + entry.pattern + "'");
    }
  }
  for (const auto& entry : config.precision.history) {
    for (ScheduleSpec whole : {entry.forward, entry.gradient}) {
      whole.steps = entry.steps;
      check_schedule(whole, "precision.history");
    }
  }
  if (!config.precision.history.empty() && config.precision.history.back().until != config.fork.step) {
    throw ConfigError("precision.history ends at step " + std::to_string(config.precision.history.back().until) +
                      ", and fork.step is " + std::to_string(config.fork.step) +
                      "; `train --from RUN:STEP` records both");
  }
  check_learning_rate(config.learning_rate);
  if (config.swa.start > 0 && config.swa.freq % config.train.evaluate_every != 0) {
    throw ConfigError("swa.freq is " + std::to_string(config.swa.freq) + ", and train.evaluate_every is " +
                      std::to_string(config.train.evaluate_every) +
                      ": an average is evaluated with the others, so swa.freq must be a multiple of it");
  }
  check_language(config);
  if (config.data.name == "cifar10" && config.model.classes != 10) {
    throw ConfigError("model.classes is " + std::to_string(config.model.classes) +
                      ", but data.name is cifar10: set model.classes to 10");
  }
  if (config.data.name == "cifar100" && config.model.classes != 100) {
    throw ConfigError("model.classes is " + std::to_string(config.model.classes) +
                      ", but data.name is cifar100: set model.classes to 100");
  }
  if (config.data.name == "synthetic" && config.model.classes != 10) {
    throw ConfigError("model.classes is " + std::to_string(config.model.classes) +
                      ", but data.name is synthetic: set model.classes to 10");
  }
  for (const auto& [key, values] :
       {std::pair{"data.mean", &config.data.mean}, std::pair{"data.deviation", &config.data.deviation}}) {
    if (!values->empty() && values->size() != 3) {
      throw ConfigError(std::string(key) + " has " + std::to_string(values->size()) +
                        " numbers: three are needed, of red, green and blue, or none");
    }
  }
  for (const double mean : config.data.mean) {
    if (mean > 1.0) {
      throw ConfigError("data.mean holds " + write_real(mean) +
                        ": it is the mean of pixel / 255, so 0 to 1; divide means of pixels by 255");
    }
  }
  constexpr double kLeastDeviation = 1e-6, kMostDeviation = 1e6;
  for (const double deviation : config.data.deviation) {
    if (deviation < kLeastDeviation || deviation > kMostDeviation) {
      throw ConfigError("data.deviation holds " + write_real(deviation) +
                        "; pixel / 255 - mean is divided by it, so it must be 1e-06 to 1e+06");
    }
  }
  if (config.data.name == "imagefolder" && config.data.image_size > config.data.resize) {
    throw ConfigError("data.image_size is " + std::to_string(config.data.image_size) + ", and data.resize is " +
                      std::to_string(config.data.resize) +
                      ": an evaluation takes its images from pictures of that size, so it must be at least as large");
  }
  const bool controls =
      std::any_of(config.name.begin(), config.name.end(), [](unsigned char c) { return c < 0x20 || c == 0x7F; });
  if (controls)
    throw ConfigError("name holds a control character; it names a folder and is printed, so it must be text");
  if (config.name.find_first_of("/\\\n") != std::string::npos || config.name == "." || config.name == "..") {
    throw ConfigError("name is '" + config.name + "'; it names a folder and must not hold a slash");
  }
}

std::string config_yaml(const Config& config) { return yaml_of(config, false); }
std::string config_identity(const Config& config) { return yaml_of(config, true); }

std::vector<std::string> identity_differences(const Config& a, const Config& b, const std::string& a_name,
                                              const std::string& b_name) {
  std::vector<std::string> lines;
  for (const auto& entry : config_table()) {
    if (!entry.identity) continue;
    const std::string x = entry.write(a), y = entry.write(b);
    // A list of points may be very long.
    const auto shown = [](const std::string& text) { return text.size() <= 200 ? text : text.substr(0, 200) + "..."; };
    if (x != y) lines.push_back(entry.key + ": " + a_name + " " + shown(x) + ", " + b_name + " " + shown(y));
  }
  return lines;
}

PrecisionSpec precision_spec(const Config& config) {
  return {config.precision.forward, config.precision.gradient, config.precision.layers, config.precision.history};
}

}  // namespace bitcycle
