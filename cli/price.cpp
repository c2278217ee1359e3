// SPDX-License-Identifier: Apache-2.0
#include "cli/price.h"

#include <algorithm>
#include <filesystem>
#include <iostream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <stdexcept>

#include "cli/cost_input.h"
#include "cli/exit_code.h"
#include "cli/format.h"
#include "cli/precision_text.h"
#include "cli/price_table.h"
#include "cli/shipped_files.h"
#include "cost_models/bitops_report.h"
#include "cost_models/explain.h"
#include "cost_models/pricing_tables.h"
#include "cost_models/scalesim_report.h"
#include "nn/io/atomic_file.h"

namespace bitcycle::cli {
namespace {

namespace fs = std::filesystem;

OperandBits topology_bits(const CommandLine& line) {
  const std::string text = line.text("widths", "8x8");
  const auto at = text.find('x');
  const auto number = [&](const std::string& part) {
    if (part.empty() || part.size() > 2 || part.find_first_not_of("0123456789") != std::string::npos) return 0;
    return std::stoi(part);
  };
  const int lhs = at == std::string::npos ? 0 : number(text.substr(0, at)),
            rhs = at == std::string::npos ? 0 : number(text.substr(at + 1));
  if (lhs < 1 || lhs > 32 || rhs < 1 || rhs > 32)
    line.fail("--widths " + text + ": two widths of 1..32 bits are needed, e.g. --widths 8x4");
  return {lhs, rhs};
}

PricingOptions options_of(const CommandLine& line, const CostInput& input) {
  PricingOptions options;
  options.batch = input.batch;
  options.executed = line.choice("metric", "paper", {"paper", "executed"}) == "executed";
  options.error_pass = {input.bitops.error_weights, input.bitops.error_grid_bits};
  options.weight_update = line.has("weight-update");
  options.quantisation = line.has("quantisation");
  options.batch_norm = line.has("batch-norm");
  options.pooling = line.has("pooling");
  options.language = line.has("language");
  options.uses = input.uses;
  options.update = input.update;
  if (options.batch_norm && input.is_layers_file) line.fail("--batch-norm: a file of layers holds no batch norm");
  if (options.pooling && input.is_layers_file) line.fail("--pooling: a file of layers holds no max pooling");
  if (options.language && input.is_layers_file) line.fail("--language: a file of layers holds products alone");
  if (options.weight_update && input.inference) line.fail("--weight-update: nothing is updated with --inference");
  return options;
}

void write_explanations(const CommandLine& line, const std::vector<Explanation>& explanations) {
  const bool json = output_format(line, {"table", "csv", "json", "scalesim"}) == "json";
  std::string text;
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  for (const auto& explanation : explanations) {
    for (const auto& words : explanation_lines(explanation)) text += words + "\n";
    text += "\n";
    list.push_back(explanation_json(explanation));
  }
  write_result(line, json ? json_text({{"explanations", list}}) : text);
}

/// The one systolic array that is asked for.
void write_scalesim(const CommandLine& line, const Priced& priced) {
  if (priced.costs.size() != 1 || priced.costs[0].accelerator.model != CostModel::kSystolic) {
    line.fail("--format scalesim writes the reports of one systolic array: give one such --accelerator");
  }
  const std::string compute = scalesim_compute_report(priced.costs[0]),
                    access = scalesim_access_report(priced.costs[0]);
  if (!line.has("out")) {
    std::cout << compute << "\n" << access;
    return;
  }
  const fs::path folder = line.text("out");
  make_folder(folder);
  write_file_atomically(folder / "COMPUTE_REPORT.csv", compute);
  write_file_atomically(folder / "DETAILED_ACCESS_REPORT.csv", access);
  std::cout << "wrote " << (folder / "COMPUTE_REPORT.csv").string() << " and "
            << (folder / "DETAILED_ACCESS_REPORT.csv").string() << "\n";
}

void write_priced(const CommandLine& line, const Priced& priced, const std::string& format) {
  if (format == "csv") return write_result(line, pricing_csv(priced.costs));
  if (format == "scalesim") return write_scalesim(line, priced);
  if (format == "table") {
    std::ostringstream text;
    print_pricing(text, priced, line.has("layers"));
    return write_result(line, text.str());
  }
  nlohmann::ordered_json json{{"name", priced.heading}};
  if (!priced.baselines.empty()) json["baseline"] = priced.against;
  if (!priced.notes.empty()) json["notes"] = priced.notes;
  if (priced.training) {
    json["memory_bits"] = {{"saved_activations", priced.memory.saved_activations},
                           {"master_weights", priced.memory.master_weights},
                           {"momentum", priced.memory.momentum},
                           {"ranges", priced.memory.ranges}};
  }
  auto& list = json["accelerators"] = nlohmann::ordered_json::array();
  for (std::size_t i = 0; i < priced.costs.size(); ++i) {
    list.push_back(pricing_json(priced.costs[i], priced.baselines.empty() ? nullptr : &priced.baselines[i]));
  }
  write_result(line, json_text(json));
}

/// Layers under a schedule.
int price_scheduled(const CommandLine& line, const std::vector<Accelerator>& accelerators, const std::string& format) {
  const CostInput input = read_cost_input(line);
  const PricingOptions options = options_of(line, input);
  const auto baseline = baseline_of(line);
  if (line.has("explain")) {
    std::vector<Explanation> explanations;
    for (const auto& accelerator : accelerators) {
      explanations.push_back(
          explain_layer(accelerator, input.workload, input.plan, 0, input.steps, line.text("explain"), options));
    }
    write_explanations(line, explanations);
    return kSuccess;
  }
  Priced priced;
  priced.heading = heading(input) + ", widths as " + (options.executed ? "executed" : "scheduled");
  priced.training = !input.inference;
  priced.notes = input.notes;
  if (const auto note = unreached_note(input); note && !baseline) priced.notes.push_back(*note);
  const LayerWidths fixed = baseline.value_or(input.plan.max());
  priced.against =
      "the same steps static at " + fixed.forward.text() + "/" + fixed.gradient.text() + " bits" +
      (!baseline && sets_layers_apart(input) ? ", layers with a schedule of their own at its largest widths" : "");
  for (const auto& accelerator : accelerators) {
    priced.costs.push_back(price_training(accelerator, input.workload, input.plan, 0, input.steps, options));
    priced.baselines.push_back(
        baseline ? price_training(accelerator, input.workload, static_plan(fixed, input.steps), 0, input.steps, options)
                 : price_static(accelerator, input.workload, input.plan, 0, input.steps, options));
  }
  priced.memory = memory_need(input.workload, input.plan, options);
  write_priced(line, priced, format);
  return kSuccess;
}

/// A topology as it is, once.
int price_unscheduled(const CommandLine& line, const std::vector<Accelerator>& accelerators,
                      const std::string& format) {
  const std::string path = line.positional()[0];
  for (const char* name :
       {"baseline", "metric", "weight-update", "quantisation", "batch-norm", "pooling", "language", "inference"}) {
    if (line.has(name)) {
      line.fail(std::string("--") + name + " means nothing for '" + path +
                "' without a schedule; add --schedule CONFIG or --precision TEXT, or leave it out");
    }
  }
  for (const auto& item : line.overrides()) {
    if (line.has("batch") && item.key == "train.batch") continue;
    line.fail("--set " + item.key + "=" + item.value + " has no effect on '" + path +
              "' without a schedule; add --schedule CONFIG or --precision TEXT, or leave it out");
  }
  const OperandBits bits = topology_bits(line);
  Topology topology = read_layers(line, path);
  print_warnings(topology, path);
  if (line.has("batch")) {
    if (std::all_of(topology.layers.begin(), topology.layers.end(),
                    [](const auto& layer) { return layer.has_batch; })) {
      line.fail("--batch contradicts " + topology.name + ", which gives every layer its batch; leave one of them out");
    }
    topology.fill_batches(line.integer("batch", 1, 1));
  }
  if (line.has("explain")) {
    std::vector<Explanation> explanations;
    for (const auto& accelerator : accelerators) {
      for (auto& one : explain_topology(accelerator, topology, bits, line.text("explain"))) {
        explanations.push_back(std::move(one));
      }
    }
    write_explanations(line, explanations);
    return kSuccess;
  }
  Priced priced;
  priced.training = false;
  priced.notes = topology.notes;
  for (const auto& accelerator : accelerators) {
    priced.costs.push_back(price_topology(accelerator, topology, bits));
  }
  priced.heading =
      topology.name + ": " + counted(static_cast<std::int64_t>(priced.costs[0].rows.size()), "product") + ", once";
  write_priced(line, priced, format);
  return kSuccess;
}

}  // namespace

std::vector<OptionSpec> pricing_options() {
  return {
      {"accelerator", "NAME",
       "prices on this design: a name of configs/accelerators, or a YAML file; default: bit operations alone, and "
       "systolic-int8 for own layers without a schedule; may be repeated"},
      {"metric", "NAME", "widths that are priced: paper (as scheduled) or executed; default: paper"},
      {"baseline", "WIDTHS", "compares with a static run, e.g. static-8 or static-8/6; default: the largest widths"},
      {"weight-update", "", "adds lines for the traffic and the arithmetic of the optimiser"},
      {"quantisation", "", "adds the same for the quantisers"},
      {"batch-norm", "", "adds the same for batch norm"},
      {"pooling", "", "adds the same for max pooling"},
      {"language", "", "adds the same for embeddings, gates of LSTMs and softmax cross-entropy"}};
}

std::vector<Accelerator> accelerators_of(const CommandLine& line, const std::vector<std::string>& fallback) {
  const auto given = line.accelerator_settings();
  std::vector<AcceleratorSetting> settings;
  settings.reserve(given.size());
  for (const auto& [key, value] : given) settings.push_back({key, value});
  auto names = line.texts("accelerator");
  if (names.empty()) names = fallback;
  if (names.empty() && !settings.empty()) line.fail("--set accelerator.* needs an --accelerator");
  std::vector<Accelerator> accelerators;
  accelerators.reserve(names.size());
  for (const auto& name : names) {
    Accelerator accelerator = load_accelerator(accelerator_path(name, accelerators_folder()), settings);
    for (const auto& other : accelerators) {
      if (other.name != accelerator.name) continue;
      std::error_code ignored;
      line.fail(fs::equivalent(other.file, accelerator.file, ignored)
                    ? "--accelerator " + name + " is given twice; leave one of them out"
                    : "two accelerators have the name '" + other.name + "': " + other.file + " and " +
                          accelerator.file + "; give one of them another 'name'");
    }
    accelerators.push_back(std::move(accelerator));
  }
  return accelerators;
}

std::string output_format(const CommandLine& line, const std::vector<std::string>& formats) {
  const std::string format = line.choice("format", line.json() ? "json" : "table", formats);
  if (line.json() && format != "json") {
    line.fail("--json and --format " + format + " contradict each other; leave one of them out");
  }
  return format;
}

std::optional<LayerWidths> baseline_of(const CommandLine& line) {
  if (!line.has("baseline")) return std::nullopt;
  try {
    return parse_baseline(line.text("baseline"));
  } catch (const std::invalid_argument& error) {
    line.fail(std::string("--baseline ") + error.what());
  }
}

std::string json_text(const nlohmann::ordered_json& json) {
  return json.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

void write_result(const CommandLine& line, const std::string& text) {
  if (!line.has("out")) {
    std::cout << text;
    return;
  }
  const fs::path file = line.text("out");
  if (file.empty()) line.fail("--out is empty: the path of a file is needed");
  std::error_code ignored;
  std::vector<std::string> read = line.positional();
  for (const char* option : {"accelerator", "schedule"}) {
    for (const auto& path : line.texts(option)) read.push_back(path);
  }
  for (const auto& path : read) {
    if (fs::equivalent(file, path, ignored)) {
      line.fail("--out " + file.string() + " is a file that is read here, and would be overwritten; name another one");
    }
  }
  if (fs::is_directory(file, ignored))
    line.fail("--out " + file.string() + " is a folder; the path of a file is needed");
  write_output(file, text);
}

int run_pricing(const CommandLine& line) {
  const std::string format = output_format(line, {"table", "csv", "json", "scalesim"});
  const bool scheduled = line.has("schedule") || line.has("precision");
  const bool topology = is_layers_file(line.positional()[0]);
  if (line.has("explain") && format != "table" && format != "json") {
    line.fail("--explain writes text or JSON; --format " + format + " means nothing for it");
  }
  if (line.has("layers") && format != "table") line.fail("--layers is for the table; other formats hold every layer");
  if (line.has("out") && format == "scalesim" && line.text("out").empty()) line.fail("--out is empty");
  if (line.has("widths") && (scheduled || !topology)) {
    line.fail("--widths is for topologies (.csv) without a schedule; a schedule gives the widths");
  }
  const auto accelerators = accelerators_of(line, {"systolic-int8"});
  return topology && !scheduled ? price_unscheduled(line, accelerators, format)
                                : price_scheduled(line, accelerators, format);
}

}  // namespace bitcycle::cli
