// SPDX-License-Identifier: Apache-2.0
// Schedule `linear`: with P = int(steps / cycles) + 1 and z = (t mod P) / P, in binary64,
//   b = rint(min + (max - min) * z), ties to even:
// a straight rise from min towards max in every cycle, then back to min at once (LR of arXiv 2403.02243).
#include <cmath>

#include "sim/schedule/schedule.h"

namespace bitcycle {
namespace {

class Linear final : public Schedule {
 public:
  Linear(int min, int max, std::int64_t period) : min_(min), max_(max), period_(period) {}
  BitWidth at(std::int64_t step) const override {
    const double z = static_cast<double>(step % period_) / static_cast<double>(period_);
    return BitWidth::integer(static_cast<int>(std::rint(min_ + (max_ - min_) * z)));
  }
  std::int64_t until(std::int64_t step) const override {
    return end_of_width(*this, step, (step / period_ + 1) * period_);
  }
  std::int64_t period() const override { return period_; }

 private:
  int min_, max_;
  std::int64_t period_;
};

std::unique_ptr<Schedule> make(const ScheduleSpec& spec) {
  check_cycles(spec);
  return std::make_unique<Linear>(spec.min.bits(), spec.max.bits(), spec.steps / spec.cycles + 1);
}

}  // namespace

extern const bool linear_schedule_registered;
const bool linear_schedule_registered = register_schedule("linear", make);

}  // namespace bitcycle
