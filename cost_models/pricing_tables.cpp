// SPDX-License-Identifier: Apache-2.0
#include "cost_models/pricing_tables.h"

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "cost_models/csv.h"
#include "cost_models/rates.h"

namespace bitcycle {
namespace {

std::string exact(double value) {
  char text[64];
  std::snprintf(text, sizeof text, "%.17g", value);
  return text;
}

/// Relative energies are held as picojoules that stand for one unit.
constexpr double kUnitsInANanojoule = 1000.0;

struct EnergyPart {
  const char* name;
  double nj;
};
std::vector<EnergyPart> energy_parts(const ProductCost& c) {
  return {{"compute", c.compute_nj},
          {"buffers", c.buffers_nj},
          {"dram", c.dram_nj},
          {"leakage", c.leakage_nj},
          {"total", c.total_nj()}};
}

std::string row_text(const Accelerator& accelerator, const PricedRow& row, const std::vector<std::string>& buffers,
                     bool relative_columns) {
  const ProductCost& c = row.cost;
  std::string csv = csv_cell(row.layer) + "," + row.pass + "," + std::to_string(row.lhs_bits) + "," +
                    std::to_string(row.rhs_bits) + "," + std::to_string(row.m) + "," + std::to_string(row.n) + "," +
                    std::to_string(row.k) + "," + exact(c.macs);
  const auto cell = [&](bool there, double value) { csv += "," + (there ? exact(value) : std::string()); };
  const bool time = accelerator.has_time(), energy = accelerator.has_energy(), joules = has_joules(accelerator);
  for (const double value : {c.total_cycles(), c.compute_cycles, c.stall_cycles, c.utilisation()}) cell(time, value);
  for (const auto& name : buffers) {
    BufferTraffic traffic;
    bool there = false;
    for (std::size_t i = 0; i < accelerator.buffers.size() && i < c.buffers.size(); ++i) {
      if (accelerator.buffers[i].name != name) continue;
      traffic = c.buffers[i];
      there = true;
    }
    cell(there, traffic.read_bits);
    cell(there, traffic.write_bits);
  }
  cell(energy, c.dram_read_bits);
  cell(energy, c.dram_write_bits);
  for (const auto& part : energy_parts(c)) cell(joules, part.nj);
  cell(energy, c.compulsory_bits);
  csv += "," + exact(c.bitops) + "," + std::to_string(row.steps) + "," + csv_cell(accelerator.name) + "," +
         exact(c.effective_macs);
  const Rates rates = rates_of(accelerator, c);
  cell(rates.seconds.has_value(), rates.seconds.value_or(0.0));
  if (relative_columns) {
    for (const auto& part : energy_parts(c)) cell(energy && !joules, part.nj * kUnitsInANanojoule);
  }
  return csv + "\n";
}

}  // namespace

std::string pricing_csv(const std::vector<Pricing>& pricings) {
  std::vector<std::string> buffers;
  bool relative = false;
  for (const auto& pricing : pricings) {
    relative = relative || (pricing.accelerator.has_energy() && !has_joules(pricing.accelerator));
    for (const auto& buffer : pricing.accelerator.buffers) {
      if (std::find(buffers.begin(), buffers.end(), buffer.name) == buffers.end()) buffers.push_back(buffer.name);
    }
  }
  std::string csv = "layer,pass,lhs_bits,rhs_bits,m,n,k,macs,total_cycles,compute_cycles,stall_cycles,utilisation";
  for (const auto& name : buffers) csv += "," + csv_cell(name + "_read_bits") + "," + csv_cell(name + "_write_bits");
  csv +=
      ",dram_read_bits,dram_write_bits,compute_nj,buffers_nj,dram_nj,leakage_nj,total_nj,compulsory_bits,bitops,steps,"
      "accelerator,effective_macs,seconds";
  if (relative) csv += ",compute_units,buffers_units,dram_units,leakage_units,total_units";
  csv += "\n";
  for (const auto& pricing : pricings) {
    for (const auto& row : pricing.rows) csv += row_text(pricing.accelerator, row, buffers, relative);
  }
  return csv;
}

nlohmann::ordered_json cost_json(const Accelerator& accelerator, const ProductCost& c) {
  nlohmann::ordered_json json{{"macs", c.macs}, {"bitops", c.bitops}, {"effective_macs", c.effective_macs}};
  if (accelerator.has_time()) {
    json["total_cycles"] = c.total_cycles();
    json["compute_cycles"] = c.compute_cycles;
    json["stall_cycles"] = c.stall_cycles;
    json["utilisation"] = c.utilisation();
    for (std::size_t i = 0; i < accelerator.buffers.size() && i < c.buffers.size(); ++i) {
      json[accelerator.buffers[i].name + "_read_bits"] = c.buffers[i].read_bits;
      json[accelerator.buffers[i].name + "_write_bits"] = c.buffers[i].write_bits;
    }
  }
  if (accelerator.has_energy()) {
    json["dram_read_bits"] = c.dram_read_bits;
    json["dram_write_bits"] = c.dram_write_bits;
    json["compulsory_bits"] = c.compulsory_bits;
    const bool joules = has_joules(accelerator);
    for (const auto& part : energy_parts(c)) {
      json[std::string(part.name) + (joules ? "_nj" : "_units")] = part.nj * (joules ? 1.0 : kUnitsInANanojoule);
    }
  }
  const Rates rates = rates_of(accelerator, c);
  const auto put = [&](const char* key, const std::optional<double>& value) {
    if (value) json[key] = *value;
  };
  put("seconds", rates.seconds);
  put("watts", rates.watts);
  put("tops", rates.tops);
  put("tops_per_watt", rates.tops_per_watt);
  put("energy_delay_js", rates.energy_delay_js);
  put("dram_gb_per_s", rates.dram_gb_per_s);
  return json;
}

nlohmann::ordered_json pricing_json(const Pricing& pricing, const Pricing* baseline) {
  const Accelerator& accelerator = pricing.accelerator;
  nlohmann::ordered_json json{{"accelerator", accelerator.name}, {"total", cost_json(accelerator, pricing.total)}};
  if (baseline != nullptr) json["baseline"] = cost_json(accelerator, baseline->total);
  auto& rows = json["rows"] = nlohmann::ordered_json::array();
  for (const auto& row : pricing.rows) {
    nlohmann::ordered_json entry{{"layer", row.layer},
                                 {"pass", row.pass},
                                 {"lhs_bits", row.lhs_bits},
                                 {"rhs_bits", row.rhs_bits},
                                 {"float32", row.float32},
                                 {"m", row.m},
                                 {"n", row.n},
                                 {"k", row.k},
                                 {"steps", row.steps}};
    entry.update(cost_json(accelerator, row.cost));
    rows.push_back(std::move(entry));
  }
  return json;
}

}  // namespace bitcycle
