// SPDX-License-Identifier: Apache-2.0
#include "cli/price.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <stdexcept>

#include "cli/console.h"
#include "cli/exit_code.h"
#include "cli/format.h"
#include "cli/inputs.h"
#include "cli/places.h"
#include "nn/io/atomic_file.h"
#include "nn/models/model.h"

namespace bitcycle::cli {
namespace {

namespace fs = std::filesystem;

/// What is priced, and what it is compared with.
struct Priced {
  std::string name, against;
  std::vector<Pricing> costs, baselines;
  MemoryNeed memory;
  bool training = true;
};

std::string joules(double nj) {
  const char* units[] = {"nJ", "uJ", "mJ", "J", "kJ", "MJ"};
  int unit = 0;
  while (nj >= 1000.0 && unit < 5) {
    nj /= 1000.0;
    ++unit;
  }
  return figures(nj) + " " + units[unit];
}

std::string share(double part, double whole) { return whole > 0.0 ? fixed(100.0 * part / whole, 1) + " %" : "-"; }

std::vector<std::string> cells(const std::string& name, const Pricing& pricing, const ProductCost& cost,
                               const ProductCost* against) {
  std::vector<std::string> row{name, figures(cost.bitops * 1e-9)};
  if (pricing.accelerator.has_time()) {
    row.push_back(figures(cost.total_cycles()));
    row.push_back(share(cost.stall_cycles, cost.total_cycles()));
    row.push_back(fixed(100.0 * cost.utilisation(), 1) + " %");
  } else {
    row.insert(row.end(), {"-", "-", "-"});
  }
  if (pricing.accelerator.has_energy()) {
    row.push_back(joules(cost.total_nj()));
    for (const double part : {cost.compute_nj, cost.buffers_nj, cost.dram_nj, cost.leakage_nj}) {
      row.push_back(share(part, cost.total_nj()));
    }
  } else {
    row.insert(row.end(), {"-", "-", "-", "-", "-"});
  }
  if (against != nullptr) {
    row.push_back(share(cost.bitops, against->bitops));
    row.push_back(pricing.accelerator.has_time() ? share(cost.total_cycles(), against->total_cycles()) : "-");
    row.push_back(pricing.accelerator.has_energy() ? share(cost.compute_nj, against->compute_nj) : "-");
    row.push_back(pricing.accelerator.has_energy() ? share(cost.total_nj(), against->total_nj()) : "-");
  }
  return row;
}

std::vector<std::string> header(const std::string& first, bool against) {
  std::vector<std::string> names{first,    "GBitOPs", "cycles",  "stalled", "utilisation",
                                 "energy", "compute", "buffers", "DRAM",    "leakage"};
  if (against) names.insert(names.end(), {"BitOPs*", "cycles*", "compute energy*", "energy*"});
  return names;
}

void print_groups(std::ostream& out, const Pricing& pricing, bool layers) {
  std::vector<std::pair<std::string, ProductCost>> passes, by_layer;
  const auto add = [](auto& groups, const std::string& name, const ProductCost& cost) {
    auto found = std::find_if(groups.begin(), groups.end(), [&](const auto& group) { return group.first == name; });
    if (found == groups.end()) {
      groups.emplace_back(name, ProductCost{});
      found = groups.end() - 1;
    }
    found->second.add(cost);
  };
  for (const auto& row : pricing.rows) {
    add(passes, row.pass, row.cost);
    if (!layers) continue;
    add(by_layer, row.layer, row.cost);
    add(by_layer, "  " + row.layer + " " + row.pass, row.cost);
  }
  out << "\n" << pricing.accelerator.name << ", by pass\n";
  Table table(header("pass", false));
  for (const auto& [name, cost] : passes) table.add(cells(name, pricing, cost, nullptr));
  table.print(out);
  if (!layers) return;
  // A layer's passes stand below it.
  std::stable_sort(by_layer.begin(), by_layer.end(), [&](const auto& a, const auto& b) {
    const auto rank = [&](const std::string& name) {
      const std::string layer = name.starts_with("  ") ? name.substr(2, name.rfind(' ') - 2) : name;
      for (std::size_t i = 0; i < pricing.rows.size(); ++i) {
        if (pricing.rows[i].layer == layer) return 2 * i + (name.starts_with("  ") ? 1 : 0);
      }
      return 2 * pricing.rows.size();
    };
    return rank(a.first) < rank(b.first);
  });
  out << "\n" << pricing.accelerator.name << ", by layer and pass\n";
  Table layer_table(header("layer", false));
  for (const auto& [name, cost] : by_layer) {
    layer_table.add(
        cells(name.starts_with("  ") ? "  " + name.substr(name.rfind(' ') + 1) : name, pricing, cost, nullptr));
  }
  layer_table.print(out);
}

void print_table(std::ostream& out, const Priced& priced, bool layers) {
  out << priced.name << "\n\n";
  const bool against = !priced.baselines.empty();
  Table totals(header("accelerator", against));
  for (std::size_t i = 0; i < priced.costs.size(); ++i) {
    totals.add(cells(priced.costs[i].accelerator.name, priced.costs[i], priced.costs[i].total,
                     against ? &priced.baselines[i].total : nullptr));
  }
  totals.print(out);
  if (against) out << "\n  * of what " << priced.against << " costs\n";
  for (const auto& pricing : priced.costs) print_groups(out, pricing, layers);
  if (priced.training) {
    const auto mebibytes = [](double bits) { return fixed(bits / 8388608.0, 2) + " MiB"; };
    out << "\n  a step keeps: saved activations " << mebibytes(priced.memory.saved_activations) << ", master weights "
        << mebibytes(priced.memory.master_weights) << ", momentum " << mebibytes(priced.memory.momentum) << ", ranges "
        << figures(priced.memory.ranges / 8.0) << " B\n";
  }
  for (const auto& pricing : priced.costs) {
    out << "\n  " << pricing.accelerator.name << ": " << pricing.accelerator.description << "\n";
  }
  out << "\n  Formulas and sources: docs/cost-models.md; --explain LAYER puts the numbers in"
      << (layers ? "" : "; --layers shows every layer and pass") << "\n";
}

std::pair<int, int> widths_of(const CommandLine& line) {
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

PricingOptions options_of(const CommandLine& line, const Config& config) {
  PricingOptions options;
  options.batch = config.train.batch;
  options.executed = line.choice("metric", "paper", {"paper", "executed"}) == "executed";
  options.reading = {config.precision.error_weights, config.precision.error_grid_bits};
  options.weight_update = line.has("weight-update");
  options.quantisation = line.has("quantisation");
  options.batch_norm = line.has("batch-norm");
  return options;
}

Priced price_config(const CommandLine& line, const std::string& path, const std::vector<Accelerator>& accelerators) {
  const ConfigInput input = read_config_or_run(path, line);
  const Config& config = input.config;
  const std::int64_t steps = priced_steps(input);
  const Workload workload = model_workload(config);
  const PrecisionPlan plan(precision_spec(config), config.train.steps);
  const PricingOptions options = options_of(line, config);
  if (line.has("explain")) {
    Console console(false, false);
    for (const auto& accelerator : accelerators) {
      for (const auto& text : explain_layer(accelerator, workload, plan, line.text("explain"), options))
        console.result() << text << "\n";
      console.result() << "\n";
    }
    return {};
  }
  Priced priced;
  priced.name = config.name + ": " + config.model.name + ", " + grouped(steps) + " steps of " +
                grouped(config.train.batch) + " images, widths as " + (options.executed ? "executed" : "scheduled");
  PrecisionSpec fixed_spec;
  fixed_spec.forward = {"constant", plan.max().forward, plan.max().forward, 1, 1};
  fixed_spec.gradient = {"constant", plan.max().gradient, plan.max().gradient, 1, 1};
  if (line.has("baseline")) {
    const std::int64_t bits = line.integer("baseline", 8, 2);
    if (bits > 32) line.fail("--baseline " + line.text("baseline") + ": a width of 2..32 bits is needed");
    fixed_spec.forward.min = fixed_spec.forward.max = fixed_spec.gradient.min = fixed_spec.gradient.max =
        BitWidth::integer(static_cast<int>(bits));
  }
  const PrecisionPlan fixed_plan(fixed_spec, config.train.steps);
  const auto& widths = fixed_spec.forward.max;
  priced.against = "the same steps static at " + widths.text() + "/" + fixed_spec.gradient.max.text() + " bits";
  for (const auto& accelerator : accelerators) {
    priced.costs.push_back(price_training(accelerator, workload, plan, 0, steps, options));
    priced.baselines.push_back(line.has("baseline")
                                   ? price_training(accelerator, workload, fixed_plan, 0, steps, options)
                                   : price_static(accelerator, workload, plan, 0, steps, options));
  }
  priced.memory = memory_need(workload, plan, options);
  return priced;
}

Priced price_file(const CommandLine& line, const std::string& path, const std::vector<Accelerator>& accelerators) {
  if (line.has("baseline")) line.fail("--baseline compares schedules; a topology has none");
  const auto [lhs, rhs] = widths_of(line);
  const auto topology = read_topology(path, lhs, rhs);
  if (line.has("explain")) {
    Console console(false, false);
    bool found = false;
    for (const auto& accelerator : accelerators) {
      for (const auto& row : topology) {
        if (row.layer != line.text("explain")) continue;
        found = true;
        std::vector<std::string> lines;
        cost_of(accelerator, row.product, &lines);
        console.result() << row.layer << " on " << accelerator.name << ":\n";
        for (const auto& text : lines) console.result() << "  " << text << "\n";
        console.result() << "constants:\n";
        for (const auto& text : accelerator.constants) console.result() << "  " << text << "\n";
      }
    }
    if (!found) throw std::runtime_error("there is no layer '" + line.text("explain") + "' in " + path);
    return {};
  }
  Priced priced;
  priced.training = false;
  priced.name = fs::path(path).filename().string() + ": " + std::to_string(topology.size()) + " products, once";
  for (const auto& accelerator : accelerators) priced.costs.push_back(price_topology(accelerator, topology));
  return priced;
}

void write_scalesim(const CommandLine& line, Console& console, const Priced& priced) {
  if (priced.costs.size() != 1 || priced.costs[0].accelerator.model != CostModel::kSystolic) {
    line.fail("--format scalesim writes the reports of one systolic array: give one such --accelerator");
  }
  const std::string compute = scalesim_compute_report(priced.costs[0]),
                    access = scalesim_access_report(priced.costs[0]);
  if (!line.has("out")) {
    console.result() << compute << "\n" << access;
    return;
  }
  const fs::path folder = line.text("out");
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) throw std::runtime_error("cannot make the folder '" + folder.string() + "': " + error.message());
  write_file_atomically(folder / "COMPUTE_REPORT.csv", compute);
  write_file_atomically(folder / "DETAILED_ACCESS_REPORT.csv", access);
  console.result() << "wrote " << (folder / "COMPUTE_REPORT.csv").string() << " and "
                   << (folder / "DETAILED_ACCESS_REPORT.csv").string() << "\n";
}

}  // namespace

std::vector<OptionSpec> pricing_options() {
  return {
      {"accelerator", "NAME", "prices on this design: a name of configs/accelerators, or a YAML file; may be repeated"},
      {"metric", "NAME", "widths that are priced: paper (as scheduled) or executed; default: paper"},
      {"baseline", "BITS", "compares with a static run at this width; default: at the schedule's largest widths"},
      {"weight-update", "", "adds the optimiser's traffic and arithmetic as lines of their own"},
      {"quantisation", "", "adds the quantisers', likewise"},
      {"batch-norm", "", "adds batch norm's, likewise"}};
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
  for (const auto& name : names)
    accelerators.push_back(load_accelerator(accelerator_path(name, accelerators_folder()), settings));
  return accelerators;
}

int run_pricing(const CommandLine& line) {
  const std::string format =
      line.choice("format", line.json() ? "json" : "table", {"table", "csv", "json", "scalesim"});
  Console console(format == "json", false);
  const std::string path = line.positional()[0];
  const bool topology = fs::path(path).extension() == ".csv";
  if (line.has("widths") && !topology) line.fail("--widths is for topologies (.csv); a config has a schedule");
  const auto accelerators = accelerators_of(line, {"systolic-int8"});
  const Priced priced = topology ? price_file(line, path, accelerators) : price_config(line, path, accelerators);
  if (line.has("explain")) return kSuccess;
  if (format == "csv") {
    console.result() << pricing_csv(priced.costs);
  } else if (format == "scalesim") {
    write_scalesim(line, console, priced);
  } else if (format == "json") {
    nlohmann::ordered_json json{{"name", priced.name}};
    if (!priced.baselines.empty()) json["baseline"] = priced.against;
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
    console.json(json);
  } else {
    print_table(console.result(), priced, line.has("layers"));
  }
  return kSuccess;
}

}  // namespace bitcycle::cli
