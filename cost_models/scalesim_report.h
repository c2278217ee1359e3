// SPDX-License-Identifier: Apache-2.0
// A pricing in the columns of SCALE-Sim's reports. The columns Layer, Pass, LHS Bits and RHS Bits follow those of
// SCALE-Sim: several passes and widths of a layer are lines of their own.
#pragma once

#include <string>

#include "cost_models/pricing.h"

namespace bitcycle {

/// SCALE-Sim's Compute Util %: MACs over the slots of the compute matrices, which for ws and is are rows - 1 longer a
/// fold than the demand that cycles are counted from.
double scalesim_compute_utilisation(const Accelerator& accelerator, const ProductCost& cost);
/// COMPUTE_REPORT.csv.
std::string scalesim_compute_report(const Pricing& pricing);
/// The word counts of DETAILED_ACCESS_REPORT.csv.
std::string scalesim_access_report(const Pricing& pricing);

}  // namespace bitcycle
