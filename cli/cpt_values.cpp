// SPDX-License-Identifier: Apache-2.0
#include "cli/cpt_values.h"

#include <charconv>
#include <nlohmann/json.hpp>
#include <utility>

#include "cli/exit_code.h"

namespace bitcycle::cli {
namespace {

std::int64_t parse_integer(const std::string& name, const std::string& value) {
  std::int64_t number = 0;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
  if (error != std::errc() || end != value.data() + value.size()) {
    throw UsageError("--" + name + " is '" + value + "': a whole number is needed");
  }
  return number;
}

/// One of the two schedules: `key` is precision.forward or precision.gradient.
void map_width(CptMapping& mapping, const std::string& key, const std::string& cyclic, const std::string& constant,
               std::int64_t periods) {
  const CptValues& values = mapping.values;
  if (values.has("is_cyclic_precision")) {
    const auto [low, high] = values.range(cyclic, "--is_cyclic_precision");
    mapping.set(key + ".schedule", low == high ? "constant" : "cyclic_cosine", cyclic);
    if (low != high) {
      mapping.set(key + ".min", std::to_string(low), cyclic);
      mapping.set(key + ".cycles", std::to_string(values.integer("num_cyclic_period", periods)), "num_cyclic_period");
    }
    mapping.set(key + ".max", std::to_string(high), cyclic);
    return;
  }
  // 0 bits is the paper's default, and means not quantised.
  const std::int64_t bits = values.integer(constant, 0);
  if (values.has(cyclic)) {
    mapping.note("--" + cyclic + " has no effect without --is_cyclic_precision; the paper's code ignores it, too" +
                 (bits == 0 ? "; as --" + constant + " is 0 or not given, this is float32" : ""));
  }
  mapping.set(key + ".schedule", "constant", constant);
  mapping.set(key + ".max", bits == 0 ? "float32" : std::to_string(bits), constant);
}

}  // namespace

std::string CptValues::text(const std::string& name, const std::string& fallback) const {
  const auto found = paper_.find(name);
  return found == paper_.end() || found->second.empty() ? fallback : found->second.front();
}

std::string CptValues::joined(const std::string& name) const {
  std::string all;
  if (const auto found = paper_.find(name); found != paper_.end()) {
    for (const auto& value : found->second) all += (all.empty() ? "" : " ") + value;
  }
  return all;
}

std::int64_t CptValues::integer(const std::string& name, std::int64_t fallback) const {
  return has(name) ? parse_integer(name, text(name, "")) : fallback;
}

std::string CptValues::number(const std::string& name, const std::string& fallback) const {
  const std::string value = text(name, fallback);
  double parsed = 0.0;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), parsed);
  if (error != std::errc() || end != value.data() + value.size()) {
    throw UsageError("--" + name + " is '" + value + "': a number is needed");
  }
  return value;
}

std::pair<std::int64_t, std::int64_t> CptValues::range(const std::string& name, const std::string& needs) const {
  const auto found = paper_.find(name);
  if (found == paper_.end()) throw UsageError(needs + " needs --" + name + " MIN MAX");
  if (found->second.size() != 2) {
    throw UsageError("--" + name + " takes two widths, MIN MAX, and " + std::to_string(found->second.size()) +
                     " stand there: " + joined(name));
  }
  return {parse_integer(name, found->second[0]), parse_integer(name, found->second[1])};
}

void CptMapping::set(const std::string& key, const std::string& yaml, const std::string& option) {
  std::string origin = "the paper's command line";
  if (!option.empty()) {
    origin = "--" + option + (values.has(option) ? " " + values.joined(option) : ", which is not given");
    result.options[key] = option;
  }
  result.keys.push_back({key, yaml, origin});
}

void CptMapping::set_text(const std::string& key, const std::string& value, const std::string& option) {
  set(key, nlohmann::json(value).dump(), option);
}

void refuse_cpt_options(const CptValues& values) {
  const auto no = [&](const std::string& name, const std::string& reason) {
    if (values.has(name)) throw UsageError("--" + name + " of the paper's code is not supported: " + reason);
  };
  no("pretrained", "weights to start from are a file: --set model.initial_weights=FILE.safetensors");
  if (!values.text("resume", "").empty()) {
    throw UsageError(
        "--resume of the paper's code is not supported: an interrupted run continues by itself when it is started "
        "again; weights to start from are --set model.initial_weights=FILE.safetensors");
  }
  if (values.integer("start_iter", 0) != 0 || values.integer("start_epoch", 0) != 0) {
    throw UsageError(
        "--start_iter and --start_epoch of the paper's code are not supported: an interrupted run continues "
        "by itself when it is started again");
  }
  if (const std::string cmd = values.text("cmd", "train"); cmd != "train") {
    throw UsageError("--cmd " + cmd + ": only train is a training; `bitcycle eval RUN` gives a run's accuracy");
  }
}

void map_cpt_precision(CptMapping& mapping, std::int64_t periods) {
  const CptValues& values = mapping.values;
  map_width(mapping, "precision.forward", "cyclic_num_bits_schedule", "num_bits", periods);
  map_width(mapping, "precision.gradient", "cyclic_num_grad_bits_schedule", "num_grad_bits", periods);
  for (const char* name : {"num_bits_schedule", "num_grad_bits_schedule"}) {
    if (values.has(name)) {
      mapping.note("--" + std::string(name) + " has no effect; the paper's code reads it and does not use it");
    }
  }
  if (!values.has("is_cyclic_precision")) return;
  for (const char* name : {"num_bits", "num_grad_bits"}) {
    if (values.has(name)) mapping.note("--" + std::string(name) + " has no effect with --is_cyclic_precision");
  }
}

void map_cpt_static_precision(CptMapping& mapping) {
  for (const auto& [key, option] : {std::pair{"precision.forward", "cyclic_num_bits_schedule"},
                                    std::pair{"precision.gradient", "cyclic_num_grad_bits_schedule"}}) {
    const std::int64_t width = mapping.values.range(option, "static training").second;
    mapping.set(std::string(key) + ".schedule", "constant", option);
    mapping.set(std::string(key) + ".max", std::to_string(width), option);
  }
}

void map_cpt_sgd(CptMapping& mapping) {
  mapping.set("optimizer.lr", mapping.values.number("lr", "0.1"), "lr");
  mapping.set("optimizer.momentum", mapping.values.number("momentum", "0.9"), "momentum");
  mapping.set("optimizer.weight_decay", mapping.values.number("weight_decay", "1e-4"), "weight_decay");
}

}  // namespace bitcycle::cli
