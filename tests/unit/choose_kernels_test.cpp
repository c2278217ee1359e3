// SPDX-License-Identifier: Apache-2.0
// Choosing kernels for a program: fusions that are taken, and those that would not be right.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "program_fixture.h"
#include "sim/device/kernel_entry.h"
#include "sim/program/memory_plan.h"

namespace bitcycle::test {
namespace {

template <typename Op>
std::optional<Match> one(const Candidates& c, int node) {
  if (c.get<Op>(node) == nullptr) return {};
  Match match;
  match.nodes = {node};
  each_tensor(c.program().node(node).operation, [&](const char*, Tensor tensor, Access access) {
    if (access != Access::kRead) match.makes.push_back(tensor);
  });
  return match;
}
/// add and the relu behind it; the sum stays inside.
std::optional<Match> add_relu(const Candidates& c, int node) {
  const auto* add = c.get<ops::Add>(node);
  const int relu = add == nullptr ? -1 : c.reader<ops::Relu>(add->z);
  if (relu < 0) return {};
  return Match{{node, relu}, {}, {c.get<ops::Relu>(relu)->z}, {}, {}, {}};
}
/// A magnitude that makes relu(x) again.
std::optional<Match> magnitude_of_relu(const Candidates& c, int node) {
  const auto* magnitude = c.get<ops::Magnitude>(node);
  const int relu = magnitude == nullptr ? -1 : c.program().writer(magnitude->x);
  if (c.any<ops::Relu>(relu) == nullptr) return {};
  return Match{{node}, {relu}, {magnitude->bound}, {}, {}, {}};
}

const KernelEntry kAdd{"add", one<ops::Add>}, kRelu{"relu", one<ops::Relu>},
    kMagnitude{"magnitude", one<ops::Magnitude>};
const KernelEntry kAddRelu{"add relu", add_relu}, kMagnitudeOfRelu{"magnitude of relu", magnitude_of_relu};

/// sum = x + x; z = relu(sum); magnitude of z.
struct SmallProgram {
  SmallProgram() : p() {
    x = p.input<float>("x", {1, -2}, {2});
    sum = p.program.add({"sum", Element::kFloat32, {2}});
    z = p.program.add({"z", Element::kFloat32, {2}});
    magnitude = p.result("magnitude", Element::kFloat32);
    p.node(ops::Add{x, x, sum});
    p.node(ops::Relu{sum, z, {}});
    p.node(ops::Magnitude{z, magnitude});
  }
  std::vector<std::string> names(const std::vector<KernelEntry>& table, const std::vector<Tensor>& kept = {}) {
    std::vector<std::string> result;
    for (const auto& kernel : choose_kernels(p.program, table, kept)) result.push_back(kernel.entry->name);
    return result;
  }
  ProgramFixture p;
  Tensor x, sum, z, magnitude;
};

using Names = std::vector<std::string>;

TEST(ChooseKernels, TakesTheMostFusedOneFirst) {
  SmallProgram small;
  EXPECT_EQ(small.names({kAddRelu, kAdd, kRelu, kMagnitude}), (Names{"add relu", "magnitude"}));
  EXPECT_EQ(small.names({kAdd, kRelu, kMagnitude}), (Names{"add", "relu", "magnitude"}));
}

/// A probe on the sum switches off the fusion that would not make it, and no other.
TEST(ChooseKernels, LeavesOutFusionsThatWouldHideWhatIsKept) {
  SmallProgram small;
  EXPECT_EQ(small.names({kAddRelu, kAdd, kRelu, kMagnitude}, {small.sum}), (Names{"add", "relu", "magnitude"}));
  EXPECT_EQ(small.names({kAddRelu, kAdd, kRelu, kMagnitude}, {small.z}), (Names{"add relu", "magnitude"}));
}

TEST(ChooseKernels, LeavesOutWhatNobodyReadsFromMemory) {
  SmallProgram small;
  EXPECT_EQ(small.names({kMagnitudeOfRelu, kAddRelu, kAdd, kRelu}), (Names{"add", "magnitude of relu"}));
  // z is kept, so somebody has to make it.
  EXPECT_EQ(small.names({kMagnitudeOfRelu, kAddRelu, kAdd, kRelu}, {small.z}),
            (Names{"add", "relu", "magnitude of relu"}));
  const auto kernels = choose_kernels(small.p.program, {kMagnitudeOfRelu, kAdd, kRelu}, {});
  const auto live = live_spans(small.p.program, kernels, {});
  EXPECT_EQ(live[static_cast<std::size_t>(small.z.id)].begin, -1);
  EXPECT_EQ(live[static_cast<std::size_t>(small.sum.id)].end, 1);
}

TEST(ChooseKernels, NamesTheFirstNodeWithoutAKernel) {
  SmallProgram small;
  EXPECT_THAT(refusal([&] { small.names({kAdd, kRelu}); }), ::testing::HasSubstr("layer, forward: magnitude (node 2"));
}

/// sum -> relu, sum -> magnitude -> ... -> the match: a node between the match's own needs its result and is needed.
TEST(ChooseKernels, DoesNotFuseAroundANodeBetween) {
  ProgramFixture p;
  const Tensor x = p.input<float>("x", {1, -2}, {2});
  const auto step = [&](const std::string& name) { return p.program.add({name, Element::kFloat32, {2}}); };
  const Tensor a = step("a"), b = step("b"), c = p.result("c", Element::kFloat32, {2});
  p.node(ops::Add{x, x, a});
  p.node(ops::Relu{a, b, {}});
  p.node(ops::Add{a, b, c});
  const KernelEntry both{"both adds", [](const Candidates& k, int node) -> std::optional<Match> {
                           const auto* add = k.get<ops::Add>(node);
                           const int second = add == nullptr ? -1 : k.reader<ops::Add>(add->z);
                           if (second < 0) return {};
                           return Match{{node, second}, {}, {add->z, k.get<ops::Add>(second)->z}, {}, {}, {}};
                         }};
  std::vector<std::string> names;
  for (const auto& kernel : choose_kernels(p.program, {both, kAdd, kRelu}, {})) names.push_back(kernel.entry->name);
  EXPECT_EQ(names, (Names{"add", "relu", "add"}));
}

/// relu(x) kept in a form of the device's own, taken by the magnitude: z is nowhere in memory. Where somebody looks at
/// z, neither is chosen.
TEST(ChooseKernels, HandsOnWhatADeviceHoldsInAFormOfItsOwn) {
  SmallProgram small;
  const KernelEntry takes{"takes", [](const Candidates& c, int node) -> std::optional<Match> {
                            const auto* magnitude = c.get<ops::Magnitude>(node);
                            if (magnitude == nullptr) return {};
                            Match match{{node}, {}, {magnitude->bound}, {}, {}, {}};
                            match.takes = {magnitude->x};
                            return match;
                          }};
  const KernelEntry holds{"holds", [](const Candidates& c, int node) -> std::optional<Match> {
                            const auto* relu = c.get<ops::Relu>(node);
                            if (relu == nullptr) return {};
                            Match match;
                            match.nodes = {node};
                            match.holds = {relu->z};
                            return match;
                          }};
  EXPECT_EQ(small.names({takes, holds, kAdd, kRelu, kMagnitude}), (Names{"add", "holds", "takes"}));
  EXPECT_EQ(small.names({takes, holds, kAdd, kRelu, kMagnitude}, {small.z}), (Names{"add", "holds", "takes"}));
  EXPECT_EQ(small.names({takes, kAdd, kRelu, kMagnitude}), (Names{"add", "relu", "magnitude"}));
  const auto kernels = choose_kernels(small.p.program, {takes, holds, kAdd}, {});
  EXPECT_EQ(live_spans(small.p.program, kernels, {})[static_cast<std::size_t>(small.z.id)].begin, -1);
}

/// A range that makes relu(x) again may still read relu(x) from memory, for another purpose.
TEST(ChooseKernels, MayReadWhatItMakesAgain) {
  SmallProgram small;
  const KernelEntry both{"both", [](const Candidates& c, int node) -> std::optional<Match> {
                           const auto* magnitude = c.get<ops::Magnitude>(node);
                           if (magnitude == nullptr) return {};
                           Match match;
                           match.nodes = {node};
                           match.recomputed = {c.program().writer(magnitude->x)};
                           match.makes = {magnitude->bound};
                           match.from_memory = {magnitude->x};
                           return match;
                         }};
  EXPECT_EQ(small.names({both, kAdd, kRelu}), (Names{"add", "relu", "both"}));
}

/// What depends on state alone may come first, but never behind what changes it.
TEST(ChooseKernels, KeepsTheOrderOfStateAndBringsEarlyKernelsForward) {
  ProgramFixture p;
  const Tensor x = p.input<float>("x", {1, -2}, {2}), rate = p.input<float>("rate", {1});
  const Tensor w = p.state<float>("w", {1, 2}), m = p.state<float>("m", {0, 0});
  const Tensor a = p.result("a", Element::kFloat32, {2}), before = p.result("before", Element::kFloat32);
  const Tensor after = p.result("after", Element::kFloat32);
  p.node(ops::Add{x, x, a});
  p.node(ops::Magnitude{w, before});
  p.node(ops::SgdUpdate{{a}, {m}, {w}, rate, {}, 0, 0});
  p.node(ops::Magnitude{w, after});
  KernelEntry early = kMagnitude;
  early.early = true;
  const KernelEntry sgd{"sgd", one<ops::SgdUpdate>};
  std::vector<int> order;
  const std::vector<KernelEntry> table{early, sgd, kAdd};
  for (const auto& kernel : choose_kernels(p.program, table, {})) order.push_back(kernel.match.nodes.front());
  EXPECT_EQ(order, (std::vector<int>{1, 0, 2, 3}));
}

}  // namespace
}  // namespace bitcycle::test
