// SPDX-License-Identifier: Apache-2.0
// Spliced: schedules one after the other: what a layer's widths were before the steps of the plan's own schedule.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "sim/schedule/schedule.h"

namespace bitcycle {

class Spliced final : public Schedule {
 public:
  /// `schedule` gives the widths of the steps before `until`, behind the part before it.
  struct Part {
    std::int64_t until = 0;
    const Schedule* schedule = nullptr;
  };
  /// Contract: `until` ascends; the schedules live on.
  Spliced(std::vector<Part> parts, const Schedule* rest) : parts_(std::move(parts)), rest_(rest) {}
  BitWidth at(std::int64_t step) const override {
    for (const auto& part : parts_) {
      if (step < part.until) return part.schedule->at(step);
    }
    return rest_->at(step);
  }
  std::int64_t until(std::int64_t step) const override {
    for (const auto& part : parts_) {
      if (step < part.until) return std::min(part.until, part.schedule->until(step));
    }
    return rest_->until(step);
  }

 private:
  std::vector<Part> parts_;
  const Schedule* rest_;
};

}  // namespace bitcycle
