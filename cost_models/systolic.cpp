// SPDX-License-Identifier: Apache-2.0
// Systolic arrays, output, weight and input stationary, with SCALE-Sim's cycle and SRAM counts; and bit-serial arrays,
// which take a fold's cycles once for each pair of serial steps (docs/cost-models.md, 4 and 5).
#include <algorithm>
#include <cmath>

#include "cost_models/product.h"

namespace bitcycle {
namespace {

double ceil_div(double a, double b) { return std::ceil(a / b); }

}  // namespace

ProductCost systolic_cost(const Accelerator& accelerator, const Product& product, std::vector<std::string>* explain) {
  const auto rows = static_cast<double>(accelerator.rows), columns = static_cast<double>(accelerator.columns);
  const auto m = static_cast<double>(product.m), n = static_cast<double>(product.n), k = static_cast<double>(product.k);
  const bool serial = accelerator.model == CostModel::kBitSerial;
  const auto lanes = static_cast<double>(accelerator.lanes);
  const Dataflow flow = accelerator.dataflow;
  // Spatial rows and columns, and what streams by.
  const double kl = serial ? ceil_div(k, lanes) : k;
  double sr = m, sc = n, t = kl;
  if (flow == Dataflow::kWeightStationary) {
    sr = kl;
    t = m;
  } else if (flow == Dataflow::kInputStationary) {
    sr = kl;
    sc = m;
    t = n;
  }
  const double row_folds = ceil_div(sr, rows), column_folds = ceil_div(sc, columns), folds = row_folds * column_folds;
  double steps = 1.0;  // of a serial product
  if (serial) {
    const auto count = [](int bits, int per_cycle) {
      return per_cycle == 0 ? 1.0 : std::ceil(static_cast<double>(bits) / per_cycle);
    };
    steps = count(product.lhs_bits, accelerator.lhs_serial_bits) * count(product.rhs_bits, accelerator.rhs_serial_bits);
  }
  const double edge =
      serial ? 0.0 : (flow == Dataflow::kOutputStationary ? rows + columns - 2 : 2 * rows + columns - 2);

  ProductCost cost;
  cost.macs = m * n * k;
  // SCALE-Sim reports the index of the last cycle, one less than the count.
  cost.compute_cycles = folds * (t * steps + edge) - (serial ? 0.0 : 1.0);
  cost.mapped_macs = sr * sc;
  cost.mapped_slots = folds * rows * columns;

  double lhs_words = m * k * column_folds, rhs_words = k * n * row_folds, out_words = m * n;
  if (flow == Dataflow::kWeightStationary) {
    rhs_words = k * n;
    out_words = m * n * row_folds;
  } else if (flow == Dataflow::kInputStationary) {
    lhs_words = m * k;
    rhs_words = k * n * column_folds;
    out_words = m * n * row_folds;
  } else if (!serial) {
    out_words += folds * (rows + columns);  // counted by SCALE-Sim, whose reports these are equal to
  }
  const double repeat = static_cast<double>(product.repeat);
  const double lhs = product.lhs_elements / repeat * product.lhs_bits,
               rhs = product.rhs_elements / repeat * product.rhs_bits;
  const double out = product.out_elements / repeat * accelerator.output_bits;
  const auto fetched = [&](BufferRole role, double bits, double times) {
    return bits <= accelerator.buffer(role)->usable_bits() ? bits : bits * times;
  };
  // An operand that its buffer cannot hold comes again with every fold that uses it.
  const bool os = flow == Dataflow::kOutputStationary, is = flow == Dataflow::kInputStationary;
  cost.dram_read_bits = fetched(BufferRole::kLhs, lhs, is ? 1.0 : column_folds) +
                        fetched(BufferRole::kRhs, rhs, os ? row_folds : (is ? column_folds : 1.0));
  const double written = os ? out : fetched(BufferRole::kOut, out, row_folds);
  cost.dram_read_bits += written - out;  // partial sums come back
  cost.dram_write_bits = written;
  if (accelerator.dram_bits_per_cycle > 0.0) {
    const double moving = std::ceil((cost.dram_read_bits + cost.dram_write_bits) / accelerator.dram_bits_per_cycle);
    cost.stall_cycles = std::max(0.0, moving - cost.compute_cycles);
  }
  cost.array_macs = cost.total_cycles() * rows * columns * lanes / steps;
  for (const auto& buffer : accelerator.buffers) {
    BufferTraffic traffic;
    switch (buffer.role) {
      case BufferRole::kLhs:
        traffic = {lhs_words * product.lhs_bits, fetched(buffer.role, lhs, is ? 1.0 : column_folds)};
        break;
      case BufferRole::kRhs:
        traffic = {rhs_words * product.rhs_bits, fetched(buffer.role, rhs, os ? row_folds : (is ? column_folds : 1.0))};
        break;
      case BufferRole::kOut: traffic = {written, out_words * accelerator.output_bits}; break;
    }
    cost.buffers.push_back(traffic);
  }
  cost.compute_nj = 1e-3 * cost.macs * accelerator.mac.pj(product.lhs_bits, product.rhs_bits);
  if (explain != nullptr) {
    const char* names[] = {"output", "weight", "input"};
    explain->push_back(std::string(names[static_cast<int>(flow)]) + " stationary: folds = ceil(" + number_text(sr) +
                       "/" + number_text(rows) + ") * ceil(" + number_text(sc) + "/" + number_text(columns) +
                       ") = " + number_text(folds));
    if (serial) {
      explain->push_back("compute cycles = folds * " + number_text(t) + " * serial steps " + number_text(steps) +
                         " = " + number_text(cost.compute_cycles));
    } else {
      explain->push_back("compute cycles = folds * (" + number_text(t) + " + " + number_text(edge) +
                         ") - 1 = " + number_text(cost.compute_cycles));
    }
    const std::string rf = number_text(row_folds), cf = number_text(column_folds);
    const auto words = [&](const char* formula, double value) {
      return std::string(formula) + " = " + number_text(value);
    };
    const bool ws = flow == Dataflow::kWeightStationary;
    explain->push_back("row folds = " + rf + ", column folds = " + cf);
    explain->push_back(
        "SRAM words: lhs " + words(is ? "m * k" : "m * k * column folds", lhs_words) + ", rhs " +
        words(os ? "k * n * row folds" : (ws ? "k * n" : "k * n * column folds"), rhs_words) + ", out " +
        words(os ? (serial ? "m * n" : "m * n + folds * (rows + columns)") : "m * n * row folds", out_words));
    const auto dram = [&](BufferRole role, const char* name, double bits, double times, const char* why) {
      const double usable = accelerator.buffer(role)->usable_bits(), moved = fetched(role, bits, times);
      explain->push_back(
          std::string("DRAM ") + name + ": " + number_text(bits) + " bit, buffer takes " + number_text(usable) +
          (bits <= usable ? ": once" : ": once for each of " + number_text(times) + " " + std::string(why)) + " = " +
          number_text(moved) + " bit");
    };
    dram(BufferRole::kLhs, "lhs", lhs, is ? 1.0 : column_folds, is ? "uses" : "column folds");
    dram(BufferRole::kRhs, "rhs", rhs, os ? row_folds : (is ? column_folds : 1.0),
         os ? "row folds" : (is ? "column folds" : "uses"));
    dram(BufferRole::kOut, "out", out, os ? 1.0 : row_folds, os ? "uses" : "row folds");
    explain->push_back("DRAM bits = " + number_text(cost.dram_read_bits) +
                       " read (lhs + rhs + partial sums that come "
                       "back) + " +
                       number_text(cost.dram_write_bits) + " written");
    if (accelerator.dram_bits_per_cycle > 0.0) {
      explain->push_back("stall = max(0, ceil(DRAM bits / " + number_text(accelerator.dram_bits_per_cycle) +
                         " bit/cycle) - compute cycles) = " + number_text(cost.stall_cycles));
    } else {
      explain->push_back("stall = 0: DRAM bandwidth is unlimited");
    }
    explain->push_back("compute energy = " + number_text(cost.macs) + " MACs * " +
                       number_text(accelerator.mac.pj(product.lhs_bits, product.rhs_bits)) +
                       " pJ = " + number_text(cost.compute_nj) + " nJ");
  }
  return cost;
}

}  // namespace bitcycle
