// SPDX-License-Identifier: Apache-2.0
#include "cli/schedule_table.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>

#include "cli/format.h"
#include "cli/nearest.h"
#include "cli/price.h"
#include "cli/price_table.h"
#include "cost_models/bitops_report.h"
#include "cost_models/csv.h"
#include "cost_models/pricing_tables.h"
#include "cost_models/rates.h"
#include "cost_models/schedule_report.h"

namespace bitcycle::cli {
namespace {

/// One accelerator's costs of a schedule, over all steps.
struct Cost {
  ProductCost total, baseline;
};

struct Row {
  const CostInput* input = nullptr;
  ScheduleReport report;
  double gbitops = 0.0;  // over the run
  std::vector<Cost> costs;
  std::map<std::string, double> sortable;
};

std::string text_of(const LayerWidths& widths) { return widths.forward.text() + "/" + widths.gradient.text(); }

/// The largest widths of all schedules, layers that are set apart left out.
LayerWidths largest(const std::vector<CostInput>& inputs, bool& differ) {
  LayerWidths widths = inputs.front().plan.max();
  for (const auto& input : inputs) {
    differ = differ || input.plan.max() != inputs.front().plan.max();
    widths = {wider_of(widths.forward, input.plan.max().forward), wider_of(widths.gradient, input.plan.max().gradient)};
  }
  return widths;
}

/// Forward widths and their share of the multiply-accumulates: "3: 20.5 %, 4: 16.5 %".
std::string shares_text(const ScheduleReport& report) {
  const auto wide_last = [](BitWidth a, BitWidth b) {
    return std::pair(a.is_float32(), a) < std::pair(b.is_float32(), b);
  };
  std::map<BitWidth, double, decltype(wide_last)> shares(wide_last);
  for (const auto& group : report.groups) {
    for (const auto& [widths, steps] : group.totals) {
      shares[widths.forward] += group.macs_share * static_cast<double>(steps) / static_cast<double>(report.steps);
    }
  }
  std::string text;
  for (const auto& [width, share] : shares) {
    text += (text.empty() ? "" : ", ") + width.text() + ": " + fixed(100.0 * share, 1) + " %";
  }
  return text;
}

/// Widths in the order of their tables: float32 is the widest.
double width_rank(BitWidth width) { return width.is_float32() ? 33.0 : width.bits(); }

double percent(double part, double whole) { return whole > 0.0 ? 100.0 * part / whole : 0.0; }

Row row_of(const CostInput& input, const LayerWidths& baseline, const std::vector<Accelerator>& accelerators,
           const PricingOptions& chosen) {
  Row row;
  row.input = &input;
  row.report = schedule_report(input.name, input.plan, input.workload, &baseline);
  row.gbitops = row.report.gbitops * static_cast<double>(input.batch);
  row.sortable["steps"] = static_cast<double>(input.steps);
  row.sortable["batch"] = static_cast<double>(input.batch);
  row.sortable["largest"] = width_rank(input.plan.max().forward) + width_rank(input.plan.max().gradient) / 100.0;
  row.sortable["gbitops"] = row.gbitops;
  row.sortable["bitops_percent"] = 100.0 * row.report.relative_cost;
  PricingOptions options = chosen;
  options.batch = input.batch;
  options.error_pass = {input.bitops.error_weights, input.bitops.error_grid_bits};
  for (const auto& accelerator : accelerators) {
    const PrecisionPlan fixed_plan = static_plan(baseline, input.steps);
    Cost cost{price_training(accelerator, input.workload, input.plan, 0, input.steps, options).total,
              price_training(accelerator, input.workload, fixed_plan, 0, input.steps, options).total};
    const auto put = [&](const std::string& column, double value) {
      row.sortable[accelerator.name + ":" + column] = value;
      row.sortable.emplace(column, value);  // without a name: of the first that has it
    };
    if (accelerator.has_energy()) {
      put("energy", cost.total.total_nj());
      put("energy_percent", percent(cost.total.total_nj(), cost.baseline.total_nj()));
    }
    if (accelerator.has_time()) {
      put("cycles", cost.total.total_cycles());
      put("cycles_percent", percent(cost.total.total_cycles(), cost.baseline.total_cycles()));
      put("seconds", cost.total.total_cycles() / accelerator.clock_hz);
    }
    const Rates rates = rates_of(accelerator, cost.total);
    if (rates.watts) put("watts", *rates.watts);
    if (rates.energy_delay_js) put("energy_delay_js", *rates.energy_delay_js);
    row.costs.push_back(std::move(cost));
  }
  return row;
}

/// A column as the table heads it, or as the CSV names it: "stripes: energy" is stripes:energy, "time*" cycles_percent.
std::string sortable_name(std::string column) {
  const auto colon = column.find(": ");
  if (colon != std::string::npos) column.erase(colon + 1, 1);
  const std::string accelerator = colon == std::string::npos ? "" : column.substr(0, colon + 1);
  const std::string last = column.substr(accelerator.size());
  static const std::map<std::string, std::string> headed{{"GBitOPs", "gbitops"},
                                                         {"BitOPs*", "bitops_percent"},
                                                         {"energy*", "energy_percent"},
                                                         {"time", "seconds"},
                                                         {"time*", "cycles_percent"}};
  const auto found = headed.find(last);
  return found == headed.end() ? column : accelerator + found->second;
}

/// --sort COLUMN, or -COLUMN for the largest first; rows without the column's value stay last.
void sort_rows(const CommandLine& line, std::vector<Row>& rows) {
  if (!line.has("sort")) return;
  std::string column = line.text("sort");
  const bool falling = column.starts_with("-");
  if (falling) column.erase(0, 1);
  column = sortable_name(column);
  std::vector<std::string> known{"schedule"};
  for (const auto& [name, value] : rows.front().sortable) known.push_back(name);
  if (std::find(known.begin(), known.end(), column) == known.end()) {
    std::string list;
    for (const auto& name : known) list += (list.empty() ? "" : ", ") + name;
    line.fail(next_sentence("--sort " + line.text("sort") + ": there is no such column" + did_you_mean(column, known),
                            "The columns are those of the table, or " + list + "; -COLUMN puts the largest first"));
  }
  std::stable_sort(rows.begin(), rows.end(), [&](const Row& a, const Row& b) {
    const Row& low = falling ? b : a;
    const Row& high = falling ? a : b;
    if (column == "schedule") return low.report.name < high.report.name;
    return low.sortable.at(column) < high.sortable.at(column);
  });
}

std::string table_text(const std::vector<Row>& rows, const std::vector<Accelerator>& accelerators,
                       const std::string& note, const std::vector<std::string>& unreached, bool has_layers) {
  std::vector<std::string> header{"schedule", "steps", "largest"};
  if (has_layers) header.emplace_back("GBitOPs");
  header.emplace_back("BitOPs*");
  for (const auto& accelerator : accelerators) {
    if (accelerator.has_energy()) header.insert(header.end(), {accelerator.name + ": energy", "energy*"});
    if (accelerator.has_time()) header.insert(header.end(), {accelerator.name + ": time", "time*"});
  }
  header.emplace_back("forward bits: share of the MACs");
  Table table(header);
  bool same = true;  // steps and batches
  for (const auto& row : rows) {
    same = same && row.input->steps == rows[0].input->steps && row.input->batch == rows[0].input->batch;
    std::vector<std::string> cells{row.report.name, grouped(row.input->steps), text_of(row.input->plan.max())};
    if (has_layers) cells.push_back(figures(row.gbitops));
    cells.push_back(fixed(100.0 * row.report.relative_cost, 3) + " %");
    for (std::size_t i = 0; i < accelerators.size(); ++i) {
      const auto& [total, baseline] = row.costs[i];
      if (accelerators[i].has_energy()) {
        cells.push_back(energy_text(accelerators[i], total.total_nj()));
        cells.push_back(fixed(percent(total.total_nj(), baseline.total_nj()), 3) + " %");
      }
      if (accelerators[i].has_time()) {
        cells.push_back(seconds_text(total.total_cycles() / accelerators[i].clock_hz));
        cells.push_back(fixed(percent(total.total_cycles(), baseline.total_cycles()), 3) + " %");
      }
    }
    cells.push_back(shares_text(row.report));
    table.add(cells);
  }
  std::ostringstream out;
  table.print(out);
  out << "\n  * Relative: percent of " << note << ".\n  BitOPs by the metric 'paper'.\n";
  for (const auto& text : unreached) out << "  " << text << ".\n";
  if (has_layers && !same) {
    out << "  Absolute figures are those of each schedule's own run:";
    for (std::size_t i = 0; i < rows.size(); ++i) {
      out << (i == 0 ? " " : ", ") << rows[i].report.name << " " << counted(rows[i].input->steps, "step")
          << (rows[i].input->whole_batches ? "" : " of " + counted(rows[i].input->batch, "sample"));
    }
    out << ".\n";
  }
  for (const auto& accelerator : accelerators) {
    if (accelerator.has_energy() && !has_joules(accelerator)) {
      out << "  " << accelerator.name << " states energies as ratios: one unit is " << accelerator.relative_to << ".\n";
    }
  }
  return out.str();
}

std::string csv_text(const std::vector<Row>& rows, const std::vector<Accelerator>& accelerators,
                     const LayerWidths& baseline) {
  std::string csv =
      "schedule,steps,accelerator,bitops_percent,energy_percent,cycles_percent,baseline,batch,gbitops,energy,"
      "energy_unit,cycles,seconds,watts,energy_delay_js\n";
  const auto exact = [](double value) {
    std::ostringstream text;
    text.precision(17);
    text << value;
    return text.str();
  };
  for (const auto& row : rows) {
    const std::string head = csv_cell(row.report.name) + "," + std::to_string(row.input->steps) + ",";
    const std::string share = fixed(100.0 * row.report.relative_cost, 3);
    const std::string tail =
        "," + text_of(baseline) + "," + std::to_string(row.input->batch) + "," + exact(row.gbitops);
    if (accelerators.empty()) csv += head + "," + share + ",," + tail + ",,,,,,\n";
    for (std::size_t i = 0; i < accelerators.size(); ++i) {
      const Accelerator& accelerator = accelerators[i];
      const auto& [total, fixed_total] = row.costs[i];
      const bool energy = accelerator.has_energy(), time = accelerator.has_time(), joules = has_joules(accelerator);
      const Rates rates = rates_of(accelerator, total);
      const auto cell = [&](const std::optional<double>& value) { return "," + (value ? exact(*value) : ""); };
      csv += head + csv_cell(accelerator.name) + "," + fixed(percent(total.bitops, fixed_total.bitops), 3) + "," +
             (energy ? fixed(percent(total.total_nj(), fixed_total.total_nj()), 3) : "") + "," +
             (time ? fixed(percent(total.total_cycles(), fixed_total.total_cycles()), 3) : "") + tail + "," +
             (energy ? exact(total.total_nj() * (joules ? 1.0 : 1000.0)) : "") + "," +
             (energy ? (joules ? "nJ" : "unit") : "") + "," + (time ? exact(total.total_cycles()) : "") +
             cell(rates.seconds) + cell(rates.watts) + cell(rates.energy_delay_js) + "\n";
    }
  }
  return csv;
}

nlohmann::ordered_json rows_json(const std::vector<Row>& rows, const std::vector<Accelerator>& accelerators,
                                 const LayerWidths& baseline, const std::vector<std::string>& unreached) {
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  for (const auto& row : rows) {
    auto entry = schedule_json(row.report);
    entry["batch"] = row.input->batch;
    entry["gbitops"] = row.gbitops;
    for (std::size_t i = 0; i < accelerators.size(); ++i) {
      entry["accelerators"].push_back({{"accelerator", accelerators[i].name},
                                       {"total", cost_json(accelerators[i], row.costs[i].total)},
                                       {"baseline", cost_json(accelerators[i], row.costs[i].baseline)}});
    }
    list.push_back(std::move(entry));
  }
  nlohmann::ordered_json json{{"baseline", "static-" + text_of(baseline)}, {"schedules", list}};
  if (!unreached.empty()) json["notes"] = unreached;
  return json;
}

}  // namespace

void compare_schedules(const CommandLine& line, const std::vector<CostInput>& inputs, const std::string& format) {
  if (line.has("layer") || line.has("plot")) {
    line.fail("--layer and --plot are for one schedule, without --accelerator");
  }
  const auto accelerators = accelerators_of(line);
  PricingOptions options;
  options.executed = line.choice("metric", "paper", {"paper", "executed"}) == "executed";
  if (options.executed && accelerators.empty()) line.fail("--metric needs an --accelerator");
  bool differ = false;
  const LayerWidths common = largest(inputs, differ);
  const auto chosen = baseline_of(line);
  const LayerWidths baseline = chosen.value_or(common);
  std::vector<Row> rows;
  for (const auto& input : inputs) rows.push_back(row_of(input, baseline, accelerators, options));
  sort_rows(line, rows);
  std::string note = "the same steps with every layer static at " + text_of(baseline) + " bits";
  if (!chosen && differ) note += ", the largest widths of these schedules; --baseline sets others";
  std::vector<std::string> unreached;
  for (const auto& row : rows) {
    if (const auto text = unreached_note(*row.input, row.report.name); text && !chosen) unreached.push_back(*text);
  }
  const bool has_layers = inputs.front().workload.model != any_workload().model;
  write_result(line, format == "json"  ? json_text(rows_json(rows, accelerators, baseline, unreached))
                     : format == "csv" ? csv_text(rows, accelerators, baseline)
                                       : table_text(rows, accelerators, note, unreached, has_layers));
}

}  // namespace bitcycle::cli
