// SPDX-License-Identifier: Apache-2.0
// CommandLine: the options of one verb: declared once, parsed by cxxopts, shown by --help with an example. A
// value that is missing, misspelt or out of range is a UsageError that says what would be right.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "nn/config/config.h"

namespace bitcycle::cli {

struct OptionSpec {
  std::string name;      // without the dashes
  std::string argument;  // how --help shows its value; empty: a switch; "[N]": the value may be left out
  std::string help;
};

/// What --help shows around the options.
struct VerbHelp {
  std::string verb;
  std::string arguments;    // "CONFIG"
  std::string description;  // whole sentences, lines of at most 100 characters
  std::string example;      // lines
};

/// Options that many verbs share.
OptionSpec json_option();
OptionSpec quiet_option();
OptionSpec set_option();
/// --isa, --threads, --device and what goes with it.
std::vector<OptionSpec> execution_options();
/// Values of --isa.
const std::vector<std::string>& isa_choices();
/// Values of --device.
const std::vector<std::string>& device_names();

class CommandLine {
 public:
  CommandLine(VerbHelp help, std::vector<OptionSpec> options);

  /// More names that an unknown option may have meant.
  void also_known(std::vector<std::string> names) { also_known_ = std::move(names); }

  /// False where --help was asked for and printed: the verb is done.
  bool parse(const std::vector<std::string>& arguments);

  const std::vector<std::string>& positional() const { return positional_; }
  /// Exactly this many arguments, or a UsageError naming them.
  void require_positional(std::size_t count) const;

  bool has(const std::string& name) const { return values_.count(name) != 0; }
  /// The last value given; `fallback` where there is none.
  std::string text(const std::string& name, const std::string& fallback = "") const;
  /// Every value given, in order.
  std::vector<std::string> texts(const std::string& name) const;
  /// A whole number of at least `minimum`.
  std::int64_t integer(const std::string& name, std::int64_t fallback, std::int64_t minimum) const;
  /// One of `choices`.
  std::string choice(const std::string& name, const std::string& fallback,
                     const std::vector<std::string>& choices) const;
  bool json() const { return has("json"); }
  bool quiet() const { return has("quiet"); }

  /// --set accelerator.KEY=VALUE, as keys and values.
  std::vector<std::pair<std::string, std::string>> accelerator_settings() const;
  /// --set of other keys, --from, --tensorboard, --isa, --threads and --device as keys of the config.
  std::vector<ConfigOverride> overrides() const;

  [[noreturn]] void fail(const std::string& message) const;
  /// The same in one line with an example, where an argument is missing.
  [[noreturn]] void fail_for_want(const std::string& message) const;

 private:
  void print_help() const;
  const OptionSpec* find(const std::string& name) const;

  VerbHelp help_;
  std::vector<OptionSpec> options_;
  std::vector<std::string> also_known_;
  std::vector<std::string> positional_;
  std::map<std::string, std::vector<std::string>> values_;
};

}  // namespace bitcycle::cli
