// SPDX-License-Identifier: Apache-2.0
// The options of the paper's published training scripts, as they are: turned into keys of the config and a run
// folder. What has no counterpart here is refused by name, with the reason.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "nn/config/config.h"

namespace bitcycle::cli {

/// Words of a command line, divided: the paper's options with their values, and the rest in order.
struct SplitArguments {
  std::map<std::string, std::vector<std::string>> paper;
  std::vector<std::string> rest;
};
/// An option may be given as `--name a b` (where it takes a list) or `--name=a`. Throws UsageError for a number of
/// values that the option does not take.
SplitArguments split_cpt_arguments(const std::vector<std::string>& arguments);

/// Names without dashes, for "did you mean".
std::vector<std::string> cpt_option_names();

struct CptRun {
  std::vector<ConfigOverride> keys;
  std::map<std::string, std::string> options;  // by key: the option, without dashes, that its value is of
  std::filesystem::path run;                   // <save_folder>/<arch>, as the paper's code does
  std::vector<std::string> notes;              // options that are accepted and have no effect here, and why
};
/// Throws UsageError for wrong values and refused options, std::runtime_error for a model that is not there.
CptRun map_cpt_arguments(const std::map<std::string, std::vector<std::string>>& paper);
/// The message with the options that the keys in it are of: "...; --swa_freq is swa.freq".
std::string with_option_names(const std::string& message, const std::map<std::string, std::string>& options);

}  // namespace bitcycle::cli
