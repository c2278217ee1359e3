// SPDX-License-Identifier: Apache-2.0
#include "cli/command_line.h"

#include <algorithm>
#include <charconv>
#include <iostream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <utility>

// Values may contain commas: --set learning_rate.points=[0.5,0.75].
#define CXXOPTS_VECTOR_DELIMITER '\0'
#include <cxxopts.hpp>

#include "cli/exit_code.h"
#include "cli/nearest.h"
#include "sim/isa.h"

namespace bitcycle::cli {
namespace {

constexpr const char* kNoValue = "";
constexpr const char* kAcceleratorPrefix = "accelerator.";

bool is_number(const std::string& text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

bool value_is_optional(const OptionSpec& option) { return option.argument.rfind('[', 0) == 0; }

/// RUN or RUN:STEP, as folder and digits.
std::pair<std::string, std::string> fork_of(const std::string& text) {
  const auto colon = text.rfind(':');
  if (colon == std::string::npos || !is_number(text.substr(colon + 1))) return {text, ""};
  return {text.substr(0, colon), text.substr(colon + 1)};
}

std::string shown(const OptionSpec& option) {
  std::string text = "--" + option.name;
  return option.argument.empty() ? text : text + " " + option.argument;
}

}  // namespace

namespace {

/// "portable, avx2, avxvnni, avx512vnni or amx"
std::string isa_list() {
  std::string list;
  const auto names = isa_names();
  for (std::size_t i = 0; i < names.size(); ++i) {
    list += (i == 0 ? "" : (i + 1 == names.size() ? " or " : ", ")) + names[i];
  }
  return list;
}

}  // namespace

OptionSpec json_option() { return {"json", "", "the result as one JSON object on stdout, everything else on stderr"}; }
OptionSpec quiet_option() { return {"quiet", "", "only the result, warnings and errors"}; }
OptionSpec set_option() {
  return {"set", "KEY=VALUE", "sets a key of the config, e.g. precision.forward.max=6; may be repeated"};
}
std::vector<OptionSpec> execution_options() {
  return {{"isa", "NAME", isa_list() + "; default: the best of this machine. The results do not depend on it"},
          {"threads", "N", "0, the default: all cores; at most four a core are used. The results do not depend on it"},
          {"device", "NAME",
           "cpu, cuda (an NVIDIA GPU), reference (plain loops, the specification) or cuda-on-host (the GPU's kernels "
           "run on "
           "the CPU, slowly); default: cpu. The results do not depend on it"},
          {"cuda-serial", "", "with a CUDA device: one kernel at a time, each waited for and checked, to find a fault"},
          {"cuda-graph", "on|off", "with a CUDA device: a step as one graph; default: on"},
          {"cuda-carveout", "on|off", "with a CUDA device: as much shared memory as there is; default: on"}};
}

const std::vector<std::string>& isa_choices() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> all = isa_names();
    all.insert(all.begin(), "auto");
    return all;
  }();
  return names;
}
const std::vector<std::string>& device_names() {
  static const std::vector<std::string> names = {"cpu", "cuda", "reference", "cuda-on-host"};
  return names;
}

CommandLine::CommandLine(VerbHelp help, std::vector<OptionSpec> options)
    : help_(std::move(help)), options_(std::move(options)) {
  options_.push_back({"help", "", "this text"});
}

const OptionSpec* CommandLine::find(const std::string& name) const {
  const auto found =
      std::find_if(options_.begin(), options_.end(), [&](const OptionSpec& option) { return option.name == name; });
  return found == options_.end() ? nullptr : &*found;
}

void CommandLine::fail(const std::string& message) const {
  throw UsageError(help_.verb + ": " + message + "\n  'bitcycle " + help_.verb + " --help' shows how it is used");
}

void CommandLine::fail_for_want(const std::string& message) const {
  // The first example that is this verb's own.
  std::istringstream lines(help_.example);
  const std::string begin = "bitcycle " + help_.verb;
  for (std::string line; std::getline(lines, line);) {
    if (!line.starts_with(begin)) continue;
    throw UsageError(help_.verb + ": " + message + ", for example: " + line);
  }
  fail(message);
}

