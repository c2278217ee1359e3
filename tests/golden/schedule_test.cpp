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
    const auto schedule =
        make_schedule({"cyclic_cosine", BitWidth::integer(min), BitWidth::integer(max), cycles, steps});
    const auto table = dwell_table(*schedule, steps);
    ASSERT_GE(table.size(), changes.size());
    for (std::size_t i = 0; i < changes.size(); ++i) {
      EXPECT_EQ(table[i].first_step, changes[i].first)
          << min << "-" << max << ", " << cycles << " cycles, change " << i;
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
  for (const auto [steps, cycles] :
       {Run{64000, 32}, Run{64000, 7}, Run{4095, 4}, Run{480, 8}, Run{30, 10}, Run{7, 7}}) {
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
    const auto schedule =
        make_schedule({"cyclic_cosine", BitWidth::integer(bounds.first), BitWidth::integer(bounds.second), 32, 64000});
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

/// LR and LT of the code of Wolfe and Kyrillidis: `linear` and `triangular`.
TEST(LinearSchedules, ChangesOfWidthEqualTheRecordedOnes) {
  std::ifstream file(std::string(BITCYCLE_GOLDEN) + "/schedules/better_schedules_linear.csv");
  ASSERT_TRUE(file);
  std::string line;
  std::getline(file, line);
  while (!line.empty() && line.back() == '\r') line.pop_back();
  ASSERT_EQ(line, "schedule,min_bits,max_bits,steps,cycles,first_step,bits");
  std::map<std::tuple<std::string, int, int, long, long>, std::vector<std::pair<long, int>>> recorded;
  while (std::getline(file, line)) {
    int min = 0, max = 0, bits = 0;
    long steps = 0, cycles = 0, first = 0;
    char name[8] = "";
    ASSERT_EQ(
        std::sscanf(line.c_str(), "%7[^,],%d,%d,%ld,%ld,%ld,%d", name, &min, &max, &steps, &cycles, &first, &bits), 7);
    recorded[{name, min, max, steps, cycles}].emplace_back(first, bits);
  }
  ASSERT_EQ(recorded.size(), 12U);
  for (const auto& [key, changes] : recorded) {
    const auto& [name, min, max, steps, cycles] = key;
    const auto schedule = make_schedule(
        {name == "LR" ? "linear" : "triangular", BitWidth::integer(min), BitWidth::integer(max), cycles, steps});
    const auto table = dwell_table(*schedule, steps);
    ASSERT_EQ(table.size(), changes.size()) << name << " " << min << "-" << max;
    for (std::size_t i = 0; i < changes.size(); ++i) {
      EXPECT_EQ(table[i].first_step, changes[i].first) << name << " " << min << "-" << max << ", change " << i;
      EXPECT_EQ(table[i].width.bits(), changes[i].second) << name << " " << min << "-" << max << ", change " << i;
    }
  }
}

TEST(LinearSchedules, OneCycleRisesOnceAndTwoRampsEndWhereTheyBegan) {
  const auto rise = make_schedule({"linear", BitWidth::integer(4), BitWidth::integer(8), 1, 1000});
  EXPECT_EQ(rise->at(0).bits(), 4);
  EXPECT_EQ(rise->at(500).bits(), 6);
  EXPECT_EQ(rise->at(999).bits(), 8);
  const auto valley = make_schedule({"triangular", BitWidth::integer(4), BitWidth::integer(8), 2, 1000});
  EXPECT_EQ(valley->at(0).bits(), 8);
  EXPECT_EQ(valley->at(500).bits(), 4);
  EXPECT_EQ(valley->at(999).bits(), 8);
}

TEST(PiecewiseSchedule, HoldsEachWidthUntilTheNextPointIsReached) {
  ScheduleSpec spec;
  spec.name = "piecewise";
  spec.steps = 10;
  spec.points = {
      {0, BitWidth::integer(4)}, {3, BitWidth::float32()}, {7, BitWidth::integer(12)}, {90, BitWidth::integer(2)}};
  const auto schedule = make_schedule(spec);
  const auto table = dwell_table(*schedule, spec.steps);
  ASSERT_EQ(table.size(), 3U) << "the point behind the end waits";
  EXPECT_EQ(table[0].width.bits(), 4);
  EXPECT_EQ(table[1].first_step, 3);
  EXPECT_TRUE(table[1].width.is_float32());
  EXPECT_EQ(table[2].first_step, 7);
  EXPECT_EQ(schedule->at(std::int64_t{1} << 40).bits(), 2);
  EXPECT_TRUE(largest_width(spec).is_float32());
  EXPECT_EQ(smallest_width(spec).bits(), 2);
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
  EXPECT_NE(error_of({"cosine", three, eight, 1, 10}).find("constant, cyclic_cosine, linear, piecewise, triangular"),
            std::string::npos);
  EXPECT_NE(error_of({"cyclic_cosine", eight, three, 1, 10}).find("above max"), std::string::npos);
  EXPECT_NE(error_of({"cyclic_cosine", three, eight, 11, 10}).find("cycles is 11"), std::string::npos);
  for (const char* name : {"cyclic_cosine", "linear", "triangular"}) {
    EXPECT_NE(error_of({name, three, BitWidth::float32(), 1, 10}).find("integer widths"), std::string::npos);
    EXPECT_NE(error_of({name, eight, three, 1, 10}).find("above max"), std::string::npos);
    EXPECT_NE(error_of({name, three, eight, 0, 10}).find("cycles is 0"), std::string::npos);
    EXPECT_NE(error_of({name, three, eight, 1, 10, {{0, three}}}).find("does not use them"), std::string::npos);
  }
  EXPECT_NE(error_of({"piecewise", three, eight, 1, 10}).find("needs points"), std::string::npos);
  EXPECT_NE(error_of({"piecewise", three, eight, 1, 10, {{1, three}}}).find("step 0 is missing"), std::string::npos);
  EXPECT_NE(
      error_of({"piecewise", three, eight, 1, 10, {{0, three}, {5, eight}, {5, three}}}).find("step 5 follows step 5"),
      std::string::npos);
}

}  // namespace
}  // namespace bitcycle
