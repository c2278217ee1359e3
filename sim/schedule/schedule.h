// SPDX-License-Identifier: Apache-2.0
// Schedule: a pure function from the step to a number of bits. One small file each, registered by
// name; docs/extending.md shows how to add one.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "sim/number/bit_width.h"

namespace bitcycle {

/// From this step on, this width.
struct SchedulePoint {
  std::int64_t step = 0;
  BitWidth width;
  bool operator==(const SchedulePoint&) const = default;
};

/// What a schedule is made from. A schedule that does not use a field ignores it.
struct ScheduleSpec {
  std::string name = "constant";           // constant, cyclic_cosine, linear, piecewise, triangular
  BitWidth min;                            // constant, piecewise: ignored
  BitWidth max;                            // piecewise: ignored
  std::int64_t cycles = 1;                 // constant, piecewise: ignored
  std::int64_t steps = 1;                  // length of the run
  std::vector<SchedulePoint> points = {};  // piecewise alone
  bool operator==(const ScheduleSpec&) const = default;
};

/// The more precise of two widths: more bits, and float32 above every integer.
BitWidth wider_of(BitWidth a, BitWidth b);
/// The largest width that a schedule names, reached within the run or not: the baseline of savings.
BitWidth largest_width(const ScheduleSpec& spec);
/// The smallest.
BitWidth smallest_width(const ScheduleSpec& spec);

class Schedule {
 public:
  virtual ~Schedule() = default;
  /// Width at a step, 0 <= step < steps. Contract: a pure function, the same on every machine.
  virtual BitWidth at(std::int64_t step) const = 0;
  /// A later step up to which, exclusive, the width is that of `step`: what makes long runs cheap to count.
  virtual std::int64_t until(std::int64_t step) const { return step + 1; }
  /// Steps after which the widths repeat, from step 0 on for ever; 0: nothing is known to repeat.
  virtual std::int64_t period() const { return 0; }
};

/// Throws std::invalid_argument for an unknown name (listing the known ones), min above max, cycles
/// outside 1..steps, float32 where the schedule needs integers, points that are missing, out of order, or given to a
/// schedule that does not use them.
std::unique_ptr<Schedule> make_schedule(const ScheduleSpec& spec);
std::vector<std::string> schedule_names();

using ScheduleFactory = std::unique_ptr<Schedule> (*)(const ScheduleSpec&);
/// Registration: one namespace-scope constant a file, `const bool NAME_schedule_registered = register_schedule(...)`,
/// and a line in list.inl.
bool register_schedule(const std::string& name, ScheduleFactory factory);

/// For schedules that run from min to max in cycles: throws where min and max are not integers in order, or cycles are
/// not 1..steps.
void check_cycles(const ScheduleSpec& spec);

/// The end of the stretch of equal widths from `step` on, before `end`, of a schedule that only rises or only falls
/// between the two.
std::int64_t end_of_width(const Schedule& schedule, std::int64_t step, std::int64_t end);

/// A stretch of steps at one width: [first_step, last_step].
struct Dwell {
  std::int64_t first_step = 0;
  std::int64_t steps = 0;
  BitWidth width;
};
std::vector<Dwell> dwell_table(const Schedule& schedule, std::int64_t steps);

}  // namespace bitcycle
