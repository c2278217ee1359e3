// SPDX-License-Identifier: Apache-2.0
// Hierarchies of buffers and arrays that a file describes: the mapping is searched (mapping_search.h), its words
// counted (loop_nest.h), and priced by the bit.
#include <cmath>

#include "cost_models/mapping_search.h"

namespace bitcycle {
namespace {

std::string loops_text(const NestLevel& level, bool spatial) {
  std::string text;
  for (const auto& loop : level.loops) {
    if (loop.spatial != spatial) continue;
    text += (text.empty() ? "" : " > ") + loop_names()[loop.loop] + " " + number_text(loop.trips);
  }
  return text.empty() ? "none" : text;
}

void explain_mapping(const Accelerator& accelerator, const Mapping& mapping, const LoopProblem& problem,
                     const ProductCost& cost, std::vector<std::string>& lines) {
  std::string size;
  for (std::size_t d = 0; d < kLoops; ++d) {
    size += (size.empty() ? "" : ", ") + loop_names()[d] + " " + number_text(problem.size[d]);
  }
  lines.push_back("loops: " + size);
  lines.push_back("DRAM, loops outermost first: " + loops_text(mapping.nest[0], false));
  for (std::size_t l = 0; l < accelerator.hierarchy.size(); ++l) {
    const HierarchyLevel& level = accelerator.hierarchy[l];
    if (level.array) {
      lines.push_back(level.name + ", at once: " + loops_text(mapping.nest[l + 1], true));
      continue;
    }
    const Extents tile = tile_of(mapping.nest, l + 1);
    std::string held;
    for (std::size_t role = 0; role < 3; ++role) {
      if (!level.holds[role]) continue;
      const char* names[] = {"lhs ", "rhs ", "out "};
      held += (held.empty() ? "" : ", ") + std::string(names[role]) +
              number_text(std::ceil(problem.layout.words(role, tile) - 1e-9)) + " words";
    }
    lines.push_back(level.name + ", loops: " + loops_text(mapping.nest[l + 1], false) + "; holds " + held);
  }
  lines.push_back("chosen by descent for the least " +
                  std::string(accelerator.objective == Objective::kEnergy
                                  ? "energy"
                                  : (accelerator.objective == Objective::kCycles ? "cycles" : "energy times delay")));
  lines.push_back(
      "compute cycles = product of the loops in time = " + number_text(cost.compute_cycles) +
      "; stall = slowest of the levels with a bandwidth - compute cycles = " + number_text(cost.stall_cycles));
  lines.push_back("DRAM bits = " + number_text(cost.dram_read_bits) + " read + " + number_text(cost.dram_write_bits) +
                  " written");
}

}  // namespace

ProductCost hierarchy_cost(const Accelerator& accelerator, const Product& product, std::vector<std::string>* explain) {
  const Mapping mapping = search_mapping(accelerator, product);
  ProductCost cost;
  cost.macs = product.macs() / static_cast<double>(product.repeat);
  cost.compute_cycles = mapping.cost.cycles;
  cost.stall_cycles = mapping.cost.stall;
  const double elements = static_cast<double>(accelerator.rows) * static_cast<double>(accelerator.columns);
  cost.array_macs = cost.total_cycles() * elements;
  cost.mapped_macs = cost.macs;
  cost.mapped_slots = cost.compute_cycles * elements;
  cost.buffers = mapping.cost.levels;
  cost.dram_read_bits = mapping.cost.dram_read_bits;
  cost.dram_write_bits = mapping.cost.dram_write_bits;
  cost.compute_nj = 1e-3 * cost.macs * accelerator.mac.pj(product.lhs_bits, product.rhs_bits);
  if (explain != nullptr) explain_mapping(accelerator, mapping, loop_problem(product), cost, *explain);
  return cost;
}

}  // namespace bitcycle
