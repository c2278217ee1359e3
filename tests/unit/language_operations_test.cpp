// SPDX-License-Identifier: Apache-2.0
// The reference loops of language models' operations, on cases small enough to know the result by hand or in binary64.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "program_fixture.h"

namespace bitcycle::test {
namespace {

using Floats = std::vector<float>;

TEST(LanguageOperations, AnEmbeddingTakesRowsAndItsGradientAddsThemInOrder) {
  ProgramFixture p;
  const Tensor table = p.input<float>("table", {1, 2, 3, 4, 5, 6}, {3, 2});
  const Tensor tokens = p.input<std::int32_t>("tokens", {2, 0, 2, 2}, {4});
  const Tensor y = p.result("y", Element::kFloat32, {4, 2});
  // 2^24 + 1 + 1 is 2^24 in this order, 2^24 + 2 in the other.
  const Tensor dy = p.input<float>("dy", {0x1p24F, 1, 7, -0.0F, 1, 1, 1, 1}, {4, 2});
  const Tensor dtable = p.result("dtable", Element::kFloat32, {3, 2});
  p.node(ops::Gather{table, tokens, y});
  p.node(ops::GatherGradient{tokens, dy, dtable});
  p.run();
  EXPECT_EQ(p.read<float>(y), (Floats{5, 6, 1, 2, 5, 6, 5, 6}));
  EXPECT_EQ(p.read<float>(dtable), (Floats{7, -0.0F, 0, 0, 0x1p24F, 3}));
  EXPECT_TRUE(std::signbit(p.read<float>(dtable)[1]));
}

TEST(LanguageOperations, ATokenThatIsNoRowIsAnError) {
  for (const std::int32_t token : {-1, 3}) {
    ProgramFixture p;
    const Tensor table = p.input<float>("table", {1, 2, 3}, {3, 1});
    const Tensor tokens = p.input<std::int32_t>("tokens", {token}, {1});
    p.node(ops::Gather{table, tokens, p.result("y", Element::kFloat32, {1, 1})});
    EXPECT_THROW(p.run(), std::out_of_range) << token;
  }
}

TEST(LanguageOperations, RowsAreSlicedConcatenatedAndStored) {
  ProgramFixture p;
  const Tensor x = p.input<float>("x", {1, 2, 3, 4, 5, 6}, {3, 2});
  const Tensor state = p.state<float>("state", {0, 0});
  const Tensor last = p.result("last", Element::kFloat32, {1, 2}), first = p.result("first", Element::kFloat32, {2, 2});
  const Tensor turned = p.result("turned", Element::kFloat32, {3, 2});
  p.node(ops::Slice{x, 2, last});
  p.node(ops::Slice{x, 0, first});
  p.node(ops::Concatenate{{last, first}, turned});
  p.node(ops::Store{last, state});
  p.run();
  EXPECT_EQ(p.read<float>(turned), (Floats{5, 6, 1, 2, 3, 4}));
  EXPECT_EQ(p.read<float>(state), (Floats{5, 6}));
}

/// The cell and its loss in binary64.
double cell_loss(const std::vector<double>& a, double c, double weight_of_output, double weight_of_cell) {
  const auto sigmoid = [](double x) { return 1.0 / (1.0 + std::exp(-x)); };
  const double next = sigmoid(a[1]) * c + sigmoid(a[0]) * std::tanh(a[2]);
  return weight_of_output * sigmoid(a[3]) * std::tanh(next) + weight_of_cell * next;
}

TEST(LanguageOperations, AnLstmCellHasTheValuesAndGradientsOfBinary64) {
  ProgramFixture p;
  const Floats from_input{0.3F, -0.7F, 1.2F, 0.1F}, from_hidden{-0.2F, 0.4F, -0.5F, 0.6F};
  const float c = 0.8F, weight_of_output = 0.9F, weight_of_cell = -0.4F;
  ops::LstmCell cell;
  cell.x = p.input<float>("x", from_input, {1, 4});
  cell.h = p.input<float>("h", from_hidden, {1, 4});
  cell.cell = p.input<float>("c", {c}, {1, 1});
  cell.gates = p.result("gates", Element::kFloat32, {1, 4});
  cell.next_cell = p.result("next", Element::kFloat32, {1, 1});
  cell.squashed = p.result("squashed", Element::kFloat32, {1, 1});
  cell.output = p.result("output", Element::kFloat32, {1, 1});
  ops::LstmCellGradient gradient;
  gradient.gates = cell.gates;
  gradient.cell = cell.cell;
  gradient.squashed = cell.squashed;
  gradient.doutput = p.input<float>("dh", {weight_of_output}, {1, 1});
  gradient.dnext_cell = p.input<float>("dc", {weight_of_cell}, {1, 1});
  gradient.dgates = p.result("dgates", Element::kFloat32, {1, 4});
  gradient.dcell = p.result("dcell", Element::kFloat32, {1, 1});
  p.node(cell);
  p.node(gradient);
  p.run();
  std::vector<double> a;
  for (std::size_t i = 0; i < 4; ++i) a.push_back(static_cast<double>(from_input[i]) + from_hidden[i]);
  const auto loss = [&](const std::vector<double>& gates, double old) {
    return cell_loss(gates, old, weight_of_output, weight_of_cell);
  };
  EXPECT_NEAR(weight_of_output * p.read<float>(cell.output)[0] + weight_of_cell * p.read<float>(cell.next_cell)[0],
              loss(a, c), 1e-6);
  constexpr double kStep = 1e-5;
  for (std::size_t i = 0; i < 4; ++i) {
    auto up = a, down = a;
    up[i] += kStep;
    down[i] -= kStep;
    EXPECT_NEAR(p.read<float>(gradient.dgates)[i], (loss(up, c) - loss(down, c)) / (2 * kStep), 1e-6) << i;
  }
  EXPECT_NEAR(p.read<float>(gradient.dcell)[0], (loss(a, c + kStep) - loss(a, c - kStep)) / (2 * kStep), 1e-6);
}

TEST(LanguageOperations, ClippedDescentScalesByTheCommonNorm) {
  // Norms of 5, far above and far below what squares of binary32 numbers can be.
  for (const float unit : {1.0F, 0x1p100F, 0x1p-100F}) {
    ProgramFixture p;
    ops::SgdClipped sgd;
    sgd.gradients = {p.input<float>("g", {3 * unit}, {1}), p.input<float>("h", {0, -4 * unit}, {2})};
    sgd.parameters = {p.state<float>("p", {1}), p.state<float>("q", {1, 1})};
    sgd.rate = p.input<float>("rate", {0.5F}, {});
    sgd.norm = p.result("norm", Element::kFloat64);
    sgd.clip = 1.0;
    p.node(sgd);
    p.run();
    EXPECT_NEAR(p.read<double>(sgd.norm)[0] / unit, 5.0, 1e-9) << unit;
    const bool clipped = unit >= 1.0F;
    EXPECT_NEAR(p.read<float>(sgd.parameters[0])[0], clipped ? 1 - 0.3F : 1.0F, 1e-6) << unit;
    EXPECT_NEAR(p.read<float>(sgd.parameters[1])[1], clipped ? 1 + 0.4F : 1.0F, 1e-6) << unit;
    EXPECT_EQ(p.read<float>(sgd.parameters[1])[0], 1.0F);
  }
}

}  // namespace
}  // namespace bitcycle::test
