// SPDX-License-Identifier: Apache-2.0
// The registry of schedules, and what can be said of any of them.
#include "sim/schedule/schedule.h"

#include <map>
#include <stdexcept>

namespace bitcycle {

// Every schedule's registration, named here so that no linker drops its file from the library.
extern const bool constant_schedule_registered;
extern const bool cyclic_cosine_schedule_registered;

namespace {

std::map<std::string, ScheduleFactory>& registry() {
  static std::map<std::string, ScheduleFactory> factories;
  return factories;
}

bool all_registered() { return constant_schedule_registered && cyclic_cosine_schedule_registered; }

}  // namespace

bool register_schedule(const std::string& name, ScheduleFactory factory) {
  return registry().emplace(name, factory).second;
}

std::vector<std::string> schedule_names() {
  std::vector<std::string> names;
  if (!all_registered()) throw std::logic_error("a schedule is registered twice");
  for (const auto& [name, factory] : registry()) names.push_back(name);
  return names;
}

std::unique_ptr<Schedule> make_schedule(const ScheduleSpec& spec) {
  std::string known;
  for (const auto& name : schedule_names()) {
    if (name == spec.name) return registry().at(name)(spec);
    known += (known.empty() ? "" : ", ") + name;
  }
  throw std::invalid_argument("schedule '" + spec.name + "' is unknown; the schedules are " + known);
}

std::vector<Dwell> dwell_table(const Schedule& schedule, std::int64_t steps) {
  std::vector<Dwell> table;
  for (std::int64_t step = 0; step < steps; ++step) {
    const BitWidth width = schedule.at(step);
    if (table.empty() || table.back().width != width) table.push_back({step, 0, width});
    ++table.back().steps;
  }
  return table;
}

}  // namespace bitcycle
