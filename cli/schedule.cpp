// SPDX-License-Identifier: Apache-2.0
// bitcycle schedule: the widths over a run as dwell times, and drawn on a terminal.
#include <algorithm>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "cli/command_line.h"
#include "cli/console.h"
#include "cli/cost_input.h"
#include "cli/exit_code.h"
#include "cli/format.h"
#include "cli/price.h"
#include "cli/schedule_table.h"
#include "cli/verbs.h"
#include "cost_models/bitops_report.h"
#include "cost_models/schedule_report.h"

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

std::string steps_text(std::int64_t first, std::int64_t count) {
  return grouped(first) + " - " + grouped(first + count - 1);
}

std::string widths_text(const LayerWidths& widths) { return widths.forward.text() + "/" + widths.gradient.text(); }

/// "conv1, conv2 and 17 more".
std::string names_text(const std::vector<std::string>& layers) {
  std::string text;
  for (std::size_t i = 0; i < std::min<std::size_t>(layers.size(), 4); ++i) text += (i == 0 ? "" : ", ") + layers[i];
  return text + (layers.size() > 4 ? " and " + std::to_string(layers.size() - 4) + " more" : "");
}

void print_group(std::ostream& out, const WidthGroup& group, std::int64_t steps) {
  Table sums({"forward bits", "gradient bits", "steps", "share"});
  for (const auto& [widths, count] : group.totals) {
    sums.add({widths.forward.text(), widths.gradient.text(), grouped(count),
              fixed(100.0 * static_cast<double>(count) / static_cast<double>(steps), 2) + " %"});
  }
  sums.print(out);
}

void print_changes(std::ostream& out, const WidthGroup& group) {
  const auto& all = group.stretches;
  const std::size_t round = stretches_in_a_round(all), rounds = (all.size() + round - 1) / round;
  out << "\n  changes of width"
      << (!group.all_stretches ? ", the first of more than " + grouped(static_cast<std::int64_t>(all.size()))
          : rounds > 1         ? ", first of " + std::to_string(rounds) + " cycles"
                               : "")
      << "\n\n";
  Table changes({"steps", "dwell", "forward bits", "gradient bits"});
  for (std::size_t i = 0; i < std::min<std::size_t>(round, 64); ++i) {
    changes.add({steps_text(all[i].first_step, all[i].steps), grouped(all[i].steps), all[i].widths.forward.text(),
                 all[i].widths.gradient.text()});
  }
  changes.print(out);
  if (round > 64 && group.all_stretches) out << "  and " << round - 64 << " more: --format csv lists all\n";
}

/// One schedule, for people.
/// `note`: where no step has the widths of the baseline.
void print_schedule(std::ostream& out, const ScheduleReport& report, const std::string& note, const Console& console,
                    bool plot) {
  out << report.name << ": " << counted(report.steps, "step") << (report.layer.empty() ? "" : ", layer " + report.layer)
      << "\n";
  for (const auto& group : report.groups) {
    out << "\n";
    if (report.groups.size() > 1) {
      out << "  " << names_text(group.layers) << ": " << fixed(100.0 * group.macs_share, 1) << " % of the MACs\n\n";
    }
    print_group(out, group, report.steps);
  }
  out << "\n  costs " << fixed(100.0 * report.relative_cost, 3) << " % of static " << widths_text(report.static_widths)
      << " bits by the metric 'paper'"
      << (report.groups.size() == 1 ? ", where every layer has these widths"
          : report.common_baseline  ? ", every layer"
                                    : ", layers with a schedule of their own at its largest widths")
      << "\n";
  if (!note.empty()) out << "  " << note << "\n";
  const auto& all = report.groups.front().stretches;
  if (all.size() > 1) print_changes(out, report.groups.front());
  if (plot) {
    // As many cycles as can be told apart: eight columns each.
    const std::size_t round = stretches_in_a_round(all), rounds = (all.size() + round - 1) / round;
    const std::size_t legible = std::max<std::size_t>(1, static_cast<std::size_t>(console.columns()) / 12);
    const std::size_t last = std::min(all.size(), round * (rounds <= legible ? rounds : 4));
    draw(out, all, all[last - 1].first_step + all[last - 1].steps, console.columns(), console.utf8());
  }
  if (report.groups.size() > 1) out << "\n  --layer NAME shows the changes of one layer, --format csv those of all\n";
}

}  // namespace

