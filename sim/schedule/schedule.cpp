// SPDX-License-Identifier: Apache-2.0
// The registry of schedules, and what can be said of any of them.
#include "sim/schedule/schedule.h"

#include <map>
#include <stdexcept>

namespace bitcycle {

#define BITCYCLE_SCHEDULE(name) extern const bool name##_schedule_registered;
#include "sim/schedule/list.inl"
#undef BITCYCLE_SCHEDULE

namespace {

constexpr const bool* kRegistered[] = {
#define BITCYCLE_SCHEDULE(name) &name##_schedule_registered,
#include "sim/schedule/list.inl"
#undef BITCYCLE_SCHEDULE
};

std::map<std::string, ScheduleFactory>& registry() {
  static std::map<std::string, ScheduleFactory> factories;
  return factories;
}

}  // namespace

bool register_schedule(const std::string& name, ScheduleFactory factory) {
  return registry().emplace(name, factory).second;
}

std::vector<std::string> schedule_names() {
  std::vector<std::string> names;
  for (const bool* registered : kRegistered) {
    if (!*registered) throw std::logic_error("a schedule is registered twice");
  }
  for (const auto& [name, factory] : registry()) names.push_back(name);
  return names;
}

std::unique_ptr<Schedule> make_schedule(const ScheduleSpec& spec) {
  std::string known;
  for (const auto& name : schedule_names()) {
    if (name == spec.name) {
      if (!spec.points.empty() && name != "piecewise") {
        throw std::invalid_argument("points are given, and schedule '" + name +
                                    "' does not use them; set schedule: piecewise, or points: []");
      }
      return registry().at(name)(spec);
    }
    known += (known.empty() ? "" : ", ") + name;
  }
  throw std::invalid_argument("schedule '" + spec.name + "' is unknown; the schedules are " + known);
}

BitWidth wider_of(BitWidth a, BitWidth b) {
  if (a.is_float32() || b.is_float32()) return BitWidth::float32();
  return a.bits() >= b.bits() ? a : b;
}

BitWidth largest_width(const ScheduleSpec& spec) {
  if (spec.name != "piecewise" || spec.points.empty()) return spec.max;
  BitWidth width = spec.points.front().width;
  for (const auto& point : spec.points) width = wider_of(width, point.width);
  return width;
}

BitWidth smallest_width(const ScheduleSpec& spec) {
  if (spec.name == "constant") return spec.max;
  if (spec.name != "piecewise" || spec.points.empty()) return spec.min;
  BitWidth width = spec.points.front().width;
  for (const auto& point : spec.points) {
    if (wider_of(width, point.width) == width) width = point.width;
  }
  return width;
}

void check_cycles(const ScheduleSpec& spec) {
  const std::string name = "schedule '" + spec.name + "'";
  if (spec.min.is_float32() || spec.max.is_float32()) {
    throw std::invalid_argument(name + " needs integer widths 2..32 for min and max; float32 is for 'constant' and " +
                                "'piecewise'");
  }
  if (spec.min > spec.max) {
    throw std::invalid_argument(name + ": min is " + spec.min.text() + ", above max " + spec.max.text());
  }
  if (spec.cycles < 1 || spec.cycles > spec.steps) {
    throw std::invalid_argument(name + ": cycles is " + std::to_string(spec.cycles) +
                                "; it must be 1 to the number of steps, " + std::to_string(spec.steps));
  }
}

std::int64_t end_of_width(const Schedule& schedule, std::int64_t step, std::int64_t end) {
  const BitWidth width = schedule.at(step);
  std::int64_t low = step + 1, high = end;  // the first step in [low, high] that has another width, or end
  while (low < high) {
    const std::int64_t middle = low + (high - low) / 2;
    if (schedule.at(middle) == width) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

std::vector<Dwell> dwell_table(const Schedule& schedule, std::int64_t steps) {
  std::vector<Dwell> table;
  for (std::int64_t step = 0; step < steps;) {
    const BitWidth width = schedule.at(step);
    const std::int64_t next = std::min(schedule.until(step), steps);
    if (table.empty() || table.back().width != width) table.push_back({step, 0, width});
    table.back().steps += next - step;
    step = next;
  }
  return table;
}

}  // namespace bitcycle
