// SPDX-License-Identifier: Apache-2.0
#include "cost_models/rates.h"

namespace bitcycle {

bool has_joules(const Accelerator& accelerator) { return accelerator.has_energy() && !accelerator.relative(); }

Rates rates_of(const Accelerator& accelerator, const ProductCost& cost) {
  Rates rates;
  const double operations = 2.0 * cost.macs, joules = 1e-9 * cost.total_nj();
  if (accelerator.has_time() && accelerator.clock_hz > 0.0 && cost.total_cycles() > 0.0) {
    rates.seconds = cost.total_cycles() / accelerator.clock_hz;
    rates.tops = 1e-12 * operations / *rates.seconds;
    rates.dram_gb_per_s = 1e-9 * (cost.dram_read_bits + cost.dram_write_bits) / 8.0 / *rates.seconds;
  }
  if (has_joules(accelerator) && joules > 0.0) {
    rates.tops_per_watt = 1e-12 * operations / joules;
    if (rates.seconds) {
      rates.watts = joules / *rates.seconds;
      rates.energy_delay_js = joules * *rates.seconds;
    }
  }
  return rates;
}

}  // namespace bitcycle
