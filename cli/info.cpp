// SPDX-License-Identifier: Apache-2.0
// bitcycle info: what this machine has, which kernels were chosen, how the program was built.
#include <algorithm>
#include <fstream>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "cli/command_line.h"
#include "cli/console.h"
#include "cli/exit_code.h"
#include "cli/inputs.h"
#include "cli/verbs.h"
#include "cuda/cuda_device.h"
#include "nn/config/config_schema.h"
#include "sim/isa.h"

namespace bitcycle::cli {
namespace {

std::string processor_name() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    if (line.rfind("model name", 0) != 0) continue;
    const std::size_t colon = line.find(": ");
    if (colon != std::string::npos) return line.substr(colon + 2);
  }
  return "unknown";
}

/// Features that kernels ask for, and whether this machine has them.
std::vector<std::pair<std::string, bool>> processor_features() {
#if defined(__x86_64__)
  __builtin_cpu_init();
  return {{"avx2", __builtin_cpu_supports("avx2") != 0},
          {"fma", __builtin_cpu_supports("fma") != 0},
          {"avx512f", __builtin_cpu_supports("avx512f") != 0},
          {"avx512bw", __builtin_cpu_supports("avx512bw") != 0},
          {"avx512vl", __builtin_cpu_supports("avx512vl") != 0},
          {"avx512vbmi", __builtin_cpu_supports("avx512vbmi") != 0},
          {"avx512vnni", __builtin_cpu_supports("avx512vnni") != 0}};
#else
  return {};
#endif
}

nlohmann::ordered_json gpu_object(const GpuFacts& gpu) {
  return {{"name", gpu.name},
          {"compute_capability", gpu.compute_capability},
          {"multiprocessors", gpu.multiprocessors},
          {"shared_bytes_per_block", gpu.shared_per_block},
          {"shared_bytes_per_block_optin", gpu.shared_per_block_optin},
          {"shared_bytes_per_multiprocessor", gpu.shared_per_multiprocessor},
          {"l2_cache_bytes", gpu.l2_cache},
          {"memory_bytes", gpu.memory},
          {"memory_free_bytes", gpu.memory_free},
          {"driver", gpu.driver},
          {"runtime", gpu.runtime}};
}

std::string gpu_text(const std::optional<GpuFacts>& gpu) {
  if (!gpu) return "no GPU at hand";
  const auto kib = [](std::size_t bytes) { return std::to_string(bytes / 1024); };
  return "GPU: " + gpu->name + ", compute capability " + gpu->compute_capability + ", " +
         std::to_string(gpu->multiprocessors) +
         " multiprocessors\n                    shared memory: " + kib(gpu->shared_per_block_optin) +
         " KiB a block at most, " + kib(gpu->shared_per_multiprocessor) +
         " KiB a multiprocessor; memory: " + kib(gpu->memory_free / 1024) + " of " + kib(gpu->memory / 1024) +
         " MiB free\n                    driver for CUDA " + gpu->driver + ", runtime " + gpu->runtime;
}

}  // namespace

int run_info(const std::vector<std::string>& arguments) {
  std::vector<OptionSpec> options{
      {"schema", "", "writes the JSON Schema of config files, for editors, and nothing else"}};
  for (auto& option : execution_options()) options.push_back(option);
  options.push_back(json_option());
  CommandLine line({"info", "",
                    "Shows the processor's features, the kernels that would run (also for a forced --isa), the number\n"
                    "of threads, and how this program was built.",
                    "bitcycle info\nbitcycle info --isa avx2 --json\nbitcycle info --schema > bitcycle.schema.json"},
                   options);
  if (!line.parse(arguments)) return kSuccess;
  line.require_positional(0);
  if (line.has("schema")) {
    std::cout << config_schema();
    return kSuccess;
  }
  Console console(line.json(), false);

  ExecutionConfig execution;
  execution.isa = line.choice("isa", "auto", isa_choices());
  execution.threads = static_cast<int>(std::min<std::int64_t>(line.integer("threads", 0, 0), 4096));
  execution.device = line.choice("device", "cpu", device_names());
  const std::unique_ptr<Device> device = make_device(execution, line);

  nlohmann::ordered_json json;
  json["version"] = BITCYCLE_VERSION;
  json["processor"] = processor_name();
  json["cores"] = std::thread::hardware_concurrency();
  auto& features = json["features"] = nlohmann::ordered_json::object();
  std::string present, absent;
  for (const auto& [name, there] : processor_features()) {
    features[name] = there;
    (there ? present : absent) += " " + name;
  }
  auto& sets = json["instruction_sets"] = nlohmann::ordered_json::object();
  std::string runnable;
  for (const auto& name : isa_names()) {
    sets[name] = isa_available(parse_isa(name));
    if (isa_available(parse_isa(name))) runnable += " " + name;
  }
  json["kernels"] = device->name();
  json["threads"] = device->threads();
  const CudaBuild cuda = cuda_build();
  std::optional<GpuFacts> gpu;
  if (cuda.built) {
    try {
      gpu = gpu_facts();
    } catch (const std::runtime_error&) {
      // Said below as "no GPU at hand"; --device cuda says why.
    }
    json["cuda"] = {{"toolkit", cuda.toolkit}, {"targets", cuda.targets}, {"gpu", gpu ? gpu_object(*gpu) : nullptr}};
  } else {
    json["cuda"] = nullptr;
  }
  json["build"] = {{"type", BITCYCLE_BUILD_TYPE}, {"compiler", BITCYCLE_COMPILER}, {"sanitizer", BITCYCLE_SANITIZER}};
  console.json(json);

  if (!console.wants_json()) {
    std::ostream& out = console.result();
    out << "bitcycle " BITCYCLE_VERSION "\n"
        << "  processor         " << processor_name() << ", " << std::thread::hardware_concurrency() << " cores\n"
        << "  features         " << present << (absent.empty() ? "" : "; without" + absent) << '\n'
        << "  kernels           " << device->name() << ", " << device->threads()
        << (device->threads() == 1 ? " thread" : " threads") << "; this machine runs:" << runnable << '\n'
        << "  CUDA              "
        << (!cuda.built ? std::string("none: built without it")
                        : "toolkit " + cuda.toolkit + ", " + cuda.targets + "; " + gpu_text(gpu))
        << '\n'
        << "  build             " << BITCYCLE_BUILD_TYPE << ", " << BITCYCLE_COMPILER
        << (std::string(BITCYCLE_SANITIZER).empty() ? "" : ", sanitizer " BITCYCLE_SANITIZER) << '\n';
  }
  return kSuccess;
}

}  // namespace bitcycle::cli
