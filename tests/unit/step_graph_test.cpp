// SPDX-License-Identifier: Apache-2.0
// The edges of a step's graph: the main sequence in order, branches beside it, waited for where a launch says so.
#include "cuda/runtime/step_graph.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace bitcycle::gpu {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

Launch of(int branch, bool waits_for_branches = false) {
  Launch launch;
  launch.branch = branch;
  launch.waits_for_branches = waits_for_branches;
  return launch;
}

TEST(StepGraph, TheMainSequenceRunsInOrder) {
  const auto after = predecessors({of(0), of(0), of(0)});
  EXPECT_THAT(after[0], IsEmpty());
  EXPECT_THAT(after[1], ElementsAre(0));
  EXPECT_THAT(after[2], ElementsAre(1));
  EXPECT_EQ(critical_path({of(0), of(0), of(0)}), 3);
}

TEST(StepGraph, ABranchRunsBesideTheMainSequenceUntilItIsWaitedFor) {
  const std::vector<Launch> launches{of(1), of(0), of(2), of(2), of(0), of(0, true), of(3), of(0)};
  const auto after = predecessors(launches);
  EXPECT_THAT(after[0], IsEmpty());                      // before the main sequence begins
  EXPECT_THAT(after[1], IsEmpty());                      // nothing waits for it
  EXPECT_THAT(after[2], ElementsAre(1));                 // behind the main sequence's last launch
  EXPECT_THAT(after[3], ElementsAre(2));                 // in order
  EXPECT_THAT(after[4], ElementsAre(1));                 // beside branch 2
  EXPECT_THAT(after[5], UnorderedElementsAre(4, 0, 3));  // both branches' ends
  EXPECT_THAT(after[6], ElementsAre(5));
  EXPECT_THAT(after[7], ElementsAre(5));  // nothing waits for branch 3 yet
  EXPECT_EQ(critical_path(launches), 5);  // 1, 2, 3, 5, 7
}

TEST(StepGraph, OfNothingIsEmpty) {
  EXPECT_THAT(predecessors({}), IsEmpty());
  EXPECT_EQ(critical_path({}), 0);
}

/// A made-up graph: its launches, and how often its nodes were updated.
struct Native {
  std::size_t nodes = 0, updated = 0;
};

Launch with_blocks(int blocks, int argument = 0) {
  Launch launch;
  launch.blocks = blocks;
  launch.argument_bytes = sizeof argument;
  launch.store(argument);
  return launch;
}

TEST(StepGraph, GraphsOfARunDoNotGrowWithoutBound) {
  StepGraphs<Native> graphs;
  std::size_t made = 0, dropped = 0;
  const auto run = [&](const std::vector<Launch>& launches) -> Native& {
    return graphs
        .of(
            launches,
            [&](const auto& list) {
              ++made;
              return Native{list.size(), 0};
            },
            [](Native& native, std::size_t, const Launch&) { ++native.updated; }, [&] { ++dropped; })
        .native;
  };
  for (int i = 1; i <= 100; ++i) {
    run({with_blocks(i)});
    run({with_blocks(1000)});  // used again and again: never the one that goes
  }
  EXPECT_EQ(graphs.size(), StepGraphs<Native>::kMost);
  EXPECT_EQ(made, 101U);
  EXPECT_EQ(dropped, 101U - StepGraphs<Native>::kMost);
  Native& native = run({with_blocks(1000, 7)});
  EXPECT_EQ(made, 101U);
  EXPECT_EQ(native.updated, 1U);
  run({with_blocks(1000, 7)});
  EXPECT_EQ(native.updated, 1U);
}

struct Padded {
  bool flag = false;
  std::int64_t value = 0;
};

/// Arguments are compared by their bytes: what lies between the members must not make equal ones differ.
TEST(StepGraph, PaddingOfArgumentsDoesNotCount) {
  alignas(Padded) std::byte memory[2][sizeof(Padded)];
  std::memset(memory[0], 0x00, sizeof(Padded));
  std::memset(memory[1], 0xFF, sizeof(Padded));
  Launch launches[2];
  for (int i = 0; i < 2; ++i) {
    auto* padded = reinterpret_cast<Padded*>(memory[i]);
    padded->flag = true;
    padded->value = 5;
    launches[i].argument_bytes = sizeof(Padded);
    launches[i].store(*padded);
  }
  EXPECT_TRUE(launches[0].same_arguments(launches[1]));
}

struct SomeKernel {
  struct Args {
    int value;
  };
};

TEST(StepGraph, KernelsAreFoundByTheirNames) {
  EXPECT_EQ(kernel_name_of("bitcycle::cuda::Kernel<bitcycle::cuda::Tile<1, true>, 2>"), "Kernel<Tile<1,true>,2>");
  EXPECT_THAT(kernel_name<SomeKernel>(), ::testing::EndsWith("SomeKernel"));
  const auto entry = reinterpret_cast<void (*)()>(&kernel_name<SomeKernel>);
  KernelTable table({{kernel_name<SomeKernel>(), entry, sizeof(SomeKernel::Args)}});
  Launch launch;
  launch.kernel = kernel_name<SomeKernel>();
  launch.argument_bytes = sizeof(SomeKernel::Args);
  EXPECT_EQ(table.of(launch).entry, entry);
  launch.kernel = "Unknown";
  EXPECT_THROW(table.of(launch), std::logic_error);
  KernelTable other({{kernel_name<SomeKernel>(), entry, 64}});
  launch.kernel = kernel_name<SomeKernel>();
  EXPECT_THROW(other.of(launch), std::logic_error);
}

}  // namespace
}  // namespace bitcycle::gpu
