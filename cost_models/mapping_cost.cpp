// SPDX-License-Identifier: Apache-2.0
// The loops of a product, and what a way to lay them costs.
#include <algorithm>
#include <cmath>

#include "cost_models/mapping_search.h"

namespace bitcycle {
namespace {

double width_of(const Accelerator& accelerator, const Product& product, std::size_t role) {
  return role == 0 ? product.lhs_bits : (role == 1 ? product.rhs_bits : accelerator.output_bits);
}

}  // namespace

bool fits_level(const Accelerator& accelerator, const Product& product, const LoopProblem& problem, std::size_t at,
                const Extents& tile) {
  const HierarchyLevel& level = accelerator.hierarchy[at];
  if (level.array) return true;
  double bits = 0.0;
  for (std::size_t role = 0; role < 3; ++role) {
    if (level.holds[role]) bits += problem.layout.words(role, tile) * width_of(accelerator, product, role);
  }
  return bits <= level.usable_bits;
}

LoopProblem loop_problem(const Product& product) {
  const auto real = [](std::int64_t v) { return static_cast<double>(v); };
  LoopProblem problem;
  problem.size.fill(1.0);
  const Windows& w = product.windows;
  problem.size[kOutChannels] = real(product.n);
  if (w.images == 0) {
    problem.size[kImages] = real(product.m);
    problem.size[kInChannels] = real(product.k);
    return problem;
  }
  problem.size[kImages] = real(w.images);
  problem.size[kInChannels] = real(w.channels);
  problem.size[kOutRows] = real(w.out_height);
  problem.size[kOutColumns] = real(w.out_width);
  problem.size[kKernelRows] = real(w.kernel_height);
  problem.size[kKernelColumns] = real(w.kernel_width);
  problem.layout.stride_height = w.stride_height;
  problem.layout.stride_width = w.stride_width;
  problem.layout.dilation_height = w.dilation_height;
  problem.layout.dilation_width = w.dilation_width;
  if (w.transposed) problem.layout.tensor = {kInputTensor, kOutputTensor, kWeightTensor};
  problem.layout.density = touched_elements(w) * real(w.images) / problem.layout.words(0, problem.size);
  problem.layout.density = std::min(1.0, problem.layout.density);
  return problem;
}

bool fits(const Accelerator& accelerator, const Product& product, const LoopProblem& problem, const LoopNest& nest) {
  for (std::size_t l = 0; l < accelerator.hierarchy.size(); ++l) {
    if (!fits_level(accelerator, product, problem, l, tile_of(nest, l + 1))) return false;
  }
  return true;
}

MappedCost cost_of_nest(const Accelerator& accelerator, const Product& product, const LoopProblem& problem,
                        const LoopNest& nest) {
  const NestCounts counts = count_words(nest, problem.layout);
  MappedCost cost;
  cost.cycles = counts.cycles;
  const auto busy = [&](double bits, double bits_per_cycle) {
    if (bits_per_cycle > 0.0) cost.stall = std::max(cost.stall, std::ceil(bits / bits_per_cycle) - cost.cycles);
  };
  for (std::size_t role = 0; role < 3; ++role) {
    const double bits = width_of(accelerator, product, role);
    cost.dram_read_bits += counts.levels[0][role].reads * bits;
    cost.dram_write_bits += counts.levels[0][role].updates * bits;
  }
  for (std::size_t l = 0; l < accelerator.hierarchy.size(); ++l) {
    BufferTraffic traffic;
    for (std::size_t role = 0; role < 3; ++role) {
      const double bits = width_of(accelerator, product, role);
      if (accelerator.hierarchy[l].array) {
        traffic.read_bits += counts.transfers[role][l + 1] * bits;
        continue;
      }
      const LevelCounts& words = counts.levels[l + 1][role];
      traffic.read_bits += words.reads * counts.instances[l + 1] * bits;
      traffic.write_bits += (words.fills + words.updates) * counts.instances[l + 1] * bits;
    }
    busy((traffic.read_bits + traffic.write_bits) / counts.instances[l + 1], accelerator.hierarchy[l].bits_per_cycle);
    cost.nj += 1e-3 * (traffic.read_bits * accelerator.buffers[l].read_pj_per_bit +
                       traffic.write_bits * accelerator.buffers[l].write_pj_per_bit);
    cost.levels.push_back(traffic);
  }
  busy(cost.dram_read_bits + cost.dram_write_bits, accelerator.dram_bits_per_cycle);
  cost.nj += 1e-3 * (cost.dram_read_bits + cost.dram_write_bits) * accelerator.dram_pj_per_bit;
  return cost;
}

double objective_of(const Accelerator& accelerator, const Product& product, const MappedCost& cost) {
  const double time = cost.cycles + cost.stall;
  const double macs = product.macs() / static_cast<double>(product.repeat);
  const double leakage = accelerator.leakage_mw * 1e6 * time / accelerator.clock_hz;
  const double energy = cost.nj + leakage + 1e-3 * macs * accelerator.mac.pj(product.lhs_bits, product.rhs_bits);
  // The second figure decides where the first is equal.
  switch (accelerator.objective) {
    case Objective::kEnergy: return energy * (1.0 + 1e-6 * time / (time + macs));
    case Objective::kCycles: return time * (1.0 + 1e-6 * energy / (energy + 1e6));
    case Objective::kEnergyDelay: return energy * time;
  }
  return energy * time;
}

}  // namespace bitcycle