bool CommandLine::parse(const std::vector<std::string>& arguments) {
  std::vector<std::string> prepared{"bitcycle"};
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    std::string argument = arguments[i];
    if (argument == "-h") argument = "--help";
    if (argument == "--") {
      prepared.insert(prepared.end(), arguments.begin() + static_cast<std::ptrdiff_t>(i), arguments.end());
      break;
    }
    if (argument.size() > 1 && argument[0] == '-') {
      const std::size_t dashes = argument.rfind("--", 0) == 0 ? 2 : 1;
      const std::string name = argument.substr(dashes, argument.find('=') - dashes);
      const OptionSpec* option = dashes == 2 ? find(name) : nullptr;
      if (option == nullptr) {
        std::vector<std::string> names = also_known_;
        for (const auto& known : options_) names.push_back(known.name);
        fail("unknown option '" + argument.substr(0, argument.find('=')) + "'" + did_you_mean(name, names, "--"));
      }
      const bool has_value = argument.find('=') != std::string::npos;
      if (option->argument.empty() && has_value) fail("--" + name + " takes no value");
      // A value that may be left out is written behind '=' for cxxopts.
      if (value_is_optional(*option) && !has_value && i + 1 < arguments.size() && is_number(arguments[i + 1])) {
        argument += "=" + arguments[++i];
      } else if (!option->argument.empty() && !value_is_optional(*option) && !has_value) {
        if (i + 1 >= arguments.size()) fail("--" + name + " needs a value: " + shown(*option));
        // Passed on as one word, so that a value may begin with a dash.
        argument += "=" + arguments[++i];
      }
    }
    if (argument.starts_with("-") && argument.find_first_of("\r\n") != std::string::npos) {
      fail("the value of " + argument.substr(0, std::min(argument.find('='), argument.find_first_of("\r\n"))) +
           " holds a line break, which no option takes");
    }
    prepared.push_back(argument);
  }

  cxxopts::Options options("bitcycle " + help_.verb);
  for (const auto& option : options_) {
    if (option.argument.empty()) {
      options.add_options()(option.name, option.help);
    } else {
      auto value = cxxopts::value<std::vector<std::string>>();
      if (value_is_optional(option)) value->implicit_value(kNoValue);
      options.add_options()(option.name, option.help, value);
    }
  }
  std::vector<const char*> argv;
  for (const auto& argument : prepared) argv.push_back(argument.c_str());
  try {
    const auto result = options.parse(static_cast<int>(argv.size()), argv.data());
    positional_ = result.unmatched();
    for (const auto& option : options_) {
      if (result.count(option.name) == 0) continue;
      auto& values = values_[option.name];
      if (!option.argument.empty()) values = result[option.name].as<std::vector<std::string>>();
    }
  } catch (const cxxopts::exceptions::exception& error) {
    fail(error.what());
  }
  if (has("help")) {
    print_help();
    return false;
  }
  return true;
}

void CommandLine::require_positional(std::size_t count) const {
  if (positional_.size() == count) return;
  if (positional_.size() < count) fail_for_want("needs " + help_.arguments);
  fail("takes " + (help_.arguments.empty() ? "no argument" : "only " + help_.arguments) + "; remove '" +
       positional_[count] + "'");
}

std::string CommandLine::text(const std::string& name, const std::string& fallback) const {
  const auto found = values_.find(name);
  return found == values_.end() || found->second.empty() ? fallback : found->second.back();
}

std::int64_t CommandLine::integer(const std::string& name, std::int64_t fallback, std::int64_t minimum) const {
  const std::string value = text(name);
  if (value.empty() && (!has(name) || value_is_optional(*find(name)))) return fallback;
  std::int64_t number = 0;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
  if (error != std::errc() || end != value.data() + value.size() || number < minimum) {
    fail("--" + name + " is '" + value + "': a whole number of at least " + std::to_string(minimum) + " is needed");
  }
  return number;
}

std::string CommandLine::choice(const std::string& name, const std::string& fallback,
                                const std::vector<std::string>& choices) const {
  if (!has(name)) return fallback;
  const std::string value = text(name);
  if (std::find(choices.begin(), choices.end(), value) != choices.end()) return value;
  std::string list;
  for (const auto& known : choices) list += (list.empty() ? "" : ", ") + known;
  fail("--" + name + " is '" + value + "': one of " + list + " is needed");
}

