// SPDX-License-Identifier: Apache-2.0
// bitcycle schedule: the widths over a run as dwell times, and drawn on a terminal.
#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "cli/command_line.h"
#include "cli/console.h"
#include "cli/exit_code.h"
#include "cli/format.h"
#include "cli/inputs.h"
#include "cli/price.h"
#include "cli/verbs.h"
#include "cost_models/schedule_report.h"
#include "nn/models/model.h"

namespace bitcycle::cli {
namespace {

/// Forward bits as filled columns, gradient bits as a dash, for the first `steps` steps.
void draw(std::ostream& out, const std::vector<WidthStretch>& all, std::int64_t steps, int columns, bool utf8) {
  const int width = std::clamp(columns - 8, 20, 96);
  std::vector<int> forward, gradient;
  std::size_t at = 0;
  int lowest = 33, highest = 0;
  for (int column = 0; column < width; ++column) {
    const std::int64_t step = (2 * column + 1) * steps / (2 * width);
    while (step >= all[at].first_step + all[at].steps) ++at;
    forward.push_back(all[at].widths.forward.bits());
    gradient.push_back(all[at].widths.gradient.bits());
    lowest = std::min({lowest, forward.back(), gradient.back()});
    highest = std::max({highest, forward.back(), gradient.back()});
  }
  lowest = highest - lowest > 16 ? highest - 16 : std::max(1, lowest - 1);
  out << "\n  bits over the first " << grouped(steps) << " steps: " << (utf8 ? "█" : "#") << " forward, "
      << (utf8 ? "─" : "-") << " gradient\n\n";
  for (int bits = highest; bits > lowest; --bits) {
    std::string line;
    for (int column = 0; column < width; ++column) {
      const auto c = static_cast<std::size_t>(column);
      if (forward[c] >= bits) {
        line += utf8 ? "█" : "#";
      } else if (gradient[c] == bits) {
        line += utf8 ? "─" : "-";
      } else {
        line += ' ';
      }
    }
    const std::string label = std::to_string(bits);
    out << std::string(5 - label.size(), ' ') << label << (utf8 ? " ┤" : " |") << line << '\n';
  }
}

/// Widths and their share of the steps: "3 20.5 %, 4 16.5 %".
std::string dwell_text(const ScheduleReport& report) {
  std::map<BitWidth, std::int64_t> forward;
  for (const auto& [widths, steps] : report.totals) forward[widths.forward] += steps;
  std::string text;
  for (const auto& [width, steps] : forward) {
    text += (text.empty() ? "" : ", ") + width.text() + ": " +
            fixed(100.0 * static_cast<double>(steps) / static_cast<double>(report.steps), 1) + " %";
  }
  return text;
}

/// One row a schedule: dwell times and cost relative to static at its largest widths.
int compare_schedules(const CommandLine& line, const std::string& format) {
  if (line.has("layer") || line.has("plot"))
    line.fail("--layer and --plot are for one schedule, without --accelerator");
  const auto accelerators = accelerators_of(line);
  Console console(format == "json", false);
  std::vector<std::string> header{"schedule", "steps", "static", "BitOPs"};
  for (const auto& accelerator : accelerators) {
    if (accelerator.has_energy()) header.push_back(accelerator.name + ": energy");
    if (accelerator.has_time()) header.push_back(accelerator.name + ": cycles");
  }
  header.push_back("forward bits: share of the steps");
  Table table(header);
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  std::string csv = "schedule,steps,accelerator,bitops_percent,energy_percent,cycles_percent\n";
  for (const auto& path : line.positional()) {
    const Config config = read_config_or_run(path, line).config;
    const PrecisionPlan plan(precision_spec(config), config.train.steps);
    const ScheduleReport report = schedule_report(config.name, plan, "");
    nlohmann::ordered_json entry = schedule_json(report);
    const std::string bitops = fixed(100.0 * report.relative_cost, 3);
    std::vector<std::string> row{config.name, grouped(plan.steps()),
                                 report.static_widths.forward.text() + "/" + report.static_widths.gradient.text(),
                                 bitops + " %"};
    if (accelerators.empty()) csv += config.name + "," + std::to_string(plan.steps()) + ",," + bitops + ",,\n";
    PricingOptions options;
    options.batch = config.train.batch;
    const Workload workload = model_workload(config);
    for (const auto& accelerator : accelerators) {
      const auto cost = price_training(accelerator, workload, plan, 0, plan.steps(), options).total;
      const auto base = price_static(accelerator, workload, plan, 0, plan.steps(), options).total;
      const auto share = [](double part, double whole) {
        return whole > 0.0 ? fixed(100.0 * part / whole, 3) : std::string();
      };
      const std::string energy = accelerator.has_energy() ? share(cost.total_nj(), base.total_nj()) : "";
      const std::string cycles = accelerator.has_time() ? share(cost.total_cycles(), base.total_cycles()) : "";
      if (accelerator.has_energy()) row.push_back(energy + " %");
      if (accelerator.has_time()) row.push_back(cycles + " %");
      csv += config.name + "," + std::to_string(plan.steps()) + "," + accelerator.name + "," +
             share(cost.bitops, base.bitops) + "," + energy + "," + cycles + "\n";
      entry["accelerators"].push_back(pricing_json_totals(accelerator, cost, base));
    }
    row.push_back(dwell_text(report));
    table.add(row);
    list.push_back(std::move(entry));
  }
  if (format == "json") {
    console.json({{"schedules", list}});
  } else if (format == "csv") {
    console.result() << csv;
  } else {
    table.print(console.result());
    console.result() << "\n  costs in percent of the same steps static at the schedule's largest widths; BitOPs by the "
                        "metric 'paper'\n";
  }
  return kSuccess;
}

std::string steps_text(std::int64_t first, std::int64_t count) {
  return grouped(first) + " - " + grouped(first + count - 1);
}

}  // namespace

int run_schedule(const std::vector<std::string>& arguments) {
  CommandLine line(
      {"schedule", "CONFIG...",
       "Shows the widths that CONFIG (a YAML file, or a run folder) gives to every step: how many steps the\n"
       "run spends at each, and when they change; on a terminal also as a plot. Of several CONFIGs: the dwell\n"
       "times and the cost of each, relative to static at its largest widths, in one table.",
       "bitcycle schedule configs/quickstart.yaml\n"
       "bitcycle schedule configs/quickstart.yaml --set precision.forward.cycles=4 --format csv\n"
       "bitcycle schedule configs/experiments/cifar10/resnet20-*.yaml --accelerator bitfusion-45nm"},
      {{"format", "NAME", "table, csv (every change of width) or json; default: table"},
       {"layer", "NAME", "the widths of this layer, where the config sets some layers apart"},
       {"plot", "", "draws the plot although the output is no terminal"},
       {"accelerator", "NAME",
        "energy and cycles on this design, too: a name of configs/accelerators, or a file; may be repeated"},
       set_option(),
       json_option()});
  if (!line.parse(arguments)) return kSuccess;
  if (line.positional().empty()) line.require_positional(1);
  const std::string format = line.choice("format", line.json() ? "json" : "table", {"table", "csv", "json"});
  if (line.positional().size() > 1 || line.has("accelerator")) return compare_schedules(line, format);
  Console console(format == "json", false);
  const Config config = read_config_or_run(line.positional()[0], line).config;
  const PrecisionPlan plan(precision_spec(config), config.train.steps);
  const std::string layer = line.text("layer");
  const ScheduleReport report = schedule_report(config.name, plan, layer);
  const auto& all = report.stretches;

  if (format == "csv") {
    console.result() << schedule_csv(report);
    return kSuccess;
  }
  if (format == "json") {
    console.json(schedule_json(report));
    return kSuccess;
  }

  std::ostream& out = console.result();
  out << config.name << ": " << grouped(plan.steps()) << " steps" << (layer.empty() ? "" : ", layer " + layer)
      << "\n\n";
  Table sums({"forward bits", "gradient bits", "steps", "share"});
  for (const auto& [widths, steps] : report.totals) {
    sums.add({widths.forward.text(), widths.gradient.text(), grouped(steps),
              fixed(100.0 * static_cast<double>(steps) / static_cast<double>(plan.steps()), 2) + " %"});
  }
  sums.print(out);
  out << "\n  costs " << fixed(100.0 * report.relative_cost, 3) << " % of static "
      << report.static_widths.forward.text() << "/" << report.static_widths.gradient.text()
      << " bits by the metric 'paper', where every layer has these widths\n";

  const std::size_t round = stretches_in_a_round(all);
  const std::size_t rounds = (all.size() + round - 1) / round;
  if (all.size() > 1) {
    out << "\n  changes of width" << (rounds > 1 ? ", first of " + std::to_string(rounds) + " cycles" : "") << "\n\n";
    Table changes({"steps", "dwell", "forward bits", "gradient bits"});
    for (std::size_t i = 0; i < std::min<std::size_t>(round, 64); ++i) {
      changes.add({steps_text(all[i].first_step, all[i].steps), grouped(all[i].steps), all[i].widths.forward.text(),
                   all[i].widths.gradient.text()});
    }
    changes.print(out);
    if (round > 64) out << "  and " << round - 64 << " more: --format csv lists all\n";
  }
  if (console.terminal() || line.has("plot")) {
    // As many cycles as can be told apart: eight columns each.
    const std::size_t legible = std::max<std::size_t>(1, static_cast<std::size_t>(console.columns()) / 12);
    const std::size_t last = std::min(all.size(), round * (rounds <= legible ? rounds : 4));
    const std::int64_t end = all[last - 1].first_step + all[last - 1].steps;
    draw(out, all, end, console.columns(), console.utf8());
  }
  for (const auto& item : config.precision.layers) {
    if (layer.empty()) out << "\n  layers that match '" << item.pattern << "' differ: --layer NAME shows one\n";
  }
  return kSuccess;
}

}  // namespace bitcycle::cli
