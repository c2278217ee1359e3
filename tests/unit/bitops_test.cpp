// SPDX-License-Identifier: Apache-2.0
// Bit operations of a small workload, counted by hand; the reports add up to the same sums.
#include "cost_models/bitops.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "cost_models/bitops_report.h"
#include "cost_models/schedule_report.h"

namespace bitcycle {
namespace {

constexpr double kMacs = 100.0 * 2 * 10;  // of a layer: 10 x 10, batch 2, 10 steps

ScheduleSpec fixed(BitWidth width) { return {"constant", width, width, 1, 1}; }

Workload three_layers() {
  Workload workload;
  workload.model = "three";
  workload.matrix.push_back({"first", "conv2d", matmul_shape(1, 10, 10), true, false});
  workload.matrix.push_back({"middle", "conv2d", matmul_shape(1, 10, 10), true, true});
  workload.matrix.push_back({"last", "linear", matmul_shape(1, 10, 10), false, true});
  workload.elementwise.push_back({"middle", "batch_norm", 50});
  workload.elementwise.push_back({"middle", "softmax", 1000});
  return workload;
}

BitOpsOptions options_of(ErrorWeights error_weights) {
  BitOpsOptions options;
  options.batch = 2;
  options.error_weights = error_weights;
  return options;
}

PrecisionPlan plan_of(BitWidth forward, BitWidth gradient) {
  return PrecisionPlan({fixed(forward), fixed(gradient), {}}, 10);
}

TEST(BitOps, ExecutedCountsWhatRan) {
  const Workload workload = three_layers();
  const PrecisionPlan plan = plan_of(BitWidth::integer(4), BitWidth::integer(8));
  const BitOps shared = count_bitops(workload, plan, 0, 10, options_of(ErrorWeights::kShared));
  EXPECT_EQ(shared.paper, 3 * kMacs * (16 + 32 + 32));
  EXPECT_EQ(shared.executed, kMacs * (16 + 32) + kMacs * (16 + 8 * 16 + 32) + 3 * kMacs * 1024);
  const BitOps requantised = count_bitops(workload, plan, 0, 10, options_of(ErrorWeights::kRequantised));
  EXPECT_EQ(requantised.executed, kMacs * (16 + 32) + kMacs * (16 + 32 + 32) + 3 * kMacs * 1024);
  EXPECT_EQ(count_bitops(workload, plan, 0, 0, options_of(ErrorWeights::kShared)).paper, 0.0);
  // Activations, as the operands of attention are, lie on no grid of weights.
  Workload attention = workload;
  attention.matrix[1].rhs_is_activation = true;
  EXPECT_EQ(count_bitops(attention, plan, 0, 10, options_of(ErrorWeights::kShared)).executed, requantised.executed);
}

TEST(BitOps, PatternsOfThePapersLayersMustMatchOne) {
  const Workload workload = three_layers();
  const PrecisionPlan plan = plan_of(BitWidth::integer(4), BitWidth::integer(8));
  BitOpsOptions options = options_of(ErrorWeights::kShared);
  options.paper_layers = "mid*,last";
  EXPECT_EQ(count_bitops(workload, plan, 0, 10, options).paper, 2 * kMacs * (16 + 32 + 32));
  options.paper_layers = "last,rnn*";
  try {
    count_bitops(workload, plan, 0, 10, options);
    FAIL();
  } catch (const std::invalid_argument& error) {
    EXPECT_NE(std::string(error.what()).find("'rnn*' of cost.paper_layers matches no layer of three"),
              std::string::npos)
        << error.what();
  }
}

TEST(BitOps, OneFloat32OperandMakesAFloat32Product) {
  const Workload workload = three_layers();
  const auto options = options_of(ErrorWeights::kRequantised);
  const BitOps gradient = count_bitops(workload, plan_of(BitWidth::integer(4), BitWidth::float32()), 0, 10, options);
  EXPECT_EQ(gradient.executed, kMacs * (16 + 1024) + kMacs * (16 + 2 * 1024) + 3 * kMacs * 1024);
  EXPECT_EQ(gradient.paper, 3 * kMacs * (16 + 4 * 32 + 4 * 32)) << "float32 counts as 32 bits";
  const BitOps forward = count_bitops(workload, plan_of(BitWidth::float32(), BitWidth::integer(8)), 0, 10, options);
  EXPECT_EQ(forward.executed, (2 + 3 + 3) * kMacs * 1024);
}

TEST(BitOps, BatchNormCountsTwoOperationsAnElementAndOnlyByThePapersMetric) {
  const Workload workload = three_layers();
  const PrecisionPlan plan = plan_of(BitWidth::integer(4), BitWidth::integer(8));
  BitOpsOptions options = options_of(ErrorWeights::kShared);
  const BitOps without = count_bitops(workload, plan, 0, 10, options);
  options.count_batch_norm = true;
  const BitOps with = count_bitops(workload, plan, 0, 10, options);
  EXPECT_EQ(with.paper - without.paper, kMacs * (16 + 32 + 32)) << "2 x 50 elements are as 100 MACs";
  EXPECT_EQ(with.executed, without.executed);
}

TEST(BitOps, TheBaselineTakesEachLayersOwnLargestWidth) {
  PrecisionSpec spec;
  spec.forward = {"cyclic_cosine", BitWidth::integer(3), BitWidth::integer(8), 2, 1};
  spec.gradient = fixed(BitWidth::integer(8));
  PrecisionOverride middle;
  middle.pattern = "mid*";
  middle.forward = fixed(BitWidth::integer(5));
  spec.layers = {middle};
  const BitOps baseline =
      count_static_bitops(three_layers(), PrecisionPlan(spec, 10), 0, 10, options_of(ErrorWeights::kShared));
  EXPECT_EQ(baseline.paper, kMacs * (2 * 3 * 64 + 25 + 2 * 40));
}

TEST(BitOps, ReportsAddUpToTheTotals) {
  PrecisionSpec spec;
  spec.forward = {"cyclic_cosine", BitWidth::integer(3), BitWidth::integer(8), 2, 1};
  spec.gradient = fixed(BitWidth::integer(8));
  const PrecisionPlan plan(spec, 10);
  const auto options = options_of(ErrorWeights::kShared);
  const BitOpsReport report = bitops_report("name", three_layers(), plan, 0, 10, options);
  const BitOps cost = count_bitops(three_layers(), plan, 0, 10, options);
  const BitOps baseline = count_static_bitops(three_layers(), plan, 0, 10, options);
  EXPECT_EQ(report.total.paper, cost.paper);
  EXPECT_EQ(report.total.executed, cost.executed);
  EXPECT_EQ(report.static_total.executed, baseline.executed);
  EXPECT_EQ(report.saving_percent, saving_percent(cost, baseline));
  EXPECT_EQ(report.total.macs, 3 * 3 * kMacs);
  BitOpsSum passes, widths, layers;
  for (const auto& [pass, sum] : report.passes) passes.paper += sum.paper;
  for (const auto& [pair, sum] : report.widths) widths.paper += sum.paper;
  for (const auto& layer : report.layers) {
    for (const auto& sum : layer.passes) layers.paper += sum.paper;
  }
  EXPECT_EQ(passes.paper, cost.paper);
  EXPECT_EQ(widths.paper, cost.paper);
  EXPECT_EQ(layers.paper, cost.paper);
  ASSERT_EQ(report.layers.size(), 3U);
  EXPECT_EQ(report.layers[0].layer, "first");
  EXPECT_EQ(report.layers[0].passes[1].executed, 0.0) << "nothing needs the first layer's error pass";

  const auto json = bitops_json(report);
  EXPECT_EQ(json.at("paper_gbitops"), cost.paper * 1e-9);
  EXPECT_EQ(json.at("static_paper_gbitops"), baseline.paper * 1e-9);
  EXPECT_EQ(json.at("layers").at(1).at("layer"), "middle");
  EXPECT_EQ(json.at("layers").at(1).at("passes").at(2).at("pass"), "weight_gradient");
  EXPECT_EQ(json.at("widths").size(), report.widths.size());
  EXPECT_EQ(json.at("rows").size(), cost.rows.size());
}

TEST(ScheduleReport, RoundsTotalsAndRelativeCost) {
  PrecisionSpec spec;
  spec.forward = {"cyclic_cosine", BitWidth::integer(3), BitWidth::integer(4), 4, 1};
  spec.gradient = fixed(BitWidth::integer(6));
  const ScheduleReport report = schedule_report("name", PrecisionPlan(spec, 42));  // four rounds of ten steps, two over
  EXPECT_EQ(stretches_in_a_round(report.groups.front().stretches), 2U);
  ASSERT_EQ(report.groups.front().stretches.size(), 9U);
  EXPECT_EQ(report.groups.front().stretches.back().first_step, 40);
  EXPECT_EQ(report.groups.front().stretches.back().steps, 2);
  const LayerWidths low{BitWidth::integer(3), BitWidth::integer(6)}, high{BitWidth::integer(4), BitWidth::integer(6)};
  EXPECT_EQ(report.groups.front().totals.at(low), 22);
  EXPECT_EQ(report.groups.front().totals.at(high), 20);
  EXPECT_DOUBLE_EQ(report.relative_cost, (22.0 * (9 + 36) + 20.0 * (16 + 48)) / (42.0 * (16 + 48)));
  const auto json = schedule_json(report);
  EXPECT_EQ(json.at("dwell").size(), 9U);
  EXPECT_EQ(json.at("static_forward_bits"), 4);
  EXPECT_TRUE(schedule_csv(report).starts_with("first_step,steps,forward_bits,gradient_bits\n0,5,3,6\n5,5,4,6\n"));

  const ScheduleReport constant = schedule_report("name", plan_of(BitWidth::integer(8), BitWidth::integer(8)));
  EXPECT_EQ(constant.relative_cost, 1.0);
  EXPECT_EQ(stretches_in_a_round(constant.groups.front().stretches), 1U);
}

}  // namespace
}  // namespace bitcycle