std::vector<std::string> CommandLine::texts(const std::string& name) const {
  const auto found = values_.find(name);
  return found == values_.end() ? std::vector<std::string>{} : found->second;
}

std::vector<std::pair<std::string, std::string>> CommandLine::accelerator_settings() const {
  std::vector<std::pair<std::string, std::string>> settings;
  for (const auto& item : texts("set")) {
    const auto at = item.find('=');
    if (!item.starts_with(kAcceleratorPrefix) || at == std::string::npos) continue;
    const std::size_t begin = std::string(kAcceleratorPrefix).size();
    if (at == begin) fail("--set " + item + ": a key after 'accelerator.' is needed");
    settings.emplace_back(item.substr(begin, at - begin), item.substr(at + 1));
  }
  return settings;
}

std::vector<ConfigOverride> CommandLine::overrides() const {
  std::vector<ConfigOverride> result;
  if (const auto found = values_.find("set"); found != values_.end()) {
    for (const auto& item : found->second) {
      if (item.find('=') == std::string::npos || item.front() == '=') {
        fail("--set " + item + ": KEY=VALUE is needed, e.g. --set train.steps=1000");
      }
      const std::string key = item.substr(0, item.find('=') + 1);
      const auto same_key = [&](const auto& other) { return other.starts_with(key); };
      if (std::count_if(found->second.begin(), found->second.end(), same_key) > 1) {
        fail("--set gives '" + key.substr(0, key.size() - 1) + "' twice; leave one of them out");
      }
      if (!item.starts_with(kAcceleratorPrefix)) result.push_back(parse_override(item));
    }
  }
  if (has("isa")) {
    result.push_back({"isa", choice("isa", "auto", isa_choices())});
  }
  if (has("batch")) {
    if (std::any_of(result.begin(), result.end(), [](const auto& item) { return item.key == "train.batch"; })) {
      fail("--batch and --set train.batch contradict each other; leave one of them out");
    }
    result.push_back({"train.batch", std::to_string(integer("batch", 1, 1))});
  }
  if (has("threads")) result.push_back({"threads", std::to_string(integer("threads", 0, 0))});
  if (has("tensorboard")) result.push_back({"tensorboard", "true"});
  if (has("from")) {
    const auto [run, step] = fork_of(text("from"));
    if (run.empty()) fail("--from is '" + text("from") + "': RUN or RUN:STEP is needed, a run folder and a step");
    result.push_back({"fork.run", nlohmann::json(run).dump()});
    if (!step.empty()) result.push_back({"fork.step", step});
  }
  if (has("device")) result.push_back({"device", choice("device", "cpu", device_names())});
  return result;
}

namespace {

constexpr std::size_t kHelpColumns = 100;

/// The words in lines of at most kHelpColumns, of which all but the first are indented.
std::string wrapped(const std::string& text, std::size_t indent) {
  std::string result;
  std::size_t column = indent;
  std::istringstream words(text);
  for (std::string word; words >> word;) {
    const bool fits = column + word.size() + 1 <= kHelpColumns;
    if (column > indent) {
      result += fits ? " " : "\n" + std::string(indent, ' ');
      column = fits ? column + 1 : indent;
    }
    result += word;
    column += word.size();
  }
  return result;
}

}  // namespace

void CommandLine::print_help() const {
  std::ostringstream out;
  out << "Usage: bitcycle " << help_.verb;
  if (!help_.arguments.empty()) out << ' ' << help_.arguments;
  out << " [OPTION]...\n\n" << help_.description << "\n\nOptions:\n";
  std::size_t width = 0;
  for (const auto& option : options_) width = std::max(width, shown(option).size());
  for (const auto& option : options_) {
    const std::string left = shown(option);
    out << "  " << left << std::string(width - left.size() + 2, ' ') << wrapped(option.help, width + 4) << '\n';
  }
  out << "\nExample:\n";
  std::istringstream lines(help_.example);
  for (std::string line; std::getline(lines, line);) out << "  " << line << '\n';
  std::cout << out.str();
}

}  // namespace bitcycle::cli
