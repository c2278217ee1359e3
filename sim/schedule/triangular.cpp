// SPDX-License-Identifier: Apache-2.0
// Schedule `triangular`: ramps of P = int(steps / cycles) + 1 steps, z = (t mod P) / P, in binary64, ties to even:
//   b = rint(max - (max - min) * z) in the first ramp and every second one after it, falling,
//   b = rint(min + (max - min) * z) in the others, rising (LT of arXiv 2403.02243).
// `cycles` counts ramps: the run starts at max, and ends there where their number is even.
#include <cmath>

#include "sim/schedule/schedule.h"

namespace bitcycle {
namespace {

class Triangular final : public Schedule {
 public:
  Triangular(int min, int max, std::int64_t ramp) : min_(min), max_(max), ramp_(ramp) {}
  BitWidth at(std::int64_t step) const override {
    const double z = static_cast<double>(step % ramp_) / static_cast<double>(ramp_);
    const bool falling = step / ramp_ % 2 == 0;
    return BitWidth::integer(
        static_cast<int>(std::rint(falling ? max_ - (max_ - min_) * z : min_ + (max_ - min_) * z)));
  }
  std::int64_t until(std::int64_t step) const override { return end_of_width(*this, step, (step / ramp_ + 1) * ramp_); }
  std::int64_t period() const override { return 2 * ramp_; }

 private:
  int min_, max_;
  std::int64_t ramp_;
};

std::unique_ptr<Schedule> make(const ScheduleSpec& spec) {
  check_cycles(spec);
  return std::make_unique<Triangular>(spec.min.bits(), spec.max.bits(), spec.steps / spec.cycles + 1);
}

}  // namespace

extern const bool triangular_schedule_registered;
const bool triangular_schedule_registered = register_schedule("triangular", make);

}  // namespace bitcycle
