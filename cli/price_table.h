// SPDX-License-Identifier: Apache-2.0
// A pricing as people read it.
#pragma once

#include <ostream>
#include <string>
#include <vector>

#include "cost_models/pricing.h"

namespace bitcycle::cli {

/// What is priced, and what it is compared with.
struct Priced {
  std::string heading, against;
  std::vector<Pricing> costs, baselines;  // baselines: none, or one each
  MemoryNeed memory;
  bool training = true;            // a step keeps something
  std::vector<std::string> notes;  // sentences on how the layers were read
};

/// Totals, rates, and each accelerator's passes; with `layers` also its layers.
void print_pricing(std::ostream& out, const Priced& priced, bool layers);

/// "1.234 mJ"; of an accelerator with relative energies "1.234e+09 units".
std::string energy_text(const Accelerator& accelerator, double nj);
/// "81.2 us".
std::string seconds_text(double seconds);

}  // namespace bitcycle::cli
