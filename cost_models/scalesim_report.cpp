// SPDX-License-Identifier: Apache-2.0
#include "cost_models/scalesim_report.h"

#include <cstdio>

#include "cost_models/csv.h"

namespace bitcycle {
namespace {

constexpr const char* kNames = " Layer, Pass, LHS Bits, RHS Bits,\n";

std::string exact(double value) {
  char text[64];
  std::snprintf(text, sizeof text, "%.17g", value);
  return text;
}

std::string names_of(const PricedRow& row) {
  return " " + csv_cell(row.layer) + ", " + row.pass + ", " + std::to_string(row.lhs_bits) + ", " +
         std::to_string(row.rhs_bits) + ",\n";
}

}  // namespace

double scalesim_compute_utilisation(const Accelerator& accelerator, const ProductCost& cost) {
  const double array = static_cast<double>(accelerator.rows * accelerator.columns);
  const double folds = cost.mapped_slots / array;
  const double longer =
      accelerator.dataflow == Dataflow::kOutputStationary ? 0.0 : folds * static_cast<double>(accelerator.rows - 1);
  return 100.0 * cost.macs / ((cost.compute_cycles + 1.0 + longer) * array);
}

std::string scalesim_compute_report(const Pricing& pricing) {
  std::string csv =
      std::string("LayerID, Total Cycles, Stall Cycles, Overall Util %, Mapping Efficiency %, Compute Util %,") +
      kNames;
  for (std::size_t i = 0; i < pricing.rows.size(); ++i) {
    const ProductCost& c = pricing.rows[i].cost;
    const double mapping = c.mapped_slots > 0.0 ? 100.0 * c.mapped_macs / c.mapped_slots : 0.0;
    csv += std::to_string(i) + ", " + exact(c.total_cycles()) + ", " + exact(c.stall_cycles) + ", " +
           exact(100.0 * c.utilisation()) + ", " + exact(mapping) + ", " +
           exact(scalesim_compute_utilisation(pricing.accelerator, c)) + "," + names_of(pricing.rows[i]);
  }
  return csv;
}

std::string scalesim_access_report(const Pricing& pricing) {
  const char* kinds[] = {"IFMAP Reads", "Filter Reads", "OFMAP Writes"};
  std::string csv = "LayerID";
  for (const char* memory : {"SRAM", "DRAM"}) {
    for (const char* kind : kinds) csv += std::string(", ") + memory + " " + kind;
  }
  csv += std::string(",") + kNames;
  for (std::size_t i = 0; i < pricing.rows.size(); ++i) {
    const auto& row = pricing.rows[i];
    double words[6] = {};
    for (std::size_t b = 0; b < pricing.accelerator.buffers.size() && b < row.cost.buffers.size(); ++b) {
      const BufferTraffic& t = row.cost.buffers[b];
      switch (pricing.accelerator.buffers[b].role) {
        case BufferRole::kLhs:
          words[0] = t.read_bits / row.lhs_bits;
          words[3] = t.write_bits / row.lhs_bits;
          break;
        case BufferRole::kRhs:
          words[1] = t.read_bits / row.rhs_bits;
          words[4] = t.write_bits / row.rhs_bits;
          break;
        case BufferRole::kOut:
          words[2] = t.write_bits / pricing.accelerator.output_bits;
          words[5] = row.cost.dram_write_bits / pricing.accelerator.output_bits;
          break;
      }
    }
    csv += std::to_string(i);
    for (const double value : words) csv += ", " + exact(value);
    csv += "," + names_of(row);
  }
  return csv;
}

}  // namespace bitcycle
