// SPDX-License-Identifier: Apache-2.0
// Schedule `piecewise`: the width of the last point whose step is reached. Points stand in ascending order, the first
// at step 0; float32 is a width like any other. It does not depend on the length of the run: points behind its end
// wait.
#include <algorithm>
#include <limits>
#include <stdexcept>

#include "sim/schedule/schedule.h"

namespace bitcycle {
namespace {

class Piecewise final : public Schedule {
 public:
  explicit Piecewise(std::vector<SchedulePoint> points) : points_(std::move(points)) {}
  BitWidth at(std::int64_t step) const override {
    const auto behind = std::upper_bound(points_.begin(), points_.end(), step,
                                         [](std::int64_t s, const SchedulePoint& point) { return s < point.step; });
    return (behind - 1)->width;
  }
  std::int64_t until(std::int64_t step) const override {
    const auto behind = std::upper_bound(points_.begin(), points_.end(), step,
                                         [](std::int64_t s, const SchedulePoint& point) { return s < point.step; });
    return behind == points_.end() ? std::numeric_limits<std::int64_t>::max() : behind->step;
  }

 private:
  std::vector<SchedulePoint> points_;  // ascending, the first at step 0
};

std::unique_ptr<Schedule> make(const ScheduleSpec& spec) {
  const auto& points = spec.points;
  if (points.empty()) {
    throw std::invalid_argument(
        "schedule 'piecewise' needs points, pairs of step and width: points: [[0, 4], [1000, 8]], or the path of a CSV "
        "file of them");
  }
  if (points.front().step != 0) {
    throw std::invalid_argument("schedule 'piecewise': the first point is step " + std::to_string(points.front().step) +
                                "; the width of step 0 is missing");
  }
  for (std::size_t i = 1; i < points.size(); ++i) {
    if (points[i].step > points[i - 1].step) continue;
    throw std::invalid_argument("schedule 'piecewise': step " + std::to_string(points[i].step) + " follows step " +
                                std::to_string(points[i - 1].step) + "; the steps of points must ascend");
  }
  return std::make_unique<Piecewise>(points);
}

}  // namespace

extern const bool piecewise_schedule_registered;
const bool piecewise_schedule_registered = register_schedule("piecewise", make);

}  // namespace bitcycle
