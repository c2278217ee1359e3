// SPDX-License-Identifier: Apache-2.0
// The search for how a product's loops are laid over a hierarchy: which loops the arrays' rows and columns take, how
// large a tile each buffer holds, and in which order the loops outside it run.
//
// Arrays first: of all ways to spread one or two loops over rows and over columns, the few that need the fewest steps.
// For each of them tiles and orders by descent: grow or shrink one loop of one level, or change one level's order, as
// long as that lowers the objective, from tiles of one element and from tiles that fill the buffers. The descent is not
// exhaustive; docs/cost-models.md says how far it was seen from the best.
#pragma once

#include "cost_models/product.h"

namespace bitcycle {

/// The loops of a product and what its operands are.
struct LoopProblem {
  Extents size{};
  ProductLayout layout;
};
LoopProblem loop_problem(const Product& product);

/// What a mapping costs; words are of all instances, levels as in the accelerator's hierarchy.
struct MappedCost {
  double cycles = 0.0, stall = 0.0, nj = 0.0;
  std::vector<BufferTraffic> levels;  // an array's transfers as reads
  double dram_read_bits = 0.0, dram_write_bits = 0.0;
};

struct Mapping {
  LoopNest nest;  // level 0 is the DRAM
  MappedCost cost;
};

/// Traffic and energy of a nest: everything but the arithmetic.
MappedCost cost_of_nest(const Accelerator& accelerator, const Product& product, const LoopProblem& problem,
                        const LoopNest& nest);
/// Whether a tile fits the buffer of level `at`; an array holds nothing.
bool fits_level(const Accelerator& accelerator, const Product& product, const LoopProblem& problem, std::size_t at,
                const Extents& tile);
/// Whether every tile fits its buffer.
bool fits(const Accelerator& accelerator, const Product& product, const LoopProblem& problem, const LoopNest& nest);
/// The least objective that was found. Throws std::invalid_argument where not even one element of each operand fits.
Mapping search_mapping(const Accelerator& accelerator, const Product& product);
/// The objective's figure of a mapping: less is better.
double objective_of(const Accelerator& accelerator, const Product& product, const MappedCost& cost);

}  // namespace bitcycle
