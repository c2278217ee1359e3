// SPDX-License-Identifier: Apache-2.0
#include "cli/price_table.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "cli/format.h"
#include "cost_models/rates.h"

namespace bitcycle::cli {
namespace {

/// The value in the largest of the units (each 1000 times the one before) that leaves at least 1 after rounding.
std::string scaled(double value, const std::vector<const char*>& units) {
  std::size_t unit = 0;
  while (std::fabs(value) >= 999.95 && unit + 1 < units.size()) {
    value /= 1000.0;
    ++unit;
  }
  return figures(value) + " " + units[unit];
}

std::string scientific(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.4g", value);
  return text;
}

std::string share(double part, double whole) { return whole > 0.0 ? fixed(100.0 * part / whole, 1) + " %" : "-"; }

std::vector<std::string> cells(const std::string& name, const Pricing& pricing, const ProductCost& cost,
                               const ProductCost* against) {
  const Accelerator& accelerator = pricing.accelerator;
  std::vector<std::string> row{name, figures(cost.bitops * 1e-9), figures(cost.effective_macs * 1e-9)};
  if (accelerator.has_time()) {
    row.push_back(count_figures(cost.total_cycles()));
    row.push_back(share(cost.stall_cycles, cost.total_cycles()));
    row.push_back(fixed(100.0 * cost.utilisation(), 1) + " %");
  } else {
    row.insert(row.end(), {"-", "-", "-"});
  }
  if (accelerator.has_energy()) {
    row.push_back(energy_text(accelerator, cost.total_nj()));
    for (const double part : {cost.compute_nj, cost.buffers_nj, cost.dram_nj, cost.leakage_nj}) {
      row.push_back(share(part, cost.total_nj()));
    }
  } else {
    row.insert(row.end(), {"-", "-", "-", "-", "-"});
  }
  if (against != nullptr) {
    row.push_back(share(cost.bitops, against->bitops));
    row.push_back(accelerator.has_time() ? share(cost.total_cycles(), against->total_cycles()) : "-");
    row.push_back(accelerator.has_energy() ? share(cost.compute_nj, against->compute_nj) : "-");
    row.push_back(accelerator.has_energy() ? share(cost.total_nj(), against->total_nj()) : "-");
  }
  return row;
}

std::vector<std::string> header(const std::string& first, bool against) {
  std::vector<std::string> names{first,    "GBitOPs", "effective GMACs", "cycles", "stalled", "utilisation",
                                 "energy", "compute", "buffers",         "DRAM",   "leakage"};
  if (against) names.insert(names.end(), {"BitOPs*", "cycles*", "compute energy*", "energy*"});
  return names;
}

/// Time, power, throughput and efficiency; nothing where no accelerator has a time or joules.
void print_rates(std::ostream& out, const Priced& priced) {
  const bool area = std::any_of(priced.costs.begin(), priced.costs.end(),
                                [](const auto& pricing) { return pricing.accelerator.area_mm2 > 0.0; });
  std::vector<std::string> names{"accelerator", "time", "mean power", "TOPS", "TOPS/W", "energy x delay", "DRAM GB/s"};
  if (area) names.insert(names.end(), {"area", "TOPS/mm2"});
  Table table(names);
  bool any = false;
  const auto text = [](const std::optional<double>& value) { return value ? figures(*value) : "-"; };
  for (const auto& pricing : priced.costs) {
    const Rates rates = rates_of(pricing.accelerator, pricing.total);
    any = any || rates.seconds || rates.tops_per_watt;
    std::vector<std::string> row{pricing.accelerator.name,
                                 rates.seconds ? seconds_text(*rates.seconds) : "-",
                                 rates.watts ? scaled(*rates.watts * 1e6, {"uW", "mW", "W", "kW"}) : "-",
                                 text(rates.tops),
                                 text(rates.tops_per_watt),
                                 rates.energy_delay_js ? scientific(*rates.energy_delay_js) + " J s" : "-",
                                 text(rates.dram_gb_per_s)};
    if (area) {
      const double mm2 = pricing.accelerator.area_mm2;
      row.push_back(mm2 > 0.0 ? figures(mm2) + " mm2" : "-");
      row.push_back(mm2 > 0.0 && rates.tops ? figures(*rates.tops / mm2) : "-");
    }
    table.add(row);
  }
  if (!any) return;
  out << "\n";
  table.print(out);
}

void print_legend(std::ostream& out, const Priced& priced) {
  out << "\n  Absolute: BitOPs, MACs, cycles, time, bits, and energies in joules. A MAC counts as two operations in "
         "TOPS;\n"
         "  TOPS and power are means over the whole time, stalls included. Relative: shares and utilisation, in "
         "percent.\n";
  for (const auto& pricing : priced.costs) {
    const Accelerator& accelerator = pricing.accelerator;
    if (accelerator.has_energy() && !has_joules(accelerator)) {
      out << "  " << accelerator.name << " states energies as ratios: one unit is " << accelerator.relative_to
          << "; it has no joules, watts and TOPS/W.\n";
    }
  }
  if (!priced.baselines.empty()) out << "  * Relative: percent of what " << priced.against << " costs.\n";
}

void print_groups(std::ostream& out, const Pricing& pricing, bool layers) {
  std::vector<std::pair<std::string, ProductCost>> passes;
  struct Layer {
    std::string name;
    ProductCost total;
    std::vector<std::pair<std::string, ProductCost>> passes;
  };
  std::vector<Layer> by_layer;
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
    auto found = std::find_if(by_layer.begin(), by_layer.end(), [&](const Layer& l) { return l.name == row.layer; });
    if (found == by_layer.end()) {
      by_layer.push_back({row.layer, {}, {}});
      found = by_layer.end() - 1;
    }
    found->total.add(row.cost);
    add(found->passes, row.pass, row.cost);
  }
  out << "\n" << pricing.accelerator.name << ", by pass\n";
  Table table(header("pass", false));
  for (const auto& [name, cost] : passes) table.add(cells(name, pricing, cost, nullptr));
  table.print(out);
  if (!layers) return;
  out << "\n" << pricing.accelerator.name << ", by layer and pass\n";
  Table layer_table(header("layer", false));
  for (const auto& layer : by_layer) {
    layer_table.add(cells(layer.name, pricing, layer.total, nullptr));
    for (const auto& [name, cost] : layer.passes) layer_table.add(cells("  " + name, pricing, cost, nullptr));
  }
  layer_table.print(out);
}

}  // namespace

