// SPDX-License-Identifier: Apache-2.0
// Programs: what is refused and how, what is printed, where tensors lie.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "program_fixture.h"
#include "sim/program/memory_plan.h"
#include "sim/program/print.h"

namespace bitcycle::test {
namespace {

using ::testing::HasSubstr;

TEST(Program, RefusesTensorsThatCannotBe) {
  Program program("p", 4);
  program.add({"x", Element::kFloat32, {4, 2}, Lifetime::kInput, 0});
  EXPECT_THAT(refusal([&] { program.add({"x", Element::kFloat32, {1}}); }), HasSubstr("'x' is there already"));
  EXPECT_THAT(refusal([&] { program.add({"e", Element::kFloat32, {4, 0}}); }), HasSubstr("(4, 0)"));
  EXPECT_THAT(refusal([&] {
                program.add({"s", Element::kFloat32, {6, 2}, Lifetime::kStep, 0});
              }),
              HasSubstr("a multiple of the batch, 4"));
  EXPECT_THAT(refusal([&] { program.add({"a", Element::kFloat32, {4}, Lifetime::kStep, 1}); }), HasSubstr("no axis 1"));
  EXPECT_THAT(refusal([&] {
                program.add({"b", Element::kFloat32, {2, 4}, Lifetime::kStep, 1});
              }),
              HasSubstr("behind another axis"));
  EXPECT_THAT(refusal([&] { Program("none", 0); }), HasSubstr("at least 1"));
}

TEST(Program, RefusesNodesNamingLayerOperationOperandAndRemedy) {
  Program program("p", 1);
  const Tensor x = program.add({"x", Element::kFloat32, {2, 3}, Lifetime::kInput});
  const Tensor y = program.add({"y", Element::kFloat32, {2, 3}});
  const Tensor narrow = program.add({"narrow", Element::kFloat32, {2, 2}});
  const Tensor whole = program.add({"whole", Element::kInt32, {2, 3}});
  const Site site{"conv1", Pass::kForward};
  EXPECT_EQ(refusal([&] {
              program.add(site, ops::Add{x, narrow, y});
            }),
            "program p, conv1, forward: add: b 'narrow' is float32 (2, 2); it must be float32 (2, 3)");
  EXPECT_THAT(refusal([&] { program.add(site, ops::Add{x, whole, y}); }), HasSubstr("'whole' is int32 (2, 3)"));
  EXPECT_THAT(refusal([&] { program.add(site, ops::Add{x, {}, y}); }), HasSubstr("b is missing"));
  EXPECT_THAT(refusal([&] { program.add(site, ops::Add{x, Tensor{99}, y}); }), HasSubstr("another program"));
  EXPECT_THAT(refusal([&] {
                program.add(site, ops::Add{x, y, x});
              }),
              HasSubstr("y' is read before anything writes it"));
  EXPECT_THAT(refusal([&] { program.add(site, ops::Add{x, x, x}); }), HasSubstr("only the host writes"));
  EXPECT_EQ(program.nodes().size(), 0U);
  program.add(site, ops::Add{x, x, y});
  EXPECT_THAT(refusal([&] {
                program.add(site, ops::Add{x, x, y});
              }),
              HasSubstr("written already, by conv1, forward: add"));
  Program unwritten("p", 1);
  unwritten.add({"never", Element::kFloat32, {}, Lifetime::kReport});
  EXPECT_THAT(refusal([&] { unwritten.validate(); }), HasSubstr("'never' is to be reported, and nothing writes it"));
}

/// Sums that could overflow are refused where the program is written.
TEST(Program, RefusesSumsThatAreTooNarrow) {
  ProgramFixture p;
  const ConvShape shape = matmul_shape(1, 1, 40000);
  const auto codes = [&](const std::string& name) {
    ops::Quantised operand;
    operand.codes = p.input<std::uint8_t>(name, std::vector<std::uint8_t>(40000), {1, 1, 1, 40000});
    operand.grid = p.input<Affine>(name + " grid", {p.grid(0, 1, 8)});
    operand.width = p.width(8);
    return operand;
  };
  ops::Product product{codes("x"), codes("w"), ops::conv_forward(shape), {}, {}};
  product.sums = p.result("sums", Element::kInt32, {1, 1, 1, 1});
  EXPECT_THAT(refusal([&] { p.node(product); }), HasSubstr("sums of 40000 products of 8-bit codes need int64"));
}

TEST(Program, PrintsNodesWithWhatTheyWrite) {
  Program program("p", 2);
  const Tensor x = program.add({"x", Element::kFloat32, {2, 3}, Lifetime::kInput, 0});
  const Tensor y = program.add({"y", Element::kFloat32, {2, 3}, Lifetime::kStep, 0});
  program.add(Site{"block", Pass::kForward}, ops::Add{x, x, y});
  EXPECT_EQ(program_text(program), "p, 2 samples\n0  block, forward: add  z y float32 (2, 3)\n");
  EXPECT_EQ(program.writer(y), 0);
  EXPECT_EQ(program.readers(x), std::vector<int>{0});
  EXPECT_EQ(program.find("y"), y);
  EXPECT_FALSE(program.find("z"));
}

/// Every pair of tensors that live at the same time lies apart, and those that do not share.
TEST(TensorPlan, SharesMemoryOnlyBetweenTensorsThatDoNotMeet) {
  Program program("p", 1);
  const std::vector<std::int64_t> shape{64, 64};
  Tensor last = program.add({"x", Element::kFloat32, shape, Lifetime::kInput});
  std::vector<Tensor> sums;
  for (int i = 0; i < 6; ++i) {
    const Tensor next = program.add({"t" + std::to_string(i), Element::kFloat32, shape});
    program.add(Site{"layer", Pass::kForward}, ops::Add{last, i == 4 ? sums[1] : last, next});
    sums.push_back(last = next);
  }
  const auto live = live_spans(program, {sums[2]});
  EXPECT_EQ(live[static_cast<std::size_t>(sums[1].id)].end, 4);
  EXPECT_EQ(live[static_cast<std::size_t>(sums[2].id)].end, 6);
  const TensorPlan plan = plan_step(program, live);
  constexpr std::size_t kBytes = 64 * 64 * 4;
  EXPECT_EQ(plan.bytes, 4 * kBytes);  // t1 and t2 stay, beside a pair
  for (const Tensor a : sums) {
    for (const Tensor b : sums) {
      const LiveSpan &one = live[static_cast<std::size_t>(a.id)], &other = live[static_cast<std::size_t>(b.id)];
      if (a == b || one.begin > other.end || other.begin > one.end) continue;
      const std::size_t first = plan.offset[static_cast<std::size_t>(a.id)];
      const std::size_t second = plan.offset[static_cast<std::size_t>(b.id)];
      EXPECT_TRUE(first + kBytes <= second || second + kBytes <= first) << a.id << " and " << b.id;
    }
  }
  EXPECT_EQ(plan.offset[0], TensorPlan::kNowhere);  // the input
}

TEST(TensorPlan, LaysListsSideBySide) {
  Program program("p", 1);
  std::vector<Tensor> list;
  const Tensor between = program.add({"between", Element::kFloat32, {3}, Lifetime::kState});
  for (const char* name : {"b", "a"}) list.push_back(program.add({name, Element::kFloat32, {3}, Lifetime::kState}));
  const Tensor position = program.add({"position", Element::kInt64, {}, Lifetime::kReport});
  program.add(Site{}, ops::FindNonFinite{list, position});
  const TensorPlan plan = plan_side_by_side(program, Lifetime::kState);
  EXPECT_EQ(plan.offset[static_cast<std::size_t>(list[0].id)], 0U);
  EXPECT_EQ(plan.offset[static_cast<std::size_t>(list[1].id)], 64U);
  EXPECT_EQ(plan.offset[static_cast<std::size_t>(between.id)], 128U);
}

TEST(Executable, RefusesWhatItCannotDo) {
  ProgramFixture p(2);
  const Tensor x = p.input<float>("x", {1, 2}, {2}, 0);
  const Tensor z = p.result("z", Element::kFloat32, {2}, 0);
  p.node(ops::Add{x, x, z});
  EXPECT_THAT(refusal([&] { p.run(3); }), HasSubstr("takes 1 to 2"));
  p.run(2);
  EXPECT_EQ(p.read<float>(z), (std::vector<float>{2, 4}));
  const auto device = make_reference_device();
  EXPECT_THAT(refusal([&] { device->compile(p.program, {nullptr, {}}); }), HasSubstr("Device::make_state"));
  Program other("other", 1);
  const Tensor momentum = other.add({"momentum", Element::kFloat32, {3}, Lifetime::kState});
  other.add(Site{}, ops::FindNonFinite{{momentum}, other.add({"position", Element::kInt64, {}, Lifetime::kReport})});
  EXPECT_THAT(refusal([&] {
                device->compile(other, {device->make_state(p.program), {}});
              }),
              HasSubstr("no tensor 'momentum'"));
}

}  // namespace
}  // namespace bitcycle::test
