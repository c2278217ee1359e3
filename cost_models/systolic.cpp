// SPDX-License-Identifier: Apache-2.0
// Systolic arrays, output, weight and input stationary, with the cycles, SRAM words and DRAM words of SCALE-Sim
// (docs/cost-models.md, Systolic arrays).
#include <algorithm>
#include <cmath>

#include "cost_models/product.h"
#include "cost_models/scalesim_memory.h"

namespace bitcycle {
namespace {

double real(std::int64_t value) { return static_cast<double>(value); }

/// How a product is laid on the array.
struct Mapping {
  double sr = 0.0, sc = 0.0, t = 0.0;  // spatial rows and columns, and what streams by
  double row_folds = 0.0, column_folds = 0.0;
  double folds() const { return row_folds * column_folds; }
};

Mapping map_product(const Accelerator& accelerator, const Product& product) {
  Mapping map{real(product.m), real(product.n), real(product.k)};
  if (accelerator.dataflow == Dataflow::kWeightStationary) {
    map = {real(product.k), real(product.n), real(product.m)};
  } else if (accelerator.dataflow == Dataflow::kInputStationary) {
    map = {real(product.k), real(product.m), real(product.n)};
  }
  map.row_folds = std::ceil(map.sr / real(accelerator.rows));
  map.column_folds = std::ceil(map.sc / real(accelerator.columns));
  return map;
}

/// Words of the two operands and of the results.
struct Words {
  double lhs = 0.0, rhs = 0.0, out = 0.0;
};

/// Between buffers and array.
Words sram_words(const Accelerator& accelerator, const Product& product, const Mapping& map) {
  const double m = real(product.m), n = real(product.n), k = real(product.k);
  switch (accelerator.dataflow) {
    case Dataflow::kWeightStationary: return {m * k * map.column_folds, k * n, m * n * map.row_folds};
    case Dataflow::kInputStationary: return {m * k, k * n * map.column_folds, m * n * map.row_folds};
    case Dataflow::kOutputStationary: break;
  }
  // The last term is counted by SCALE-Sim, whose reports these are equal to.
  return {m * k * map.column_folds, k * n * map.row_folds,
          m * n + map.folds() * real(accelerator.rows + accelerator.columns)};
}

/// Between DRAM and buffers; out: written. Words of one product of `repeat`.
Words dram_words(const Accelerator& accelerator, const Product& product, const Mapping& map) {
  const double n = real(product.n), k = real(product.k);
  const auto filling = [&](BufferRole role, int bits) {
    const BufferSpec& buffer = *accelerator.buffer(role);
    return words_of_a_filling(buffer.size_bits / bits, buffer.double_buffered);
  };
  Words words;
  LhsFolds folds{accelerator.dataflow, product.m,           product.k,
                 accelerator.rows,     accelerator.columns, static_cast<std::int64_t>(map.column_folds)};
  words.lhs = lhs_fetches(folds, product.windows, filling(BufferRole::kLhs, product.lhs_bits));
  const double rhs_filling = filling(BufferRole::kRhs, product.rhs_bits);
  double written = real(product.m) * n;
  switch (accelerator.dataflow) {
    case Dataflow::kOutputStationary: {
      const double columns = real(accelerator.columns), last = n - (map.column_folds - 1.0) * columns;
      words.rhs = fetches_in_order(k * columns, k * last, map.column_folds, map.row_folds, rhs_filling);
      break;
    }
    case Dataflow::kWeightStationary:
      words.rhs = k * n;
      written *= map.row_folds;
      break;
    case Dataflow::kInputStationary:
      words.rhs = fetches_in_order(k * n, k * n, 1.0, map.column_folds, rhs_filling);
      written *= map.row_folds;
      break;
  }
  const BufferSpec& out = *accelerator.buffer(BufferRole::kOut);
  words.out = drained_words(written, out.size_bits / accelerator.output_bits, out.double_buffered, accelerator.columns);
  return words;
}

std::string words_text(const std::string& formula, double value) { return formula + " = " + number_text(value); }

void explain_cost(const Accelerator& accelerator, const Product& product, const Mapping& map, const Words& sram,
                  const Words& dram, const ProductCost& cost, std::vector<std::string>& lines) {
  const Dataflow flow = accelerator.dataflow;
  const bool os = flow == Dataflow::kOutputStationary, ws = flow == Dataflow::kWeightStationary, is = !os && !ws;
  lines.push_back(std::string(os ? "output" : (ws ? "weight" : "input")) + " stationary: folds = ceil(" +
                  number_text(map.sr) + "/" + std::to_string(accelerator.rows) + ") * ceil(" + number_text(map.sc) +
                  "/" + std::to_string(accelerator.columns) + ") = " + number_text(map.folds()));
  const double edge = real((os ? 1 : 2) * accelerator.rows + accelerator.columns - 2);
  lines.push_back("compute cycles = folds * (" + number_text(map.t) + " + " + number_text(edge) +
                  ") - 1 = " + number_text(cost.compute_cycles));
  lines.push_back("row folds = " + number_text(map.row_folds) + ", column folds = " + number_text(map.column_folds));
  lines.push_back("SRAM words: lhs " + words_text(is ? "m * k" : "m * k * column folds", sram.lhs) + ", rhs " +
                  words_text(os ? "k * n * row folds" : (ws ? "k * n" : "k * n * column folds"), sram.rhs) + ", out " +
                  words_text(os ? "m * n + folds * (rows + columns)" : "m * n * row folds", sram.out));
  const auto fetched = [&](const char* name, BufferRole role, int bits, double words) {
    const BufferSpec& buffer = *accelerator.buffer(role);
    lines.push_back(std::string("DRAM ") + name + ": " + number_text(words) + " words of " + std::to_string(bits) +
                    " bits fetched; " + buffer.name + " is filled with " +
                    number_text(words_of_a_filling(buffer.size_bits / bits, buffer.double_buffered)) +
                    " words at a time, then emptied");
  };
  fetched("lhs", BufferRole::kLhs, product.lhs_bits, dram.lhs);
  fetched("rhs", BufferRole::kRhs, product.rhs_bits, dram.rhs);
  lines.push_back("DRAM out: " + number_text(dram.out) + " words of " + std::to_string(accelerator.output_bits) +
                  " bits written (" + (os ? "m * n" : "m * n * row folds: partial sums leave, and come back") +
                  ", and what SCALE-Sim adds for a partial line)");
  lines.push_back("DRAM bits = " + number_text(cost.dram_read_bits) + " read" +
                  (os ? " (lhs + rhs)" : " (lhs + rhs + partial sums that come back)") + " + " +
                  number_text(cost.dram_write_bits) + " written");
  if (accelerator.dram_bits_per_cycle > 0.0) {
    lines.push_back("stall = max(0, ceil(DRAM bits / " + number_text(accelerator.dram_bits_per_cycle) +
                    " bit/cycle) - compute cycles) = " + number_text(cost.stall_cycles));
  } else {
    lines.push_back("stall = 0: DRAM bandwidth is unlimited");
  }
  lines.push_back("compute energy = " + number_text(cost.macs) + " MACs * " +
                  number_text(accelerator.mac.pj(product.lhs_bits, product.rhs_bits)) + " " +
                  energy_unit(accelerator, "p") + " = " + number_text(cost.compute_nj) + " " +
                  energy_unit(accelerator, "n"));
}

}  // namespace

ProductCost systolic_cost(const Accelerator& accelerator, const Product& product, std::vector<std::string>* explain) {
  const Mapping map = map_product(accelerator, product);
  const bool os = accelerator.dataflow == Dataflow::kOutputStationary;
  const double m = real(product.m), n = real(product.n), k = real(product.k);
  ProductCost cost;
  cost.macs = m * n * k;
  // SCALE-Sim reports the index of the last cycle, one less than the count.
  cost.compute_cycles = map.folds() * (map.t + real((os ? 1 : 2) * accelerator.rows + accelerator.columns - 2)) - 1.0;
  cost.mapped_macs = map.sr * map.sc;
  cost.mapped_slots = map.folds() * real(accelerator.rows) * real(accelerator.columns);

  const Words sram = sram_words(accelerator, product, map), dram = dram_words(accelerator, product, map);
  const double lhs = dram.lhs * product.lhs_bits, rhs = dram.rhs * product.rhs_bits;
  const double written = dram.out * accelerator.output_bits;
  // Partial sums that left come back to be added to; SCALE-Sim does not report that.
  const double back = os ? 0.0 : m * n * (map.row_folds - 1.0) * accelerator.output_bits;
  cost.dram_read_bits = lhs + rhs + back;
  cost.dram_write_bits = written;
  if (accelerator.dram_bits_per_cycle > 0.0) {
    const double moving = std::ceil((cost.dram_read_bits + cost.dram_write_bits) / accelerator.dram_bits_per_cycle);
    cost.stall_cycles = std::max(0.0, moving - cost.compute_cycles);
  }
  cost.array_macs = cost.total_cycles() * real(accelerator.rows) * real(accelerator.columns);
  for (const auto& buffer : accelerator.buffers) {
    switch (buffer.role) {
      case BufferRole::kLhs: cost.buffers.push_back({sram.lhs * product.lhs_bits, lhs}); break;
      case BufferRole::kRhs: cost.buffers.push_back({sram.rhs * product.rhs_bits, rhs}); break;
      case BufferRole::kOut: cost.buffers.push_back({written, sram.out * accelerator.output_bits}); break;
    }
  }
  cost.compute_nj = 1e-3 * cost.macs * accelerator.mac.pj(product.lhs_bits, product.rhs_bits);
  if (explain != nullptr) explain_cost(accelerator, product, map, sram, dram, cost, *explain);
  return cost;
}

}  // namespace bitcycle