std::string energy_text(const Accelerator& accelerator, double nj) {
  if (!has_joules(accelerator)) return scientific(nj * 1000.0) + " units";
  if (nj < 1.0) return figures(nj * 1000.0) + " pJ";
  return scaled(nj, {"nJ", "uJ", "mJ", "J", "kJ", "MJ"});
}

std::string seconds_text(double seconds) {
  if (seconds >= 1000.0) return duration(seconds);
  return scaled(seconds * 1e9, {"ns", "us", "ms", "s"});
}

void print_pricing(std::ostream& out, const Priced& priced, bool layers) {
  out << priced.heading << "\n";
  for (const auto& note : priced.notes) out << "  " << note << "\n";
  out << "\n";
  const bool against = !priced.baselines.empty();
  Table totals(header("accelerator", against));
  for (std::size_t i = 0; i < priced.costs.size(); ++i) {
    totals.add(cells(priced.costs[i].accelerator.name, priced.costs[i], priced.costs[i].total,
                     against ? &priced.baselines[i].total : nullptr));
  }
  totals.print(out);
  print_rates(out, priced);
  print_legend(out, priced);
  for (const auto& pricing : priced.costs) print_groups(out, pricing, layers);
  if (priced.training) {
    const auto mebibytes = [](double bits) { return fixed(bits / 8388608.0, 2) + " MiB"; };
    out << "\n  a step keeps: saved activations " << mebibytes(priced.memory.saved_activations) << ", master weights "
        << mebibytes(priced.memory.master_weights) << ", momentum " << mebibytes(priced.memory.momentum) << ", ranges "
        << count_figures(priced.memory.ranges / 8.0) << " B\n";
  }
  for (const auto& pricing : priced.costs) {
    out << "\n  " << pricing.accelerator.name << ": " << pricing.accelerator.described() << "\n";
  }
  out << "\n  Formulas and sources: docs/cost-models.md; --explain LAYER shows them with the numbers"
      << (layers ? "" : "; --layers shows every layer and pass") << "\n";
}

}  // namespace bitcycle::cli
