// SPDX-License-Identifier: Apache-2.0
#include "cli/inputs.h"

#include <algorithm>
#include <stdexcept>
#include <thread>
#include <vector>

#include "cli/nearest.h"
#include "cuda/cuda_device.h"
#include "nn/train/run_damage.h"
#include "sim/device/kernel_device.h"
#include "sim/isa.h"

namespace bitcycle::cli {
namespace {

namespace fs = std::filesystem;

constexpr int kThreadsACore = 4;

[[noreturn]] void complain_missing(const fs::path& path) {
  std::vector<std::string> names;
  std::error_code ignored;
  const fs::path folder = path.has_parent_path() ? path.parent_path() : fs::path(".");
  for (const auto& entry : fs::directory_iterator(folder, ignored)) names.push_back(entry.path().filename().string());
  const std::string prefix = path.has_parent_path() ? (path.parent_path() / "").string() : "";
  throw std::runtime_error("there is no file or folder '" + path.string() + "'" +
                           did_you_mean(path.filename().string(), names, prefix));
}

}  // namespace

void require_exists(const std::string& path) {
  std::error_code error;
  if (!fs::exists(path, error)) complain_missing(path);
}

Config read_config(const std::string& path, const CommandLine& line) {
  require_exists(path);
  if (fs::is_directory(path)) {
    throw std::runtime_error("'" + path + "' is a folder; the path of a config file (.yaml) is needed");
  }
  return load_config(path, line.overrides());
}

ConfigInput read_config_or_run(const std::string& path, const CommandLine& line) {
  require_exists(path);
  if (!fs::is_directory(path)) return {load_config(path, line.overrides()), std::nullopt};
  Config config = RunFolder::existing(path).config();
  const auto overrides = line.overrides();
  if (!overrides.empty()) {
    config = parse_config(config_yaml(config), (fs::path(path) / "config.yaml").string(), overrides);
  }
  // Runs of one config are told apart by their folders.
  const bool named = std::any_of(overrides.begin(), overrides.end(), [](const auto& c) { return c.key == "name"; });
  if (!named) config.name = fs::weakly_canonical(path).filename().string();
  return {config, path};
}

ConfigInput read_run_folder(const std::string& path, const CommandLine& line) {
  if (fs::exists(path) && !fs::is_directory(path)) {
    throw std::runtime_error("'" + path + "' is a file; the folder of a run is needed, e.g. runs/quickstart");
  }
  return read_config_or_run(path, line);
}

std::int64_t priced_steps(const ConfigInput& input) {
  if (!input.run) return input.config.train.steps;
  const RunFolder folder = RunFolder::existing(*input.run);
  if (const auto damage = damage_of_records(folder); !damage.empty()) {
    throw std::runtime_error("the run '" + input.run->string() + "' cannot be priced as it ran: " + damage.front() +
                             ". Its config can be priced: bitcycle cost " + (*input.run / "config.yaml").string());
  }
  // As `report` counts: an interrupted run's steps behind its newest checkpoint ran, too.
  const auto steps = folder.steps();
  if (steps.empty()) throw std::runtime_error("the run '" + input.run->string() + "' has not done a step yet");
  return std::min(input.config.train.steps, steps.back().step + 1);
}

std::unique_ptr<Device> make_device(const ExecutionConfig& execution, const CommandLine& line) {
  CudaOptions cuda;
  cuda.serial = line.has("cuda-serial");
  cuda.graph = line.choice("cuda-graph", "on", {"on", "off"}) == "on";
  cuda.carveout = line.choice("cuda-carveout", "on", {"on", "off"}) == "on";
  if (execution.device == "cuda") return make_cuda_device(cuda);
  if (execution.device == "cuda-on-host") return make_cuda_on_host_device(cuda);
  for (const char* option : {"cuda-serial", "cuda-graph", "cuda-carveout"}) {
    // With --against it is the other device's.
    if (line.has(option) && !line.has("against"))
      line.fail(std::string("--") + option + " goes with --device cuda or cuda-on-host, not " + execution.device);
  }
  if (execution.device == "reference") return make_reference_device();
  // More than a few a core would only wait for each other. No bit depends on their number.
  const int most = kThreadsACore * std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
  return make_cpu_device(parse_isa(execution.isa), std::min(execution.threads, most));
}

}  // namespace bitcycle::cli
