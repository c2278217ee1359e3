// SPDX-License-Identifier: Apache-2.0
// Precision plans: overrides of layers by pattern, and how many steps each pair of widths lasts.
#include "sim/schedule/precision_plan.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <ctime>
#include <map>

namespace bitcycle {
namespace {

ScheduleSpec fixed(int bits) { return {"constant", BitWidth::integer(bits), BitWidth::integer(bits), 1, 1}; }
ScheduleSpec cyclic(int min, int max, std::int64_t cycles) {
  return {"cyclic_cosine", BitWidth::integer(min), BitWidth::integer(max), cycles, 1};
}

PrecisionOverride forward_override(const std::string& pattern, int bits) {
  PrecisionOverride entry;
  entry.pattern = pattern;
  entry.forward = fixed(bits);
  return entry;
}

bool pattern_matches(const std::string& pattern, const std::string& layer) {
  return PrecisionPlan({fixed(8), fixed(8), {forward_override(pattern, 4)}}, 1).unmatched({layer}).empty();
}

TEST(PrecisionPlan, OverridesOfLayersApplyAndMistypedPatternsAreFound) {
  PrecisionOverride group;
  group.pattern = "group?_layer*.conv2";
  group.gradient = fixed(6);
  const PrecisionPlan plan(
      {cyclic(3, 8, 2), fixed(8), {forward_override("conv1", 8), group, forward_override("gruop*", 6)}}, 100);
  EXPECT_EQ(plan.at(0).forward.bits(), 3);
  EXPECT_EQ(plan.at(0, "conv1").forward.bits(), 8);
  EXPECT_EQ(plan.at(0, "group2_layer10.conv2").gradient.bits(), 6);
  EXPECT_EQ(plan.at(0, "group2_layer10.conv2").forward.bits(), 3) << "only the gradient is set apart";
  EXPECT_EQ(plan.at(0, "group2_layer10.conv1").gradient.bits(), 8);
  EXPECT_EQ(plan.max("group2_layer10.conv2").gradient.bits(), 6);
  EXPECT_EQ(plan.unmatched({"conv1", "group1_layer0.conv2"}), std::vector<std::string>{"gruop*"});
}

TEST(PrecisionPlan, TheLastMatchingOverrideWins) {
  const PrecisionPlan plan({fixed(8), fixed(8), {forward_override("*", 5), forward_override("conv?", 4)}}, 10);
  EXPECT_EQ(plan.at(0, "conv1").forward.bits(), 4);
  EXPECT_EQ(plan.at(0, "fc").forward.bits(), 5);
  EXPECT_EQ(plan.max("fc").forward.bits(), 5);
}

TEST(PrecisionPlan, WildcardsMatchAsInAShell) {
  EXPECT_TRUE(pattern_matches("conv1", "conv1"));
  EXPECT_FALSE(pattern_matches("conv", "conv1"));
  EXPECT_FALSE(pattern_matches("conv1", "conv"));
  EXPECT_TRUE(pattern_matches("*", "conv1"));
  EXPECT_TRUE(pattern_matches("*", ""));
  EXPECT_TRUE(pattern_matches("conv1*", "conv1"));
  EXPECT_TRUE(pattern_matches("*v*1", "conv11"));
  EXPECT_FALSE(pattern_matches("*v*2", "conv11"));
  EXPECT_TRUE(pattern_matches("g*_l?yer*.c*", "group1_layer12.conv2"));
  EXPECT_FALSE(pattern_matches("?", ""));
  EXPECT_FALSE(pattern_matches("", "conv1"));
}

TEST(PrecisionPlan, NoPatternIsSlow) {
  std::string pattern;
  for (int i = 0; i < 200; ++i) pattern += "*a";
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_FALSE(pattern_matches(pattern + "b", std::string(1000, 'a')));
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(2));
}

TEST(PrecisionPlan, HistogramsCountTheStepsOfAnyStretch) {
  const PrecisionPlan plan({cyclic(3, 8, 5), cyclic(6, 8, 3), {forward_override("conv1", 8)}}, 1000);
  for (const auto& [begin, end] : {std::pair<std::int64_t, std::int64_t>{0, 1000}, {0, 0}, {17, 633}, {999, 1000}}) {
    std::map<LayerWidths, std::int64_t> counted;
    for (std::int64_t step = begin; step < end; ++step) ++counted[plan.at(step)];
    EXPECT_EQ(plan.histogram("x", begin, end), counted);
    EXPECT_EQ(plan.histogram("x", begin, end), counted) << "from the cache";
  }
  for (const auto& [widths, steps] : plan.histogram("conv1", 0, 1000)) EXPECT_EQ(widths.forward.bits(), 8);
  EXPECT_THROW(plan.histogram("x", 0, 1001), std::invalid_argument);
  EXPECT_THROW(plan.histogram("x", 5, 4), std::invalid_argument);
}

TEST(PrecisionPlan, NoWidthChangesBeforeItsEnd) {
  std::vector<ScheduleSpec> specs;
  for (const char* name : {"constant", "cyclic_cosine", "linear", "triangular"}) {
    specs.push_back({name, BitWidth::integer(3), BitWidth::integer(8), 7, 500});
  }
  specs.push_back({"piecewise", {}, {}, 1, 500, {{0, BitWidth::integer(4)}, {3, BitWidth::float32()}}});
  for (const auto& spec : specs) {
    const auto schedule = make_schedule(spec);
    for (std::int64_t step = 0; step < spec.steps; ++step) {
      const std::int64_t end = std::min(schedule->until(step), spec.steps);
      ASSERT_GT(end, step) << spec.name;
      for (std::int64_t s = step; s < end; ++s) ASSERT_EQ(schedule->at(s), schedule->at(step)) << spec.name << " " << s;
    }
  }
}

TEST(PrecisionPlan, CountsByPeriodsAreThoseOfEveryStep) {
  std::vector<ScheduleSpec> specs;
  for (const char* name : {"constant", "cyclic_cosine", "linear", "triangular"}) {
    for (const std::int64_t cycles : {1, 7, 250}) {
      specs.push_back({name, BitWidth::integer(3), BitWidth::integer(8), cycles, 500});
    }
  }
  specs.push_back({"piecewise", {}, {}, 1, 500, {{0, BitWidth::integer(4)}, {3, BitWidth::float32()}}});
  for (const auto& forward : specs) {
    for (const auto& gradient : specs) {
      const PrecisionPlan plan({forward, gradient, {}}, 500);
      for (const auto& [begin, end] : {std::pair{0, 500}, {3, 497}, {11, 11}, {499, 500}}) {
        std::map<LayerWidths, std::int64_t> counts;
        for (std::int64_t step = begin; step < end; ++step) ++counts[plan.at(step)];
        ASSERT_EQ(plan.histogram("x", begin, end), counts) << forward.name << " " << gradient.name << " " << begin;
      }
    }
  }
}

TEST(PrecisionPlan, OfAHistoryCountTheWidthsThatStepsHad) {
  // 8 steps at 3 bits, of a schedule that would have risen to 8 bits; then at most 4 bits.
  ScheduleSpec rising = fixed(3);
  rising.name = "piecewise";
  rising.points = {{0, BitWidth::integer(3)}, {8, BitWidth::integer(8)}};
  const PrecisionPlan plan({cyclic(2, 4, 1), fixed(6), {}, {{8, 100, rising, fixed(7), {forward_override("x", 5)}}}},
                           100);
  EXPECT_EQ(plan.max(), (LayerWidths{BitWidth::integer(4), BitWidth::integer(7)}));
  EXPECT_EQ(plan.max("y"), plan.max());
  EXPECT_EQ(plan.max("x").forward.bits(), 5);
  EXPECT_EQ(plan.own_max(), (LayerWidths{BitWidth::integer(4), BitWidth::integer(6)}));
  EXPECT_EQ(plan.own_max("x"), plan.own_max());
}

TEST(PrecisionPlan, ABillionStepsAreCountedAtOnceHoweverOftenWidthsChange) {
  constexpr std::int64_t kSteps = 1000000000;
  const auto cycles = [](const char* name, std::int64_t count) {
    return ScheduleSpec{name, BitWidth::integer(2), BitWidth::integer(32), count, 1};
  };
  for (const auto& [forward, gradient] : {std::pair{cycles("cyclic_cosine", 32), cycles("constant", 1)},
                                          std::pair{cycles("cyclic_cosine", 500000000), cycles("linear", 10)},
                                          std::pair{cycles("triangular", 31622), cycles("linear", 31623)},
                                          std::pair{cycles("linear", 1), cycles("cyclic_cosine", 333333333)}}) {
    const std::clock_t before = std::clock();
    const PrecisionPlan plan({forward, gradient, {}}, kSteps);
    std::int64_t steps = 0;
    for (const auto& [widths, count] : plan.histogram("x", 0, kSteps)) steps += count;
    EXPECT_EQ(steps, kSteps);
    // Of processor time; a look at every step takes longer on any machine.
    EXPECT_LT((std::clock() - before) / CLOCKS_PER_SEC, 5) << forward.cycles << " " << gradient.cycles;
  }
}

}  // namespace
}  // namespace bitcycle
