// SPDX-License-Identifier: Apache-2.0
// Dwell tables of the recorded schedules, to the step.
#include "sim/schedule/schedule.h"

#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <sstream>
#include <tuple>

namespace bitcycle {
namespace {

TEST(CyclicCosine, DwellTablesEqualTheRecordedOnes) {
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

TEST(CyclicCosine, StaysAtTheLowestWidthOfTheIncompleteLastCycle) {
  const auto schedule = make_schedule({"cyclic_cosine", BitWidth::integer(3), BitWidth::integer(8), 7, 64000});
  EXPECT_EQ(schedule->at(7 * 9142 - 1).bits(), 8);
  EXPECT_EQ(schedule->at(7 * 9142).bits(), 3);
  EXPECT_EQ(schedule->at(63999).bits(), 3);
}

TEST(Schedule, RefusesWhatCannotBe) {
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
