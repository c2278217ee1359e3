// SPDX-License-Identifier: Apache-2.0
// Pricings for programs: CSV and JSON.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "cost_models/pricing.h"

namespace bitcycle {

/// layer,pass,lhs_bits,rhs_bits,m,n,k,macs,total_cycles,compute_cycles,stall_cycles,utilisation, each buffer's
/// <name>_read_bits,<name>_write_bits,
/// dram_read_bits,dram_write_bits,compute_nj,buffers_nj,dram_nj,leakage_nj,total_nj,
/// compulsory_bits,bitops,steps,accelerator,effective_macs,seconds. Several accelerators share the header; what one has
/// not is empty. Where one has relative energies, its nj columns are empty, and five columns follow: compute_units,
/// buffers_units,dram_units,leakage_units,total_units.
std::string pricing_csv(const std::vector<Pricing>& pricings);

/// Figures of a cost: counts, cycles, bits, energies (compute_nj ... or, where they are relative, compute_units ...),
/// seconds, watts, tops, tops_per_watt, energy_delay_js, dram_gb_per_s.
nlohmann::ordered_json cost_json(const Accelerator& accelerator, const ProductCost& cost);
nlohmann::ordered_json pricing_json(const Pricing& pricing, const Pricing* baseline);

}  // namespace bitcycle
