// SPDX-License-Identifier: Apache-2.0
// What follows from a cost and the clock: time, power, throughput, efficiency, bandwidth.
#pragma once

#include <optional>

#include "cost_models/product.h"

namespace bitcycle {

/// What the accelerator cannot say is absent: time without a clock, energies in joules where they are relative.
struct Rates {
  std::optional<double> seconds;          // total cycles / clock
  std::optional<double> watts;            // energy / seconds
  std::optional<double> tops;             // 1e12 operations a second; a MAC is two
  std::optional<double> tops_per_watt;    // 2 * MACs / energy, 1e12 operations a joule
  std::optional<double> energy_delay_js;  // joules * seconds
  std::optional<double> dram_gb_per_s;    // 1e9 bytes a second, read and written
};

/// True where the accelerator's energies are joules, not multiples of some operation's.
bool has_joules(const Accelerator& accelerator);

Rates rates_of(const Accelerator& accelerator, const ProductCost& cost);

}  // namespace bitcycle
