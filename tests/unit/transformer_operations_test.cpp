// SPDX-License-Identifier: Apache-2.0
// The reference loops of a Transformer's operations, beside binary64 and finite differences.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "program_fixture.h"
#include "sim/ops/loss_record.h"

namespace bitcycle::test {
namespace {

using Floats = std::vector<float>;
using ::testing::HasSubstr;

TEST(PairShape, CausalPairsAreCountedAsWhatExists) {
  const ops::PairShape square{2, 3, 4, 4, 5, true}, context{1, 1, 2, 5, 1, true}, whole{1, 1, 2, 5, 1, false};
  EXPECT_EQ(square.pairs(), 10);
  EXPECT_EQ(square.macs(), 2 * 3 * 10 * 5);
  EXPECT_EQ(context.pairs(), 4 + 5);
  EXPECT_EQ(whole.pairs(), 10);
  for (const auto& shape : {square, context, whole}) {
    for (const auto form : {ops::PairForm::kPairs, ops::PairForm::kRows, ops::PairForm::kColumns}) {
      std::int64_t terms = 0, results = 0;
      ops::for_each_pair_result({form, shape}, [&](const ops::PairTerms& of) {
        terms += of.terms;
        ++results;
      });
      EXPECT_EQ(terms, shape.macs()) << shape.text();
      EXPECT_EQ(results, (ops::PairContraction{form, shape}.out_size())) << shape.text();
    }
  }
}

/// Codes of two heads that lie side by side, whatever absent pairs hold.
TEST(PairProduct, HeadsLieSideBySideAndAbsentPairsAreNoTerms) {
  ProgramFixture p;
  const ops::PairShape shape{1, 2, 2, 2, 1, true};
  const Tensor width = p.width(8);
  // value = -1 + 0.5 q
  const auto grid = [&](const std::string& name) { return p.input<Affine>(name, {p.grid(-1.0, 0.5, 8)}, {}); };
  const auto operand = [&](const std::string& name, std::vector<std::uint8_t> codes) {
    return ops::Quantised{p.input<std::uint8_t>(name, std::move(codes)), grid(name + " grid"), width, {}};
  };
  const ops::Quantised rows = operand("rows", {4, 6, 8, 10});       // (i, head): 1 2 / 3 4
  const ops::Quantised columns = operand("columns", {2, 4, 6, 8});  // (j, head): 0 1 / 2 3
  const ops::Quantised pairs = operand("pairs", {4, 99, 6, 8, 2, 99, 3, 7});
  const auto product = [&](const std::string& name, ops::PairForm form, const ops::Quantised& lhs,
                           const ops::Quantised& rhs) {
    const ops::PairContraction over{form, shape};
    const Tensor sums = p.result(name + " sums", Element::kInt32, {over.out_size()});
    const Tensor y = p.result(name, Element::kFloat32, {over.out_size()});
    p.node(ops::PairProduct{lhs, rhs, over, sums});
    p.node(ops::PairRescale{lhs, rhs, over, sums, y});
    return y;
  };
  const Tensor scores = product("scores", ops::PairForm::kPairs, rows, columns);
  const Tensor attended = product("attended", ops::PairForm::kRows, pairs, columns);
  const Tensor scattered = product("scattered", ops::PairForm::kColumns, pairs, rows);
  p.run();
  EXPECT_EQ(p.read<float>(scores), (Floats{0, 0, 0, 6, 2, 0, 4, 12}));
  // Pairs of head 0: 1 . / 2 3, of head 1: 0 . / 0.5 2.5.
  EXPECT_EQ(p.read<float>(attended), (Floats{0, 0, 6, 0.5F + 7.5F}));
  EXPECT_EQ(p.read<float>(scattered), (Floats{1 + 6, 0 + 2, 9, 10}));
}

TEST(PairProduct, SumsAreAsWideAsTheyNeedToBe) {
  ProgramFixture p;
  const ops::PairShape shape{1, 1, 1, 40'000, 1, false};
  const Tensor width = p.width(8);
  const auto operand = [&](const std::string& name, std::int64_t size) {
    const Tensor codes =
        p.input<std::uint8_t>(name, std::vector<std::uint8_t>(static_cast<std::size_t>(size), 255), {size});
    return ops::Quantised{codes, p.input<Affine>(name + " grid", {p.grid(0.0, 1.0, 8)}, {}), width, {}};
  };
  ops::PairProduct product{operand("pairs", 40'000),
                           operand("columns", 40'000),
                           {ops::PairForm::kRows, shape},
                           p.result("narrow", Element::kInt32, {1})};
  EXPECT_THAT(refusal([&] { p.node(product); }), HasSubstr("need int64"));
  product.sums = p.result("sums", Element::kInt64, {1});
  p.node(product);
  p.program.add(Site{"layer", Pass::kForward}, ops::PairRange{p.input<float>("x", Floats(40'000, 1.0F), {40'000}),
                                                              shape, false, p.result("range", Element::kRange)});
  product.over.shape.causal = true;
  product.over.shape.m = 40'001;
  EXPECT_THAT(refusal([&] { p.node(product); }), HasSubstr("no fewer columns than rows"));
}

TEST(PairRange, LooksAtWhatExistsAndTakesZeroWhereItIsAsked) {
  for (const bool from_zero : {false, true}) {
    ProgramFixture p;
    const ops::PairShape shape{1, 1, 2, 2, 1, true};
    const Tensor x = p.input<float>("x", {3, 1000, 5, 4}, {4}), range = p.result("range", Element::kRange);
    p.node(ops::PairRange{x, shape, from_zero, range});
    p.run();
    EXPECT_EQ(p.read<Range>(range)[0].lo, from_zero ? 0.0F : 3.0F);
    EXPECT_EQ(p.read<Range>(range)[0].hi, 5.0F);
  }
}

/// dx of an operation from two evaluations of its loss, sum of weight * y.
template <typename Values>
Floats differences(const Floats& x, const Floats& weights, const Values& values) {
  constexpr double kStep = 1e-5;
  Floats result;
  for (std::size_t e = 0; e < x.size(); ++e) {
    const auto loss = [&](double by) {
      std::vector<double> moved(x.begin(), x.end());
      moved[e] += by;
      const std::vector<double> y = values(moved);
      return std::inner_product(y.begin(), y.end(), weights.begin(), 0.0);
    };
    result.push_back(static_cast<float>((loss(kStep) - loss(-kStep)) / (2 * kStep)));
  }
  return result;
}

void expect_near(const Floats& a, const Floats& b, float tolerance) {
  ASSERT_EQ(a.size(), b.size());
  for (std::size_t e = 0; e < a.size(); ++e) EXPECT_NEAR(a[e], b[e], tolerance) << e;
}

TEST(PairSoftmax, HasTheValuesAndGradientsOfBinary64) {
  ProgramFixture p;
  const ops::PairShape shape{1, 1, 2, 3, 1, true};
  const Floats x{0.5F, -1.0F, 1000.0F, 2.0F, 0.25F, -0.5F}, dy{0.3F, -0.6F, 77.0F, 0.2F, 0.9F, -0.1F};
  const float scale = 0.7F;
  const Tensor in = p.input<float>("x", x, {6}), y = p.result("y", Element::kFloat32, {6});
  const Tensor dx = p.result("dx", Element::kFloat32, {6});
  p.node(ops::PairSoftmax{in, shape, scale, y});
  p.node(ops::PairSoftmaxGradient{y, p.input<float>("dy", dy, {6}), shape, scale, dx});
  p.run();
  const auto softmax = [&](const std::vector<double>& of) {
    std::vector<double> values(6);
    for (std::size_t i = 0; i < 2; ++i) {
      double sum = 0.0;
      for (std::size_t j = 0; j < 2 + i; ++j) sum += std::exp(scale * of[3 * i + j]);
      for (std::size_t j = 0; j < 2 + i; ++j) values[3 * i + j] = std::exp(scale * of[3 * i + j]) / sum;
    }
    return values;
  };
  const std::vector<double> expected = softmax({x.begin(), x.end()});
  expect_near(p.read<float>(y), Floats(expected.begin(), expected.end()), 1e-6F);
  EXPECT_EQ(p.read<float>(y)[2], 0.0F);
  expect_near(p.read<float>(dx), differences(x, dy, softmax), 1e-5F);
}

TEST(LayerNorm, HasTheValuesAndGradientsOfBinary64) {
  ProgramFixture p(2);
  // Longer than the lanes of a row's sums.
  constexpr std::size_t kC = 35, kRows = 2;
  Floats x, dy, gamma, beta;
  for (std::size_t e = 0; e < kC * kRows; ++e) {
    x.push_back(std::sin(static_cast<float>(7 * e)) + 0.3F * static_cast<float>(e % 5));
    dy.push_back(std::cos(static_cast<float>(3 * e)));
  }
  for (std::size_t i = 0; i < kC; ++i) {
    gamma.push_back(1.0F + 0.02F * static_cast<float>(i));
    beta.push_back(-0.1F * static_cast<float>(i));
  }
  const ProgramFixture::Shape shape{kRows, 1, 1, kC};
  ops::LayerNorm op;
  op.x = p.input<float>("x", x, shape, 0);
  op.gamma = p.input<float>("gamma", gamma);
  op.beta = p.input<float>("beta", beta);
  op.statistics = p.result("statistics", Element::kFloat32, {kRows, 2}, 0);
  op.y = p.result("y", Element::kFloat32, shape, 0);
  p.node(op);
  ops::LayerNormGradient gradient{op.x, op.statistics, op.gamma, p.input<float>("dy", dy, shape, 0),
                                  p.result("dx", Element::kFloat32, shape, 0)};
  p.node(gradient);
  const Tensor bound = p.result("bound", Element::kFloat32);
  p.node(ops::Magnitude{gradient.dy, bound});
  const Tensor dgamma = p.result("dgamma", Element::kFloat32, {kC}), dbeta = p.result("dbeta", Element::kFloat32, {kC});
  p.node(ops::LayerNormParameterGradient{op.x, op.statistics, gradient.dy, bound, dgamma, dbeta});
  p.run(2);
  const auto normalise = [&](const std::vector<double>& in, const Floats& with) {
    std::vector<double> values;
    for (std::size_t n = 0; n < kRows; ++n) {
      const auto first = in.begin() + static_cast<std::ptrdiff_t>(n * kC);
      const double mean = std::accumulate(first, first + kC, 0.0) / kC;
      double variance = 0.0;
      for (std::size_t i = 0; i < kC; ++i)
        variance +=
            (first[static_cast<std::ptrdiff_t>(i)] - mean) * (first[static_cast<std::ptrdiff_t>(i)] - mean) / kC;
      for (std::size_t i = 0; i < kC; ++i) {
        values.push_back((first[static_cast<std::ptrdiff_t>(i)] - mean) / std::sqrt(variance + 1e-5) * with[i] +
                         beta[i]);
      }
    }
    return values;
  };
  const auto forward = [&](const std::vector<double>& in) { return normalise(in, gamma); };
  const std::vector<double> y = forward({x.begin(), x.end()});
  expect_near(p.read<float>(op.y), Floats(y.begin(), y.end()), 2e-6F);
  expect_near(p.read<float>(gradient.dx), differences(x, dy, forward), 1e-5F);
  for (std::size_t i = 0; i < kC; ++i) {
    double of_gamma = 0.0, of_beta = 0.0;
    for (std::size_t n = 0; n < kRows; ++n) {
      const std::size_t e = n * kC + i;
      of_gamma += dy[e] * (y[e] - beta[i]) / gamma[i];
      of_beta += dy[e];
    }
    EXPECT_NEAR(p.read<float>(dgamma)[i], of_gamma, 2e-6) << i;
    EXPECT_NEAR(p.read<float>(dbeta)[i], of_beta, 1e-6) << i;
  }
}

TEST(AddPositions, AreSinusoidsOfTheRowOfATable) {
  ProgramFixture p(2);
  const Tensor x = p.input<float>("x", Floats(4 * 6, 0.5F), {4, 6}, 0), y = p.result("y", Element::kFloat32, {4, 6}, 0);
  p.node(ops::AddPositions{x, 4.0F, 2, 2, y});
  p.run(2);
  const Floats values = p.read<float>(y);
  for (std::size_t r = 0; r < 4; ++r) {
    for (std::size_t k = 0; k < 3; ++k) {
      const double angle = static_cast<double>(r % 2 + 2) * std::exp(-static_cast<double>(k) * std::log(10000.0) / 2);
      EXPECT_NEAR(values[6 * r + k], 2.0 + std::sin(angle), 1e-6) << r << " " << k;
      EXPECT_NEAR(values[6 * r + 3 + k], 2.0 + std::cos(angle), 1e-6) << r << " " << k;
    }
  }
}

TEST(Dropout, KeepsWhatItSaysAndItsGradientKeepsTheSame) {
  ProgramFixture p;
  constexpr std::int64_t kSize = 10'001;
  const Floats ones(kSize, 1.0F);
  const Tensor step = p.input<std::uint32_t>("step", {3}, {});
  const auto dropped = [&](const std::string& name, double rate, std::uint32_t id) {
    const Tensor y = p.result(name, Element::kFloat32, {kSize});
    p.node(ops::Dropout{p.input<float>(name + " x", ones), step, y, dropout_rule(rate), 5, id});
    return y;
  };
  const Tensor once = dropped("once", 0.3, 7), again = dropped("again", 0.3, 7), other = dropped("other", 0.3, 8),
               all = dropped("all", 0.0, 7);
  p.run();
  EXPECT_EQ(p.read<float>(once), p.read<float>(again));
  EXPECT_NE(p.read<float>(once), p.read<float>(other));
  EXPECT_EQ(p.read<float>(all), ones);
  std::int64_t kept = 0;
  for (const float y : p.read<float>(once)) {
    EXPECT_TRUE(y == 0.0F || y == static_cast<float>(1.0 / 0.7));
    kept += y != 0.0F ? 1 : 0;
  }
  EXPECT_NEAR(static_cast<double>(kept) / kSize, 0.7, 0.02);
}

TEST(Nag, FollowsTheLearningRate) {
  ProgramFixture p;
  ops::Nag op;
  op.gradients = {p.input<float>("g", {0.5F}, {1})};
  op.momenta = {p.state<float>("b", {0.25F})};
  op.parameters = {p.state<float>("w", {1.0F})};
  op.rate = p.input<float>("rate", {0.1F}, {});
  op.rate_before = p.state<float>("before", {0.2F});
  op.rule = {0.9, 0.0, 0.0};
  p.node(op);
  p.run();
  const double r = 0.1 / 0.2;
  EXPECT_NEAR(p.read<float>(op.parameters[0])[0], 1.0 + 0.81 * r * 0.25 - 1.9 * 0.1 * 0.5, 1e-6);
  EXPECT_NEAR(p.read<float>(op.momenta[0])[0], 0.9 * r * 0.25 - 0.1 * 0.5, 1e-7);
  EXPECT_EQ(p.read<float>(op.rate_before)[0], 0.1F);
}

TEST(Adamw, WithOneStepMovesByTheRateInTheGradientsDirectionAndDecays) {
  ProgramFixture p;
  ops::Adamw op;
  op.gradients = {p.input<float>("g", {3.0F, -0.01F}, {2})};
  op.moments = {p.state<float>("m", {0, 0})};
  op.squares = {p.state<float>("v", {0, 0})};
  op.parameters = {p.state<float>("w", {1.0F, 1.0F})};
  op.rate = p.input<float>("rate", {0.1F}, {});
  op.step = p.input<std::uint32_t>("step", {0}, {});
  op.norm = p.result("norm", Element::kFloat64);
  op.rule = {0.9, 0.98, 1e-8, 0.01, 1.0};
  p.node(op);
  p.run();
  EXPECT_NEAR(p.read<double>(op.norm)[0], std::hypot(3.0, 0.01), 1e-6);
  EXPECT_NEAR(p.read<float>(op.parameters[0])[0], 0.999 - 0.1, 1e-6);
  EXPECT_NEAR(p.read<float>(op.parameters[0])[1], 0.999 + 0.1, 1e-5);
  EXPECT_NEAR(p.read<float>(op.moments[0])[0], 0.1 * 3.0 / std::hypot(3.0, 0.01), 1e-6);
}

TEST(Columns, AreTurnedTakenAndPutSideBySide) {
  ProgramFixture p;
  const Tensor x = p.input<float>("x", {1, 2, 3, 4, 5, 6}, {2, 3}), z = p.input<float>("z", {7, 8}, {2, 1});
  const Tensor turned = p.result("turned", Element::kFloat32, {3, 2}),
               some = p.result("some", Element::kFloat32, {2, 2}), both = p.result("both", Element::kFloat32, {2, 4});
  p.node(ops::Transpose{x, turned});
  p.node(ops::SliceColumns{x, 1, some});
  p.node(ops::ConcatenateColumns{{x, z}, both});
  p.run();
  EXPECT_EQ(p.read<float>(turned), (Floats{1, 4, 2, 5, 3, 6}));
  EXPECT_EQ(p.read<float>(some), (Floats{2, 3, 5, 6}));
  EXPECT_EQ(p.read<float>(both), (Floats{1, 2, 3, 7, 4, 5, 6, 8}));
}

TEST(Columns, OfOtherShapesAreRefused) {
  const auto refuses = [](const auto& write) {
    ProgramFixture p;
    const Tensor x = p.input<float>("x", {1, 2, 3, 4, 5, 6}, {2, 3}), y = p.result("y", Element::kFloat32, {2, 3});
    EXPECT_THROW(write(p, x, y), std::invalid_argument);
  };
  refuses([](ProgramFixture& p, Tensor x, Tensor y) { p.node(ops::Transpose{x, y}); });
  refuses([](ProgramFixture& p, Tensor x, Tensor y) { p.node(ops::SliceColumns{x, 1, y}); });
  refuses([](ProgramFixture& p, Tensor x, Tensor y) { p.node(ops::ConcatenateColumns{{x, x}, y}); });
}

TEST(Bands, HaveTheirOwnRowsAndLabels) {
  ProgramFixture p;
  const Tensor tokens = p.input<std::int32_t>("tokens", {0, 3, 1, 5, 3}, {5});
  const Tensor table = p.input<float>("table", {10, 20}, {2, 1});  // words 3 and 4
  const Tensor y = p.result("y", Element::kFloat32, {5, 1}), masked = p.result("masked", Element::kFloat32, {5, 1});
  const Tensor dtable = p.result("dtable", Element::kFloat32, {2, 1});
  const Tensor rows = p.input<float>("rows", {1, 2, 3, 4, 5}, {5, 1});
  p.node(ops::BandRows{table, tokens, 3, y});
  p.node(ops::MaskRows{rows, tokens, 3, 2, masked});
  p.node(ops::BandRowsGradient{tokens, rows, 3, dtable});
  const auto labels = [&](const std::string& name) { return p.result(name, Element::kInt32, {5}); };
  const ops::BandLabels bands{tokens, {3, 5, 6}, {labels("head"), labels("first"), labels("second")}};
  p.node(bands);
  p.run();
  EXPECT_EQ(p.read<float>(y), (Floats{0, 10, 0, 0, 10}));
  EXPECT_EQ(p.read<float>(masked), (Floats{0, 2, 0, 0, 5}));
  EXPECT_EQ(p.read<float>(dtable), (Floats{7, 0}));
  using Labels = std::vector<std::int32_t>;
  EXPECT_EQ(p.read<std::int32_t>(bands.labels[0]), (Labels{0, 3, 1, 4, 3}));
  EXPECT_EQ(p.read<std::int32_t>(bands.labels[1]), (Labels{-1, 0, -1, -1, 0}));
  EXPECT_EQ(p.read<std::int32_t>(bands.labels[2]), (Labels{-1, -1, -1, 0, -1}));
}

TEST(Bands, LossesOfOtherBandsAreZeroAndTheSumIsReported) {
  ProgramFixture p;
  const Tensor logits = p.input<float>("logits", {0, 0, 5, 1}, {2, 2});
  ops::SoftmaxLoss op{logits, p.input<std::int32_t>("labels", {1, -1}, {2}), p.result("loss", Element::kLoss),
                      p.result("dlogits", Element::kFloat32, {2, 2}), p.result("losses", Element::kFloat32, {2})};
  op.partial = true;
  p.node(op);
  const Tensor sum = p.result("sum", Element::kLoss);
  p.node(ops::AddLosses{{op.loss, op.loss}, sum});
  p.run();
  EXPECT_EQ(p.read<float>(op.losses)[1], 0.0F);
  EXPECT_EQ(p.read<float>(op.dlogits), (Floats{0.25F, -0.25F, 0, 0}));
  EXPECT_NEAR(p.read<LossRecord>(sum)[0].loss, std::log(2.0), 1e-6);
}

}  // namespace
}  // namespace bitcycle::test
