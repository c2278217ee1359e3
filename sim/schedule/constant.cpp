// SPDX-License-Identifier: Apache-2.0
// Schedule `constant`: one width, `max`, at every step: a static training, quantised or float32.
#include <limits>

#include "sim/schedule/schedule.h"

namespace bitcycle {
namespace {

class Constant final : public Schedule {
 public:
  explicit Constant(BitWidth width) : width_(width) {}
  BitWidth at(std::int64_t) const override { return width_; }
  std::int64_t until(std::int64_t) const override { return std::numeric_limits<std::int64_t>::max(); }
  std::int64_t period() const override { return 1; }

 private:
  BitWidth width_;
};

std::unique_ptr<Schedule> make(const ScheduleSpec& spec) { return std::make_unique<Constant>(spec.max); }

}  // namespace

extern const bool constant_schedule_registered;
const bool constant_schedule_registered = register_schedule("constant", make);

}  // namespace bitcycle
