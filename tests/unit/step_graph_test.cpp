// SPDX-License-Identifier: Apache-2.0
// The edges of a step's graph: the trunk in order, branches beside it, joined where a launch says so.
#include "sim/cuda/step_graph.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace bitcycle::gpu {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

Launch of(int branch, bool joins = false) {
  Launch launch;
  launch.branch = branch;
  launch.joins = joins;
  return launch;
}

TEST(StepGraph, TheTrunkIsAChain) {
  const auto after = predecessors({of(0), of(0), of(0)});
  EXPECT_THAT(after[0], IsEmpty());
  EXPECT_THAT(after[1], ElementsAre(0));
  EXPECT_THAT(after[2], ElementsAre(1));
  EXPECT_EQ(critical_path({of(0), of(0), of(0)}), 3);
}

TEST(StepGraph, ABranchRunsBesideTheTrunkUntilItIsJoined) {
  const std::vector<Launch> launches{of(1), of(0), of(2), of(2), of(0), of(0, true), of(3), of(0)};
  const auto after = predecessors(launches);
  EXPECT_THAT(after[0], IsEmpty());                      // before the trunk begins
  EXPECT_THAT(after[1], IsEmpty());                      // nothing joins it
  EXPECT_THAT(after[2], ElementsAre(1));                 // behind the trunk's last launch
  EXPECT_THAT(after[3], ElementsAre(2));                 // in order
  EXPECT_THAT(after[4], ElementsAre(1));                 // beside branch 2
  EXPECT_THAT(after[5], UnorderedElementsAre(4, 0, 3));  // both branches' ends
  EXPECT_THAT(after[6], ElementsAre(5));
  EXPECT_THAT(after[7], ElementsAre(5));  // branch 3 is joined by nothing yet
  EXPECT_EQ(critical_path(launches), 5);  // 1, 2, 3, 5, 7
}

TEST(StepGraph, OfNothingIsEmpty) {
  EXPECT_THAT(predecessors({}), IsEmpty());
  EXPECT_EQ(critical_path({}), 0);
}

}  // namespace
}  // namespace bitcycle::gpu
