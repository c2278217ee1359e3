// SPDX-License-Identifier: Apache-2.0
// The reference loops of every operation, on cases small enough to know the result by hand or in binary64. The element
// formulas that they call have tests of their own.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "program_fixture.h"
#include "sim/ops/loss_record.h"

namespace bitcycle::test {
namespace {

using Floats = std::vector<float>;

TEST(Operations, RangeAndMagnitude) {
  ProgramFixture p;
  const Tensor x = p.input<float>("x", {1, -0.0F, 3, -4, 2, 2, -1, 5}, {2, 1, 2, 2});
  const Tensor all = p.result("all", Element::kRange);
  const Tensor rows = p.result("rows", Element::kRange, {2});
  const Tensor columns = p.result("columns", Element::kRange, {4});
  const Tensor magnitude = p.result("magnitude", Element::kFloat32);
  p.node(ops::Range{x, all, ops::one_group()});
  p.node(ops::Range{x, rows, ops::by_output_channel()});
  p.node(ops::Range{x, columns, ops::by_input_channel(2)});
  p.node(ops::Magnitude{x, magnitude});
  p.run();
  EXPECT_EQ(p.read<Range>(all)[0].lo, -4);
  EXPECT_EQ(p.read<Range>(all)[0].hi, 5);
  EXPECT_EQ(p.read<Range>(rows)[1].lo, -1);
  // Two convolution groups: output 0 holds input channels 0 and 1, output 1 channels 2 and 3.
  const auto by_channel = p.read<Range>(columns);
  EXPECT_EQ(by_channel[0].hi, 3);
  EXPECT_EQ(by_channel[1].lo, -4);
  EXPECT_EQ(by_channel[2].lo, -1);
  EXPECT_EQ(by_channel[3].hi, 5);
  EXPECT_EQ(p.read<float>(magnitude)[0], 5);
}

TEST(Operations, GridsQuantiseAndDequantise) {
  ProgramFixture p;
  const Tensor x = p.input<float>("x", {0, 1, 2, 3}, {4});
  const Tensor width = p.width(2);
  const Tensor range = p.result("range", Element::kRange), grid = p.result("grid", Element::kGrid);
  const Tensor bounds = p.result("bounds", Element::kUint32, {2});
  const Tensor codes = p.result("codes", Element::kCodes8, {4}), values = p.result("values", Element::kFloat32, {4});
  const Tensor running = p.state<float>("running", {0, 10}), running_grid = p.result("running grid", Element::kGrid);
  const Tensor noise = p.input<float>("noise", {0.4F, 0.4F, -0.4F, -0.4F}, {4});
  const Tensor moved = p.result("moved", Element::kCodes8, {4});
  p.node(ops::Range{x, range, ops::one_group()});
  p.node(ops::FitGrid{range, width, grid, {}});
  p.node(ops::RunningGrid{running, width, running_grid, {4.0F, 0.0}});
  p.node(ops::StepBounds{{grid, running_grid}, bounds});
  p.node(ops::RunningRange{range, running});
  ops::Quantise quantise;
  quantise.x = x;
  quantise.grid = grid;
  quantise.width = width;
  quantise.codes = codes;
  p.node(quantise);
  p.node(ops::Dequantise{quantise.result(), values});
  quantise.grid = running_grid;
  quantise.codes = moved;
  quantise.rounding = ops::Quantise::Rounding::kGivenNoise;
  quantise.noise = noise;
  p.node(quantise);
  p.run();
  EXPECT_EQ(p.read<Affine>(grid)[0].step, 1.0);
  EXPECT_EQ(p.read<std::uint8_t>(codes), (std::vector<std::uint8_t>{0, 1, 2, 3}));
  EXPECT_EQ(p.read<float>(values), (Floats{0, 1, 2, 3}));
  EXPECT_EQ(p.read<Affine>(running_grid)[0].step, 4.0);  // 10 / 3 is below min_scale
  EXPECT_EQ(p.read<std::uint32_t>(bounds), (std::vector<std::uint32_t>{0, 1}));
  EXPECT_EQ(p.read<std::uint8_t>(moved), (std::vector<std::uint8_t>{0, 1, 0, 0}));  // 0.4, 0.65, 0.1, 0.35
  EXPECT_EQ(p.read<float>(running), (Floats{0, 0.9F * 10.0F + 0.1F * 3.0F}));
}

TEST(Operations, ErrorCodesPutValuesOnOneGrid) {
  ProgramFixture p;
  ops::ErrorCodes op;
  op.weights.codes = p.input<std::uint8_t>("codes", {0, 3, 0, 2}, {2, 1, 1, 2});
  op.weights.grid = p.input<Affine>("grids", {p.grid(-1, 1, 2), p.grid(-7, 1, 2)}, {2});
  op.weights.width = p.width(2);
  op.weights.groups = ops::by_output_channel();
  op.bits = 4;
  op.codes = p.result("signed", Element::kInt32, {2, 1, 1, 2});
  op.grid = p.result("grid", Element::kGrid);
  p.node(op);
  p.run();
  EXPECT_EQ(p.read<Affine>(op.grid)[0].step, 1.0);  // values -1, 2, -7, -5; 7 is the largest code of 4 bits
  EXPECT_EQ(p.read<std::int32_t>(op.codes), (std::vector<std::int32_t>{-1, 2, -7, -5}));
}

/// x (2 samples of 1 x 2 x 2), w (2 x 1 x 2 x 2) with padding 0 and a 1x2 kernel: values of all three passes by hand.
struct SmallProduct {
  SmallProduct() : p(2) {
    shape.n = 2;
    shape.h = 1;
    shape.w = 2;
    shape.c = 2;
    shape.o = 2;
    shape.kw = 2;
    x.codes = p.input<std::uint8_t>("x", {1, 2, 3, 0, 0, 1, 2, 2}, {2, 1, 2, 2}, 0);
    x.grid = p.input<Affine>("x grid", {p.grid(0.5, 2, 2)});
    x.width = p.width(2);
    w.codes = p.input<std::uint8_t>("w", {1, 0, 2, 1, 3, 1, 0, 2}, {2, 1, 2, 2});
    w.grid = p.input<Affine>("w grid", {p.grid(-1, 1, 2), p.grid(0, 0.5, 2)}, {2});
    w.width = p.width(2);
    w.groups = ops::by_output_channel();
    g.codes = p.input<std::uint8_t>("g", {1, 2, 3, 0}, {2, 1, 1, 2}, 0);
    g.grid = p.input<Affine>("g grid", {p.grid(-1, 0.25, 2)});
    g.width = p.width(2);
  }
  ProgramFixture p;
  ConvShape shape;
  ops::Quantised x, w, g;
};

TEST(Operations, ForwardProductAndRescale) {
  SmallProduct s;
  const auto over = ops::conv_forward(s.shape);
  const Tensor sums = s.p.result("sums", Element::kInt32, {2, 1, 1, 2}, 0);
  const Tensor lhs = s.p.result("lhs sums", Element::kInt64, {2, 1, 1, 1}, 0);
  const Tensor rhs = s.p.result("rhs sums", Element::kInt64, {1, 1, 2});
  const Tensor y = s.p.result("y", Element::kFloat32, {2, 1, 1, 2}, 0);
  s.p.node(ops::Product{s.x, s.w, over, {}, sums});
  s.p.node(ops::CodeSums{ops::CodeSums::Side::kLhs, s.x, over, lhs});
  s.p.node(ops::CodeSums{ops::CodeSums::Side::kRhs, s.w, over, rhs});
  s.p.node(ops::Rescale{over, sums, lhs, rhs, s.x.grid, s.w.grid, y});
  s.p.run(2);
  EXPECT_EQ(s.p.read<std::int32_t>(sums), (std::vector<std::int32_t>{7, 5, 6, 5}));
  EXPECT_EQ(s.p.read<std::int64_t>(lhs), (std::vector<std::int64_t>{6, 5}));
  EXPECT_EQ(s.p.read<std::int64_t>(rhs), (std::vector<std::int64_t>{4, 6}));
  // Values of x: 2.5 4.5 6.5 0.5 | 0.5 2.5 4.5 4.5; of w: 0 -1 1 0 | 1.5 0.5 0 1.
  EXPECT_EQ(s.p.read<float>(y), (Floats{2, 6.5, 2, 6.5}));
}

TEST(Operations, ErrorProductOfBothVariants) {
  SmallProduct s;
  const auto over = ops::conv_error(s.shape);
  ops::ErrorCodes shared;
  shared.weights = s.w;
  shared.bits = 3;
  shared.codes = s.p.result("shared codes", Element::kInt32, {2, 1, 2, 2});
  shared.grid = s.p.result("shared grid", Element::kGrid);
  s.p.node(shared);
  const Tensor sums = s.p.result("sums", Element::kInt64, {2, 1, 2, 2}, 0);
  const Tensor rhs = s.p.result("rhs sums", Element::kInt64, {1, 2, 2});
  const Tensor dx = s.p.result("dx", Element::kFloat32, {2, 1, 2, 2}, 0);
  s.p.node(ops::Product{s.g, shared.result(), over, {}, sums});
  s.p.node(ops::CodeSums{ops::CodeSums::Side::kRhs, shared.result(), over, rhs});
  s.p.node(ops::Rescale{over, sums, {}, rhs, s.g.grid, shared.grid, dx});
  s.p.run(2);
  // Values of w on the grid of step 0.5: 0 -2 2 0 | 3 1 0 2. Values of g: -0.75 -0.5 | -0.25 -1.
  EXPECT_EQ(s.p.read<std::int32_t>(shared.codes), (std::vector<std::int32_t>{0, -2, 2, 0, 3, 1, 0, 2}));
  EXPECT_EQ(s.p.read<std::int64_t>(sums), (std::vector<std::int64_t>{6, 0, 2, 4, 0, -6, 6, 0}));
  EXPECT_EQ(s.p.read<std::int64_t>(rhs), (std::vector<std::int64_t>{3, -1, 2, 2}));
  EXPECT_EQ(s.p.read<float>(dx), (Floats{-0.75F, 0.5F, -0.75F, -0.5F, -1.5F, -0.25F, -0.25F, -1}));
}

TEST(Operations, WeightGradientProduct) {
  SmallProduct s;
  const auto over = ops::conv_weight_gradient(s.shape);
  const Tensor sums = s.p.result("sums", Element::kInt64, {2, 1, 2, 2});
  const Tensor lhs = s.p.result("lhs sums", Element::kInt64, {1, 2, 2});
  const Tensor rhs = s.p.result("rhs sums", Element::kInt64, {2, 1, 2});
  const Tensor dw = s.p.result("dw", Element::kFloat32, {2, 1, 2, 2});
  s.p.node(ops::Product{s.x, s.g, over, {}, sums});
  s.p.node(ops::CodeSums{ops::CodeSums::Side::kLhs, s.x, over, lhs});
  s.p.node(ops::CodeSums{ops::CodeSums::Side::kRhs, s.g, over, rhs});
  s.p.node(ops::Rescale{over, sums, lhs, rhs, s.x.grid, s.g.grid, dw});
  s.p.run(2);
  EXPECT_EQ(s.p.read<std::int64_t>(sums), (std::vector<std::int64_t>{1, 5, 9, 6, 2, 4, 6, 0}));
  EXPECT_EQ(s.p.read<std::int64_t>(lhs), (std::vector<std::int64_t>{1, 3, 5, 2}));
  EXPECT_EQ(s.p.read<std::int64_t>(rhs), (std::vector<std::int64_t>{4, 4, 2, 2}));
  // Sum over both samples of value of g (-0.75 -0.5 | -0.25 -1) times value of x.
  EXPECT_EQ(s.p.read<float>(dw), (Floats{-2, -4, -6, -1.5F, -1.75F, -4.75F, -7.75F, -4.75F}));
}

TEST(Operations, FloatProductsAreSumsInTheWrittenOrder) {
  ProgramFixture p(2);
  const ConvShape shape = matmul_shape(2, 2, 2);
  const Tensor x = p.input<float>("x", {1, 2, 3, 4}, {2, 1, 1, 2}, 0);
  const Tensor w = p.input<float>("w", {1, 10, 0.5F, -1}, {2, 1, 1, 2});
  const Tensor g = p.input<float>("g", {1, 0, 2, -1}, {2, 1, 1, 2}, 0);
  const Tensor bound = p.input<double>("bound", {8});
  const Tensor y = p.result("y", Element::kFloat32, {2, 1, 1, 2}, 0);
  const Tensor dx = p.result("dx", Element::kFloat32, {2, 1, 1, 2}, 0);
  const Tensor dw = p.result("dw", Element::kFloat32, {2, 1, 1, 2});
  p.node(ops::FloatProduct{x, w, ops::conv_forward(shape), {}, y});
  p.node(ops::FloatProduct{g, w, ops::conv_error(shape), {}, dx});
  p.node(ops::FloatProduct{x, g, ops::conv_weight_gradient(shape), bound, dw});
  p.run(2);
  EXPECT_EQ(p.read<float>(y), (Floats{21, -1.5F, 43, -2.5F}));
  EXPECT_EQ(p.read<float>(dx), (Floats{1, 10, 1.5F, 21}));
  EXPECT_EQ(p.read<float>(dw), (Floats{7, 10, -3, -4}));
}

TEST(Operations, Bounds) {
  ProgramFixture p;
  const Tensor grid = p.input<Affine>("grid", {p.grid(-1, 1, 2)});         // -1..2
  const Tensor ranges = p.input<Range>("ranges", {{-3, 1}, {0, 5}}, {2});  // 3, 5
  const Tensor magnitude = p.input<float>("magnitude", {7});
  const auto bound = [&](const std::string& name, std::vector<std::int64_t> shape) {
    return p.result(name, Element::kFloat64, std::move(shape));
  };
  ops::ProductBound each;
  each.lhs_grid = grid;
  each.rhs_range = ranges;
  each.depth = 10;
  each.rounds = true;
  each.bound = bound("each", {2});
  ops::ProductBound largest = each;
  largest.rounds = false;
  largest.bound = bound("largest", {});
  const Tensor sum = bound("sum", {});
  p.node(each);
  p.node(largest);
  p.node(ops::SumBound{largest.bound, magnitude, sum});
  p.run();
  EXPECT_EQ(p.read<double>(each.bound), (std::vector<double>{120, 200}));
  EXPECT_EQ(p.read<double>(largest.bound)[0], 100);
  EXPECT_EQ(p.read<double>(sum)[0], 107);
}

TEST(Operations, BatchNormForwardAndBackward) {
  ProgramFixture p(4);
  const std::vector<std::int64_t> shape{4, 1, 1, 1};
  const Tensor y = p.input<float>("y", {1, 2, 3, 6}, shape, 0), u = p.input<float>("u", {1, -1, 2, 0}, shape, 0);
  const Tensor y_bound = p.input<double>("y bound", {8}, {1}), u_bound = p.input<float>("u bound", {2});
  const Tensor gamma = p.input<float>("gamma", {2}, {1}), beta = p.input<float>("beta", {0.5F}, {1});
  const Tensor mean = p.state<float>("mean", {1}), variance = p.state<float>("variance", {1});
  const Tensor statistics = p.result("statistics", Element::kStatistics, {1}),
               norm = p.result("norm", Element::kNorm, {1});
  const Tensor evaluated = p.result("evaluated", Element::kNorm, {1});
  const Tensor z = p.result("z", Element::kFloat32, shape, 0), dy = p.result("dy", Element::kFloat32, shape, 0);
  const Tensor sums = p.result("sums", Element::kNormGradientSums, {1});
  const Tensor gradient = p.result("gradient", Element::kNormGradient, {1});
  const Tensor dgamma = p.result("dgamma", Element::kFloat32, {1}), dbeta = p.result("dbeta", Element::kFloat32, {1});
  p.node(ops::NormFromRunning{mean, variance, gamma, beta, evaluated});
  p.node(ops::Moments{y, y_bound, statistics});
  p.node(ops::NormFromBatch{statistics, gamma, beta, mean, variance, 4, norm});
  p.node(ops::NormApply{y, norm, z});
  p.node(ops::NormGradientSums{u, y, norm, u_bound, sums});
  p.node(ops::NormParameterGradient{sums, norm, 4, gradient, dgamma, dbeta});
  p.node(ops::NormGradient{u, y, norm, gradient, dy});
  p.run(4);
  EXPECT_EQ(p.read<NormChannel>(evaluated)[0].mean, 1.0F);
  const double m = 3, v = 3.5, r = 1 / std::sqrt(v + 1e-5);
  EXPECT_EQ(p.read<ChannelStatistics>(statistics)[0].lo, 1);
  EXPECT_EQ(p.read<ChannelStatistics>(statistics)[0].hi, 6);
  const std::vector<double> values{1, 2, 3, 6}, gradients{1, -1, 2, 0};
  double s_u = 0, s_ut = 0;
  for (std::size_t i = 0; i < 4; ++i) {
    EXPECT_NEAR(p.read<float>(z)[i], 2 * (values[i] - m) * r + 0.5, 1e-6);
    s_u += gradients[i];
    s_ut += gradients[i] * (values[i] - m);
  }
  EXPECT_NEAR(p.read<float>(dbeta)[0], s_u, 1e-6);
  EXPECT_NEAR(p.read<float>(dgamma)[0], r * s_ut, 1e-6);
  for (std::size_t i = 0; i < 4; ++i) {
    const double expected = 2 * r * (gradients[i] - s_u / 4 - (values[i] - m) * r * r * s_ut / 4);
    EXPECT_NEAR(p.read<float>(dy)[i], expected, 1e-6);
  }
  EXPECT_NEAR(p.read<float>(mean)[0], 0.9 + 0.3, 1e-6);
  EXPECT_NEAR(p.read<float>(variance)[0], 0.9 + 0.1 * v * 4 / 3, 1e-6);
}

TEST(Operations, Elementwise) {
  ProgramFixture p;
  const Tensor a = p.input<float>("a", {1, -2, 3}, {1, 3}), b = p.input<float>("b", {0.5F, 1, -3}, {1, 3});
  const Tensor bias = p.input<float>("bias", {1, 2, 3}, {3});
  const auto floats = [&](const std::string& name) { return p.result(name, Element::kFloat32, {1, 3}); };
  const Tensor sum = floats("sum"), z = floats("z"), dx = floats("dx"), shifted = floats("shifted");
  const Tensor positive = p.result("positive", Element::kBit, {1, 3});
  p.node(ops::Add{a, b, sum});
  p.node(ops::Relu{sum, z, positive});
  p.node(ops::ReluGradient{b, positive, dx});
  p.node(ops::AddBias{a, bias, shifted});
  p.run();
  EXPECT_EQ(p.read<float>(sum), (Floats{1.5F, -1, 0}));
  EXPECT_EQ(p.read<float>(z), (Floats{1.5F, 0, 0}));
  EXPECT_EQ(p.read<float>(dx), (Floats{0.5F, 0, 0}));
  EXPECT_EQ(p.read<float>(shifted), (Floats{2, 0, 6}));
}

TEST(Operations, PoolAndBiasGradient) {
  ProgramFixture p(2);
  const Tensor x = p.input<float>("x", {1, 2, 3, 6, 0, 0, 4, 2}, {2, 1, 2, 2}, 0);
  const Tensor pooled = p.result("pooled", Element::kFloat32, {2, 1, 1, 2}, 0);
  const Tensor dx = p.result("dx", Element::kFloat32, {2, 1, 2, 2}, 0);
  const Tensor bound = p.input<float>("bound", {4}), dbias = p.result("dbias", Element::kFloat32, {2});
  p.node(ops::AveragePool{x, pooled});
  p.node(ops::AveragePoolGradient{pooled, dx});
  p.node(ops::BiasGradient{pooled, bound, dbias});
  p.run(2);
  EXPECT_EQ(p.read<float>(pooled), (Floats{2, 4, 2, 1}));
  EXPECT_EQ(p.read<float>(dx), (Floats{1, 2, 1, 2, 1, 0.5F, 1, 0.5F}));
  EXPECT_EQ(p.read<float>(dbias), (Floats{4, 5}));
}

TEST(Operations, SoftmaxLossInBinary64) {
  ProgramFixture p(2);
  const Tensor logits = p.input<float>("logits", {1, 2, 0, 0, 0, 3}, {2, 1, 1, 3}, 0);
  const Tensor labels = p.input<std::int32_t>("labels", {1, 0}, {2}, 0);
  const Tensor loss = p.result("loss", Element::kLoss),
               dlogits = p.result("dlogits", Element::kFloat32, {2, 1, 1, 3}, 0);
  const Tensor losses = p.result("losses", Element::kFloat32, {2}, 0);
  p.node(ops::SoftmaxLoss{logits, labels, loss, dlogits, losses});
  p.run(2);
  const double first = std::exp(1.0) + std::exp(2.0) + 1, second = 2 + std::exp(3.0);
  EXPECT_NEAR(p.read<LossRecord>(loss)[0].loss, 0.5 * (std::log(first) - 2 + std::log(second)), 1e-6);
  EXPECT_NEAR(p.read<float>(losses)[1], std::log(second), 1e-6);
  EXPECT_EQ(p.read<LossRecord>(loss)[0].correct, 1);
  EXPECT_NEAR(p.read<float>(dlogits)[1], 0.5 * (std::exp(2.0) / first - 1), 1e-6);
  EXPECT_NEAR(p.read<float>(dlogits)[5], 0.5 * std::exp(3.0) / second, 1e-6);
}

TEST(Operations, SgdIsGuardedByTheSearchForNumbersThatAreNotFinite) {
  for (const float bad : {1.0F, std::numeric_limits<float>::quiet_NaN()}) {
    ProgramFixture p;
    const Tensor g0 = p.input<float>("g0", {1, 2}, {2}), g1 = p.input<float>("g1", {bad}, {1});
    const Tensor w0 = p.state<float>("w0", {1, 1}), w1 = p.state<float>("w1", {4});
    const Tensor m0 = p.state<float>("m0", {2, 0}), m1 = p.state<float>("m1", {0});
    const Tensor rate = p.input<float>("rate", {0.5F}), position = p.result("position", Element::kInt64);
    p.node(ops::FindNonFinite{{g0, g1}, position});
    p.node(ops::SgdUpdate{{g0, g1}, {m0, m1}, {w0, w1}, rate, position, 0.5F, 0.25F});
    p.run();
    const bool finite = bad == 1.0F;
    EXPECT_EQ(p.read<std::int64_t>(position)[0], finite ? -1 : 16);
    EXPECT_EQ(p.read<float>(m0), finite ? (Floats{2.25F, 2.25F}) : (Floats{2, 0}));
    EXPECT_EQ(p.read<float>(w0), finite ? (Floats{-0.125F, -0.125F}) : (Floats{1, 1}));
    EXPECT_EQ(p.read<float>(w1)[0], finite ? 3.0F : 4.0F);
  }
}

}  // namespace
}  // namespace bitcycle::test
