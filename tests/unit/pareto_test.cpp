// SPDX-License-Identifier: Apache-2.0
// The Pareto front of the report, against the definition.
#include "report/pareto.h"

#include <gtest/gtest.h>

namespace bitcycle::report {
namespace {

TEST(Pareto, points_that_another_beats_are_not_on_the_front) {
  const std::vector<Point> points{{1.0, 80.0}, {2.0, 90.0}, {2.0, 85.0}, {3.0, 90.0}, {4.0, 95.0}};
  EXPECT_EQ(pareto_front(points), (std::vector<bool>{true, true, false, false, true}));
}

TEST(Pareto, equal_points_stay_together) {
  EXPECT_EQ(pareto_front({{1.0, 80.0}, {1.0, 80.0}}), (std::vector<bool>{true, true}));
  EXPECT_TRUE(pareto_front({}).empty());
}

}  // namespace
}  // namespace bitcycle::report
