// SPDX-License-Identifier: Apache-2.0
// Grids: what codes of a group stand for, value = lo + step * code, by a quantiser (sim/quantisers; docs/numerics.md,
// 2).
//   fit_grid       from this step's range, by `affine`: lo = min, step = max((max - min) / (2^b - 1), min_scale)
//   running_range  (zero point, range) of evaluation moves: fl(fl(0.9 * old) + fl(0.1 * now)) (2.5)
//   running_grid   from the running state
//   step_bounds    for each of some grids 1 where the step of any group is min_scale, else 0 (2.3)
#pragma once

#include "sim/ops/op.h"
#include "sim/quantisers/quantiser.h"

namespace bitcycle::ops {

struct FitGrid {
  static constexpr const char* kName = "fit_grid";
  Tensor ranges;  // range (groups)
  Tensor width;   // width ()
  Tensor grid;    // grid (groups)
  MinScale min_scale;
  std::string quantiser = kAffine;

  template <typename Self, typename Visit>
  static void each_tensor(Self& self, Visit visit) {
    visit("ranges", self.ranges, Access::kRead);
    visit("width", self.width, Access::kRead);
    visit("grid", self.grid, Access::kWrite);
  }
};

struct RunningRange {
  static constexpr const char* kName = "running_range";
  Tensor range;    // range ()
  Tensor running;  // float32 (2): zero point, range

  template <typename Self, typename Visit>
  static void each_tensor(Self& self, Visit visit) {
    visit("range", self.range, Access::kRead);
    visit("running", self.running, Access::kUpdate);
  }
};

struct RunningGrid {
  static constexpr const char* kName = "running_grid";
  Tensor running;  // float32 (2)
  Tensor width;    // width ()
  Tensor grid;     // grid ()
  MinScale min_scale;
  std::string quantiser = kAffine;

  template <typename Self, typename Visit>
  static void each_tensor(Self& self, Visit visit) {
    visit("running", self.running, Access::kRead);
    visit("width", self.width, Access::kRead);
    visit("grid", self.grid, Access::kWrite);
  }
};

struct StepBounds {
  static constexpr const char* kName = "step_bounds";
  std::vector<Tensor> grids;  // grid (groups)
  Tensor bounds;              // uint32 (grids)

  template <typename Self, typename Visit>
  static void each_tensor(Self& self, Visit visit) {
    for (auto& grid : self.grids) visit("grids", grid, Access::kRead);
    visit("bounds", self.bounds, Access::kWrite);
  }
};

void check(const FitGrid& op, const Operands& operands);
void run(const FitGrid& op, const StepMemory& memory);
void check(const RunningRange& op, const Operands& operands);
void run(const RunningRange& op, const StepMemory& memory);
void check(const RunningGrid& op, const Operands& operands);
void run(const RunningGrid& op, const StepMemory& memory);
void check(const StepBounds& op, const Operands& operands);
void run(const StepBounds& op, const StepMemory& memory);

}  // namespace bitcycle::ops
