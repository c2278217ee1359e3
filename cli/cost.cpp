// SPDX-License-Identifier: Apache-2.0
// bitcycle cost: what a training costs, by layer, pass and pair of widths, in both metrics; nothing is trained.
#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "cli/command_line.h"
#include "cli/console.h"
#include "cli/exit_code.h"
#include "cli/format.h"
#include "cli/inputs.h"
#include "cli/verbs.h"
#include "cost_models/bitops.h"
#include "nn/models/model.h"
#include "nn/train/cost_options.h"
#include "nn/train/run_folder.h"

namespace bitcycle::cli {
namespace {

constexpr double kGiga = 1e-9;

/// Both metrics, added up over rows.
struct Sum {
  double macs = 0.0, paper = 0.0, executed = 0.0;
  void add(const BitOpsRow& row) {
    macs += row.macs;
    paper += row.paper_bitops;
    executed += row.executed_bitops;
  }
};

std::vector<std::string> cells(const std::string& name, const Sum& sum, const Sum& total) {
  const auto giga = [](double value, double largest) { return grouped(value * kGiga, decimals_for(largest * kGiga)); };
  return {name, giga(sum.macs, total.macs), giga(sum.paper, total.paper),
          fixed(100.0 * sum.paper / total.paper, 1) + " %", giga(sum.executed, total.executed)};
}

std::string widths_text(const LayerWidths& widths) { return widths.forward.text() + "/" + widths.gradient.text(); }

void print_table(std::ostream& out, const Config& config, const Workload& workload, std::int64_t steps,
                 const BitOps& cost, const BitOps& baseline, bool layers) {
  Sum total;
  std::map<Pass, Sum> passes;
  std::map<LayerWidths, Sum> widths;
  std::vector<std::pair<std::string, Sum>> by_layer;
  for (const auto& row : cost.rows) {
    total.add(row);
    passes[row.pass].add(row);
    widths[row.scheduled].add(row);
    if (by_layer.empty() || by_layer.back().first != row.layer) {
      auto found = std::find_if(by_layer.begin(), by_layer.end(), [&](const auto& e) { return e.first == row.layer; });
      if (found != by_layer.end()) {
        found->second.add(row);
        continue;
      }
      by_layer.emplace_back(row.layer, Sum{});
    }
    by_layer.back().second.add(row);
  }
  out << config.name << ": " << config.model.name << " (" << figures(1e-6 * static_cast<double>(workload.macs()))
      << " MMAC an image, forward), " << grouped(steps) << " steps of " << grouped(config.train.batch) << " images\n\n";

  const auto header = [](const std::string& first) {
    return std::vector<std::string>{first, "GMAC", "GBitOPs 'paper'", "share", "GBitOPs 'executed'"};
  };
  Table pass_table(header("pass"));
  for (const auto& [pass, sum] : passes) pass_table.add(cells(pass_name(pass), sum, total));
  pass_table.rule();
  pass_table.add(cells("all", total, total));
  pass_table.print(out);

  out << '\n';
  Table width_table(header("bits, forward/gradient"));
  for (const auto& [pair, sum] : widths) width_table.add(cells(widths_text(pair), sum, total));
  width_table.print(out);

  if (layers) {
    out << '\n';
    Table layer_table(header("layer"));
    for (const auto& [name, sum] : by_layer) layer_table.add(cells(name, sum, total));
    layer_table.print(out);
  }

  out << "\n  saving " << fixed(saving_percent(cost, baseline), 3) << " % by 'paper', against static "
      << config.precision.forward.max.text() << "/" << config.precision.gradient.max.text() << " bits ("
      << figures(baseline.paper * kGiga) << " GBitOPs)\n\n"
      << "  BitOPs = MACs x bits of one operand x bits of the other.\n"
      << "  paper     every MAC in all three passes at the scheduled widths: b*b + b*bg + b*bg, as the paper's code\n"
      << "            counts; batch norm is " << (config.cost.count_batch_norm ? "" : "not ")
      << "counted (cost.count_batch_norm)\n"
      << "  executed  what ran: float32 layers at 32x32, no error pass for the first layer, the error pass's weights "
         "at\n"
      << "            the width of their grid where precision.error_weights is shared\n";
  if (!layers) out << "\n  --layers shows every layer; --format csv every layer, pass and width\n";
}

nlohmann::ordered_json cost_json(const Config& config, const Workload& workload, std::int64_t steps, const BitOps& cost,
                                 const BitOps& baseline) {
  nlohmann::ordered_json json{{"config", config.name},
                              {"model", config.model.name},
                              {"macs_per_image", workload.macs()},
                              {"steps", steps},
                              {"batch", config.train.batch},
                              {"paper_gbitops", cost.paper * kGiga},
                              {"executed_gbitops", cost.executed * kGiga},
                              {"static_paper_gbitops", baseline.paper * kGiga},
                              {"saving_percent", saving_percent(cost, baseline)},
                              {"count_batch_norm", config.cost.count_batch_norm}};
  auto& rows = json["rows"] = nlohmann::ordered_json::array();
  for (const auto& row : cost.rows) {
    rows.push_back({{"layer", row.layer},
                    {"pass", pass_name(row.pass)},
                    {"forward_bits", row.scheduled.forward.text()},
                    {"gradient_bits", row.scheduled.gradient.text()},
                    {"lhs_bits", row.lhs_bits},
                    {"rhs_bits", row.rhs_bits},
                    {"steps", row.steps},
                    {"macs", row.macs},
                    {"paper_bitops", row.paper_bitops},
                    {"executed_bitops", row.executed_bitops}});
  }
  return json;
}

}  // namespace

int run_cost(const std::vector<std::string>& arguments) {
  CommandLine line(
      {"cost", "CONFIG|RUN",
       "Counts the bit operations of a training: of the whole run that a CONFIG describes, or of the steps\n"
       "that a RUN folder has done. Two metrics, always both: what the paper counts, and what is executed.",
       "bitcycle cost configs/quickstart.yaml\n"
       "bitcycle cost configs/quickstart.yaml --set precision.forward.min=4 --format csv"},
      {{"format", "NAME", "table, csv or json; default: table"},
       {"layers", "", "the table with every layer"},
       set_option(),
       json_option()});
  if (!line.parse(arguments)) return kSuccess;
  line.require_positional(1);
  const std::string format = line.choice("format", line.json() ? "json" : "table", {"table", "csv", "json"});
  Console console(format == "json", false);
  const ConfigInput input = read_config_or_run(line.positional()[0], line);
  const Config& config = input.config;
  std::int64_t steps = config.train.steps;
  if (input.run) {
    const auto done = RunFolder::existing(*input.run).steps();
    steps = done.empty() ? 0 : std::min(steps, done.back().step + 1);
    if (steps == 0) throw std::runtime_error("the run '" + input.run->string() + "' has not done a step yet");
  }
  const Workload workload = model_workload(config);
  const PrecisionPlan plan(precision_spec(config), config.train.steps);
  const BitOpsOptions options = bitops_options(config);
  const BitOps cost = count_bitops(workload, plan, 0, steps, options);
  const BitOps baseline = count_static_bitops(workload, plan, 0, steps, options);

  if (format == "csv") {
    console.result() << bitops_csv(cost);
  } else if (format == "json") {
    console.json(cost_json(config, workload, steps, cost, baseline));
  } else {
    print_table(console.result(), config, workload, steps, cost, baseline, line.has("layers"));
  }
  return kSuccess;
}

}  // namespace bitcycle::cli
