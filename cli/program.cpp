// SPDX-License-Identifier: Apache-2.0
// bitcycle program: the step of a config as a program: its nodes, what they write, and the kernel that a device chose
// for each.
#include <fnmatch.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "cli/command_line.h"
#include "cli/console.h"
#include "cli/exit_code.h"
#include "cli/format.h"
#include "cli/inputs.h"
#include "cli/verbs.h"
#include "nn/run/network_run.h"
#include "sim/device/kernel_device.h"
#include "sim/program/products.h"

namespace bitcycle::cli {
namespace {

/// What the device does with one node.
struct Choice {
  int kernel = -1;  // position in the order of execution; -1: the node is not executed
  std::string name;
};

std::vector<Choice> choices_of(const Program& program, const std::vector<KernelUse>& kernels) {
  std::vector<Choice> choices(program.nodes().size());
  for (int k = 0; k < static_cast<int>(kernels.size()); ++k) {
    const KernelUse& kernel = kernels[static_cast<std::size_t>(k)];
    for (const int node : kernel.nodes) choices[static_cast<std::size_t>(node)] = {k, kernel.kernel};
    for (const int node : kernel.recomputed) {
      Choice& choice = choices[static_cast<std::size_t>(node)];
      if (choice.kernel < 0) choice.name = "made again by its readers";
    }
  }
  return choices;
}

/// Results of a node: "conv1/y (128, 32, 32, 16)", and their bytes.
std::string results_text(const Program& program, const Node& node, std::size_t& bytes) {
  std::string text;
  int more = 0;
  each_tensor(node.operation, [&](const char*, Tensor tensor, Access access) {
    if (access == Access::kRead) return;
    const TensorSpec& spec = program.spec(tensor);
    bytes += spec.bytes();
    if (!text.empty()) {
      ++more;
      return;
    }
    text = spec.name + " " + spec.text();
  });
  return more == 0 ? text : text + " and " + std::to_string(more) + " more";
}

nlohmann::ordered_json operands_json(const Program& program, const Node& node, bool reads) {
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  each_tensor(node.operation, [&](const char* role, Tensor tensor, Access access) {
    if (reads ? access == Access::kWrite : access == Access::kRead) return;
    const TensorSpec& spec = program.spec(tensor);
    list.push_back({{"role", role},
                    {"tensor", spec.name},
                    {"element", element_name(spec.element)},
                    {"shape", spec.shape},
                    {"lifetime", lifetime_name(spec.lifetime)},
                    {"bytes", spec.bytes()}});
  });
  return list;
}

nlohmann::ordered_json program_json(const Program& program, const std::vector<int>& shown, const std::string& device,
                                    const std::vector<KernelUse>& kernels) {
  const std::vector<Choice> choices = choices_of(program, kernels);
  nlohmann::ordered_json nodes = nlohmann::ordered_json::array();
  for (const int number : shown) {
    const Node& node = program.node(number);
    const Choice& choice = choices[static_cast<std::size_t>(number)];
    nodes.push_back({{"node", number},
                     {"layer", node.site.layer},
                     {"pass", pass_text(node.site.pass)},
                     {"operation", name_of(node.operation)},
                     {"reads", operands_json(program, node, true)},
                     {"writes", operands_json(program, node, false)},
                     {"kernel", choice.name},
                     {"kernel_number", choice.kernel}});
  }
  return {{"program", program.name()},
          {"samples", program.batch()},
          {"device", device},
          {"kernels", kernels.size()},
          {"nodes", std::move(nodes)}};
}

void print_table(std::ostream& out, const Program& program, const std::vector<int>& shown, const std::string& device,
                 const std::vector<KernelUse>& kernels) {
  const std::vector<Choice> choices = choices_of(program, kernels);
  Table table({"layer", "node", "pass", "operation", "writes", "bytes", "kernel"});
  for (const int number : shown) {
    const Node& node = program.node(number);
    const Choice& choice = choices[static_cast<std::size_t>(number)];
    std::size_t bytes = 0;
    const std::string results = results_text(program, node, bytes);
    const std::string kernel = choice.kernel < 0 ? (choice.name.empty() ? "not executed" : choice.name)
                                                 : choice.name + " #" + std::to_string(choice.kernel);
    table.add({node.site.layer, std::to_string(number), pass_text(node.site.pass), name_of(node.operation), results,
               grouped(static_cast<std::int64_t>(bytes)), kernel});
  }
  table.print(out);
  std::int64_t macs = 0;
  const auto products = products_of(program);
  for (const auto& product : products) macs += product.macs;
  out << "\n  " << program.name() << ", " << grouped(program.batch())
      << " samples: " << grouped(static_cast<std::int64_t>(program.nodes().size())) << " nodes, "
      << grouped(static_cast<std::int64_t>(program.tensors().size())) << " tensors, " << products.size()
      << " products (" << figures(1e-6 * static_cast<double>(macs)) << " million MACs for a sample in all of them); "
      << kernels.size() << " kernels on " << device << "\n";
}

}  // namespace

int run_program(const std::vector<std::string>& arguments) {
  std::vector<OptionSpec> options{
      {"device", "NAME", "whose kernels are shown: cpu, cuda or reference; default: cpu"},
      {"evaluation", "", "the program of an evaluation instead of a training step's"},
      {"layer", "PATTERN",
       "only nodes of layers of this name; * and ? stand for any text and any character; default: all"}};
  options.push_back(set_option());
  options.push_back(json_option());
  CommandLine line(
      {"program", "CONFIG|RUN",
       "Prints one step as the program that a device compiles: its small operations in their order, layer\n"
       "and pass of each, the tensors that it writes, and the kernel that the device chose for it. Nothing\n"
       "is trained, and no memory is allocated for the network.",
       "bitcycle program configs/quickstart.yaml\n"
       "bitcycle program configs/quickstart.yaml --layer 'group1_*' --json"},
      options);
  if (!line.parse(arguments)) return kSuccess;
  line.require_positional(1);
  const std::string name = line.choice("device", "cpu", {"cpu", "cuda", "reference"});
  Console console(line.json(), false);
  const Config config = read_config_or_run(line.positional()[0], line).config;
  const bool stored_images = name == "cuda";
  const auto network =
      line.has("evaluation") ? evaluation_program(config, stored_images) : training_program(config, stored_images);
  const Program& program = network->program;
  const std::vector<KernelUse> kernels =
      name == "reference" ? make_reference_device()->explain(program, {}) : chosen_kernels(program, {}, name == "cpu");
  const std::string pattern = line.text("layer", "*");
  std::vector<int> shown;
  for (int number = 0; number < static_cast<int>(program.nodes().size()); ++number) {
    if (fnmatch(pattern.c_str(), program.node(number).site.layer.c_str(), 0) == 0) shown.push_back(number);
  }
  if (shown.empty()) line.fail("--layer '" + pattern + "' matches no layer of " + program.name());
  if (line.json()) {
    console.json(program_json(program, shown, name, kernels));
  } else {
    print_table(console.result(), program, shown, name, kernels);
  }
  return kSuccess;
}

}  // namespace bitcycle::cli
