// SPDX-License-Identifier: Apache-2.0
// Bit-serial arrays: a fold's cycles once for each pair of serial steps (docs/cost-models.md, Bit-serial arrays).
#include <algorithm>
#include <cmath>

#include "cost_models/product.h"

namespace bitcycle {
namespace {

double ceil_div(double a, double b) { return std::ceil(a / b); }

double steps_of(int bits, int per_cycle) {
  return per_cycle == 0 ? 1.0 : std::ceil(static_cast<double>(bits) / per_cycle);
}

}  // namespace

ProductCost bit_serial_cost(const Accelerator& accelerator, const Product& product, std::vector<std::string>* explain) {
  const auto rows = static_cast<double>(accelerator.rows), columns = static_cast<double>(accelerator.columns);
  const auto m = static_cast<double>(product.m), n = static_cast<double>(product.n), k = static_cast<double>(product.k);
  const auto lanes = static_cast<double>(accelerator.lanes);
  const Dataflow flow = accelerator.dataflow;
  const bool os = flow == Dataflow::kOutputStationary, is = flow == Dataflow::kInputStationary, ws = !os && !is;
  // Spatial rows and columns, and what streams by.
  const double kl = ceil_div(k, lanes);
  const double sr = os ? m : kl, sc = is ? m : n, t = os ? kl : (is ? n : m);
  const double row_folds = ceil_div(sr, rows), column_folds = ceil_div(sc, columns), folds = row_folds * column_folds;
  const double steps =
      steps_of(product.lhs_bits, accelerator.lhs_serial_bits) * steps_of(product.rhs_bits, accelerator.rhs_serial_bits);

  ProductCost cost;
  cost.macs = m * n * k;
  cost.compute_cycles = folds * t * steps;
  cost.mapped_macs = sr * sc;
  cost.mapped_slots = folds * rows * columns;

  // How often an operand is used, and so comes from DRAM where its buffer cannot hold it.
  const double lhs_uses = is ? 1.0 : column_folds, rhs_uses = os ? row_folds : (is ? column_folds : 1.0);
  const double lhs_words = m * k * lhs_uses, rhs_words = k * n * rhs_uses, out_words = m * n * (os ? 1.0 : row_folds);
  const double repeat = static_cast<double>(product.repeat);
  const double lhs = product.lhs_elements / repeat * product.lhs_bits,
               rhs = product.rhs_elements / repeat * product.rhs_bits,
               out = product.out_elements / repeat * accelerator.output_bits;
  const auto moved = [&](BufferRole role, double bits, double times) {
    return bits <= accelerator.buffer(role)->usable_bits() ? bits : bits * times;
  };
  const double lhs_moved = moved(BufferRole::kLhs, lhs, lhs_uses), rhs_moved = moved(BufferRole::kRhs, rhs, rhs_uses),
               written = os ? out : moved(BufferRole::kOut, out, row_folds);
  cost.dram_read_bits = lhs_moved + rhs_moved + (written - out);  // partial sums come back
  cost.dram_write_bits = written;
  if (accelerator.dram_bits_per_cycle > 0.0) {
    const double moving = std::ceil((cost.dram_read_bits + cost.dram_write_bits) / accelerator.dram_bits_per_cycle);
    cost.stall_cycles = std::max(0.0, moving - cost.compute_cycles);
  }
  cost.array_macs = cost.total_cycles() * rows * columns * lanes / steps;
  for (const auto& buffer : accelerator.buffers) {
    switch (buffer.role) {
      case BufferRole::kLhs: cost.buffers.push_back({lhs_words * product.lhs_bits, lhs_moved}); break;
      case BufferRole::kRhs: cost.buffers.push_back({rhs_words * product.rhs_bits, rhs_moved}); break;
      case BufferRole::kOut: cost.buffers.push_back({written, out_words * accelerator.output_bits}); break;
    }
  }
  cost.compute_nj = 1e-3 * cost.macs * accelerator.mac.pj(product.lhs_bits, product.rhs_bits);
  if (explain == nullptr) return cost;

  explain->push_back(std::string(os ? "output" : (ws ? "weight" : "input")) + " stationary: folds = ceil(" +
                     number_text(sr) + "/" + number_text(rows) + ") * ceil(" + number_text(sc) + "/" +
                     number_text(columns) + ") = " + number_text(folds));
  explain->push_back("compute cycles = folds * " + number_text(t) + " * serial steps " + number_text(steps) + " = " +
                     number_text(cost.compute_cycles));
  explain->push_back("row folds = " + number_text(row_folds) + ", column folds = " + number_text(column_folds));
  explain->push_back(
      std::string("SRAM words: lhs ") + (is ? "m * k" : "m * k * column folds") + " = " + number_text(lhs_words) +
      ", rhs " + (os ? "k * n * row folds" : (ws ? "k * n" : "k * n * column folds")) + " = " + number_text(rhs_words) +
      ", out " + (os ? "m * n" : "m * n * row folds") + " = " + number_text(out_words));
  const auto dram = [&](BufferRole role, const char* name, double bits, double times, const char* why) {
    const double usable = accelerator.buffer(role)->usable_bits();
    explain->push_back(std::string("DRAM ") + name + ": " + number_text(bits) + " bit, buffer takes " +
                       number_text(usable) +
                       (bits <= usable ? ": once" : ": once for each of " + number_text(times) + " " + why) + " = " +
                       number_text(moved(role, bits, times)) + " bit");
  };
  dram(BufferRole::kLhs, "lhs", lhs, lhs_uses, is ? "uses" : "column folds");
  dram(BufferRole::kRhs, "rhs", rhs, rhs_uses, os ? "row folds" : (is ? "column folds" : "uses"));
  dram(BufferRole::kOut, "out", out, os ? 1.0 : row_folds, os ? "uses" : "row folds");
  explain->push_back("DRAM bits = " + number_text(cost.dram_read_bits) +
                     " read (lhs + rhs + partial sums that come back) + " + number_text(cost.dram_write_bits) +
                     " written");
  if (accelerator.dram_bits_per_cycle > 0.0) {
    explain->push_back("stall = max(0, ceil(DRAM bits / " + number_text(accelerator.dram_bits_per_cycle) +
                       " bit/cycle) - compute cycles) = " + number_text(cost.stall_cycles));
  } else {
    explain->push_back("stall = 0: DRAM bandwidth is unlimited");
  }
  explain->push_back("compute energy = " + number_text(cost.macs) + " MACs * " +
                     number_text(accelerator.mac.pj(product.lhs_bits, product.rhs_bits)) + " " +
                     energy_unit(accelerator, "p") + " = " + number_text(cost.compute_nj) + " " +
                     energy_unit(accelerator, "n"));
  return cost;
}

}  // namespace bitcycle
