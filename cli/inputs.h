// SPDX-License-Identifier: Apache-2.0
// What verbs are given: a config file or a run folder, and the library that the options ask for.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "cli/command_line.h"
#include "nn/config/config.h"
#include "sim/device/device.h"

namespace bitcycle::cli {

/// A config, and the run folder that it was read from, if any.
struct ConfigInput {
  Config config;
  std::optional<std::filesystem::path> run;
};

/// Reads a YAML file, or the config.yaml of a run folder, and applies --set and its like. A path that does not
/// exist is an error that names the nearest one that does.
ConfigInput read_config_or_run(const std::string& path, const CommandLine& line);
/// The same for a run folder alone.
ConfigInput read_run_folder(const std::string& path, const CommandLine& line);
/// The same for a config file alone.
Config read_config(const std::string& path, const CommandLine& line);
/// Throws where there is no such file or folder, naming the nearest one that there is.
void require_exists(const std::string& path);

/// Steps that a cost is counted of: all of a config's, those that a run has done. Throws where it has done none.
std::int64_t priced_steps(const ConfigInput& input);

/// The device of key `device`, with the options of --cuda-... Throws where the device or the instruction set is not
/// there, naming what is.
std::unique_ptr<Device> make_device(const ExecutionConfig& execution, const CommandLine& line);

}  // namespace bitcycle::cli
