// SPDX-License-Identifier: Apache-2.0
// Dwell tables of the recorded schedules, to the step; the schedule and its formula are one.
#include "sim/schedule/schedule.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <map>
#include <numbers>
#include <sstream>
#include <tuple>

#include "sim/number/elementary.h"

namespace bitcycle {
namespace {

TEST(CyclicCosineSchedule, DwellTablesEqualTheRecordedOnes) {
  std::ifstream file(std::string(BITCYCLE_GOLDEN) + "/schedules/cyclic_cosine.csv");
  ASSERT_TRUE(file);
  std::string line;
  std::getline(file, line);
  while (!line.empty() && line.back() == '\r') line.pop_back();
  ASSERT_EQ(line, "min_bits,max_bits,steps,cycles,first_step,bits");
  std::map<std::tuple<int, int, long, long>, std::vector<std::pair<long, int>>> recorded;
  while (std::getline(file, line)) {
    int min = 0, max = 0, bits = 0;
    long steps = 0, cycles = 0, first = 0;
    ASSERT_EQ(std::sscanf(line.c_str(), "%d,%d,%ld,%ld,%ld,%d", &min, &max, &steps, &cycles, &first, &bits), 6) << line;
    recorded[{min, max, steps, cycles}].emplace_back(first, bits);
  }
  ASSERT_EQ(recorded.size(), 12U);
  for (const auto& [key, changes] : recorded) {
    const auto [min, max, steps, cycles] = key;
    const auto schedule = make_schedule({"cyclic_cosine", BitWidth::integer(min), BitWidth::integer(max), cycles, steps});
    const auto table = dwell_table(*schedule, steps);
    ASSERT_GE(table.size(), changes.size());
    for (std::size_t i = 0; i < changes.size(); ++i) {
      EXPECT_EQ(table[i].first_step, changes[i].first) << min << "-" << max << ", " << cycles << " cycles, change " << i;
      EXPECT_EQ(table[i].width.bits(), changes[i].second) << min << "-" << max << " at step " << changes[i].first;
    }
  }
}

/// docs/numerics.md, 1.3, as it is written there.
int formula(int min, int max, std::int64_t steps, std::int64_t cycles, std::int64_t t) {
  const std::int64_t period = steps / cycles;
  const double pi = std::numbers::pi;
  const double phase = static_cast<double>(t % period) / static_cast<double>(period);
  return static_cast<int>(std::rint(min + 0.5 * (max - min) * (1.0 + cos_f64(pi * phase + pi))));
}

TEST(CyclicCosineSchedule, EqualsItsFormulaAtEveryStep) {
  struct Run {
    std::int64_t steps, cycles;
  };
  for (const auto [steps, cycles] : {Run{64000, 32}, Run{64000, 7}, Run{4095, 4}, Run{480, 8}, Run{30, 10}, Run{7, 7}}) {
    for (int min = 2; min <= 32; ++min) {
      for (const int max : {min, min + 1, min + 5, 16, 32}) {
        if (max < min || max > 32) continue;
        const auto schedule =
            make_schedule({"cyclic_cosine", BitWidth::integer(min), BitWidth::integer(max), cycles, steps});
        // Two periods and the end: the rest repeats.
        const std::int64_t shown = std::min(steps, 2 * (steps / cycles));
        for (std::int64_t t = 0; t < steps; t = t + 1 == shown ? std::max(shown, steps - 100) : t + 1) {
          ASSERT_EQ(schedule->at(t).bits(), formula(min, max, steps, cycles, t))
              << min << "-" << max << ", " << steps << " steps, " << cycles << " cycles, step " << t;
        }
      }
    }
  }
}

TEST(CyclicCosineSchedule, DwellTimesOfThePapersRunsAreThoseOfEveryCycle) {
  const std::map<std::pair<int, int>, std::vector<std::int64_t>> published{
      {{3, 8}, {410, 329, 261, 262, 329, 409}}, {{3, 6}, {536, 465, 464, 535}}, {{3, 4}, {1000, 1000}},
      {{4, 8}, {461, 379, 321, 379, 460}},      {{4, 6}, {667, 667, 666}},      {{5, 8}, {536, 465, 464, 535}}};
  for (const auto& [bounds, dwell] : published) {
    const auto schedule = make_schedule(
        {"cyclic_cosine", BitWidth::integer(bounds.first), BitWidth::integer(bounds.second), 32, 64000});
    const auto table = dwell_table(*schedule, 64000);
    ASSERT_EQ(table.size(), 32 * dwell.size());
    for (std::size_t i = 0; i < table.size(); ++i) {
      ASSERT_EQ(table[i].steps, dwell[i % dwell.size()]) << bounds.first << "-" << bounds.second << ", stretch " << i;
      ASSERT_EQ(table[i].width.bits(), bounds.first + static_cast<int>(i % dwell.size()));
    }
  }
}

TEST(CyclicCosineSchedule, StaysAtTheLowestWidthOfTheIncompleteLastCycle) {
  const auto schedule = make_schedule({"cyclic_cosine", BitWidth::integer(3), BitWidth::integer(8), 7, 64000});
  EXPECT_EQ(schedule->at(7 * 9142 - 1).bits(), 8);
  EXPECT_EQ(schedule->at(7 * 9142).bits(), 3);
  EXPECT_EQ(schedule->at(63999).bits(), 3);
}

TEST(ScheduleRegistry, RefusesWhatCannotBe) {
  const auto error_of = [](const ScheduleSpec& spec) {
    try {
      make_schedule(spec);
    } catch (const std::invalid_argument& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  const auto three = BitWidth::integer(3), eight = BitWidth::integer(8);
  EXPECT_NE(error_of({"cosine", three, eight, 1, 10}).find("constant, cyclic_cosine"), std::string::npos);
  EXPECT_NE(error_of({"cyclic_cosine", eight, three, 1, 10}).find("above max"), std::string::npos);
  EXPECT_NE(error_of({"cyclic_cosine", three, eight, 11, 10}).find("cycles is 11"), std::string::npos);
  EXPECT_NE(error_of({"cyclic_cosine", three, BitWidth::float32(), 1, 10}).find("integer widths"), std::string::npos);
}

}  // namespace
}  // namespace bitcycle