int run_schedule(const std::vector<std::string>& arguments) {
  std::vector<OptionSpec> options{
      {"format", "NAME", "table, csv (every change of width) or json; default: table"},
      {"out", "FILE", "writes to this file; default: standard output"},
      {"layer", "NAME",
       "the widths of this layer, if the config gives some layers a schedule of their own; default: of all"},
      {"plot", "", "draws the plot even if the output is not a terminal"},
      {"accelerator", "NAME",
       "energy and time on this design, too: a name of configs/accelerators, or a file; default: bit operations alone; "
       "may be repeated"},
      {"metric", "NAME", "widths that accelerators price: paper (as scheduled) or executed; default: paper"},
      {"baseline", "WIDTHS",
       "compares with this static training, e.g. static-8 or static-8/6; default: the largest widths of all"},
      {"sort", "COLUMN",
       "sorts several schedules, e.g. by bitops_percent; -COLUMN puts the largest first; default: as given"}};
  for (const auto& option : schedule_options()) options.push_back(option);
  options.push_back(set_option());
  options.push_back(json_option());
  CommandLine line(
      {"schedule", "[LAYERS] CONFIG...",
       "Shows the widths that CONFIG (a YAML file, or a run folder) gives to every step: how many steps the\n"
       "run spends at each, and when they change; on a terminal also as a plot. With several CONFIGs it shows\n"
       "the widths and the cost of each in one table, relative to one static training: that of --baseline, or\n"
       "the largest widths of all. --precision adds a schedule that is written as one word. With a file LAYERS\n"
       "(.csv or .onnx), all schedules are priced on its layers instead of the model of each CONFIG.",
       "bitcycle schedule configs/quickstart.yaml\n"
       "bitcycle schedule configs/quickstart.yaml --set precision.forward.cycles=4 --format csv\n"
       "bitcycle schedule configs/experiments/cifar10/resnet20-*.yaml --baseline static-8 --sort bitops_percent\n"
       "bitcycle schedule layers.csv configs/quickstart.yaml --precision static-6 --accelerator bitfusion-45nm"},
      options);
  if (!line.parse(arguments)) return kSuccess;
  const std::string format = output_format(line, {"table", "csv", "json"});
  const std::vector<CostInput> inputs = read_schedules(line);
  if (inputs.size() > 1 || line.has("accelerator")) {
    compare_schedules(line, inputs, format);
    return kSuccess;
  }
  for (const char* name : {"sort", "metric"}) {
    if (line.has(name)) line.fail(std::string("--") + name + " is for several schedules, or an --accelerator");
  }
  const auto baseline = baseline_of(line);
  const CostInput& input = inputs.front();
  const ScheduleReport report =
      schedule_report(input.name, input.plan, input.workload, baseline ? &*baseline : nullptr, line.text("layer"));
  const std::string note = baseline || line.has("layer") ? "" : unreached_note(input).value_or("");
  if (format == "csv") {
    write_result(line, schedule_csv(report));
  } else if (format == "json") {
    auto json = schedule_json(report);
    if (!note.empty()) json["notes"] = {note};
    write_result(line, json_text(json));
  } else {
    const Console console(false, false);
    std::ostringstream text;
    if (input.is_layers_file) {
      const BitOpsReport cost = bitops_report(input.name, input.workload, input.plan, 0, input.steps, input.bitops,
                                              baseline ? &*baseline : nullptr);
      text << input.workload.model << ", " << counted(static_cast<std::int64_t>(input.workload.matrix.size()), "layer")
           << ": " << figures(cost.total.paper * 1e-9) << " GBitOPs by the metric 'paper'\n";
    }
    print_schedule(text, report, note, console, line.has("plot") || (console.terminal() && !line.has("out")));
    write_result(line, text.str());
  }
  return kSuccess;
}

}  // namespace bitcycle::cli
