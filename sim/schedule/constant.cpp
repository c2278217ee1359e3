// SPDX-License-Identifier: Apache-2.0
// Schedule `constant`: one width, `max`, at every step: a static training, quantised or float32.
#include "sim/schedule/schedule.h"

namespace bitcycle {
namespace {

class Constant final : public Schedule {
 public:
  explicit Constant(BitWidth width) : width_(width) {}
  BitWidth at(std::int64_t) const override { return width_; }

 private:
  BitWidth width_;
};

std::unique_ptr<Schedule> make(const ScheduleSpec& spec) { return std::make_unique<Constant>(spec.max); }

}  // namespace

extern const bool constant_schedule_registered;
const bool constant_schedule_registered = register_schedule("constant", make);

}  // namespace bitcycle
