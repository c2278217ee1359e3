// SPDX-License-Identifier: Apache-2.0
// Schedule `cyclic_cosine`, of Cyclic Precision Training: with P = int(steps / cycles),
//   b = rint(min + 0.5*(max - min)*(1 + cos(pi*((t mod P)/P) + pi))),
// in binary64, ties to even: from min up to max within each period, then back to min at once.
#include <algorithm>
#include <cmath>
#include <numbers>

#include "sim/number/elementary.h"
#include "sim/schedule/schedule.h"

namespace bitcycle {
namespace {

class CyclicCosine final : public Schedule {
 public:
  CyclicCosine(int min, int max, std::int64_t period) : period_(period) {
    // A period's widths never fall, so the steps at which each width begins are all there is to know.
    for (int bits = min; bits <= max; ++bits) {
      std::int64_t low = 0, high = period;  // the first t in [0, period] that has reached `bits`
      while (low < high) {
        const std::int64_t middle = low + (high - low) / 2;
        if (formula(min, max, middle) >= bits) {
          high = middle;
        } else {
          low = middle + 1;
        }
      }
      begins_.push_back(low);
      widths_.push_back(BitWidth::integer(bits));
    }
  }

  BitWidth at(std::int64_t step) const override {
    const std::int64_t t = step % period_;
    std::size_t i = begins_.size() - 1;
    while (i > 0 && begins_[i] > t) --i;
    return widths_[i];
  }

  std::int64_t until(std::int64_t step) const override {
    const std::int64_t t = step % period_;
    const auto next = std::upper_bound(begins_.begin(), begins_.end(), t);
    return step - t + (next == begins_.end() ? period_ : *next);
  }
  std::int64_t period() const override { return period_; }

 private:
  int formula(int min, int max, std::int64_t t) const {
    const double pi = std::numbers::pi;
    const double phase = static_cast<double>(t) / static_cast<double>(period_);
    return static_cast<int>(rint(min + 0.5 * (max - min) * (1.0 + cos_f64(pi * phase + pi))));
  }

  std::int64_t period_;
  std::vector<std::int64_t> begins_;
  std::vector<BitWidth> widths_;
};

std::unique_ptr<Schedule> make(const ScheduleSpec& spec) {
  check_cycles(spec);
  return std::make_unique<CyclicCosine>(spec.min.bits(), spec.max.bits(), spec.steps / spec.cycles);
}

}  // namespace

extern const bool cyclic_cosine_schedule_registered;
const bool cyclic_cosine_schedule_registered = register_schedule("cyclic_cosine", make);

}  // namespace bitcycle
