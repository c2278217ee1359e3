// SPDX-License-Identifier: Apache-2.0
// The paper's costs: savings to 0.001 and absolute GBitOPs to 1.5 %, from the networks that run.
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <sstream>

#include "cost_models/bitops.h"
#include "nn/config/config.h"
#include "nn/models/model.h"

namespace bitcycle {
namespace {

struct PaperRow {
  std::string model;
  int min = 0, max = 0, gradient = 0;
  double static_gbitops = 0.0, cpt_gbitops = 0.0, saving = 0.0;
};

std::vector<PaperRow> paper_rows() {
  std::ifstream file(std::string(BITCYCLE_GOLDEN) + "/costs/paper.csv");
  std::string line;
  std::getline(file, line);
  std::vector<PaperRow> rows;
  while (std::getline(file, line)) {
    std::vector<std::string> cells;
    std::stringstream stream(line);
    for (std::string cell; std::getline(stream, cell, ',');) cells.push_back(cell);
    if (cells.size() != 9 || cells[0] != "CIFAR-100 figure" || !cells[1].starts_with("resnet")) continue;
    rows.push_back({cells[1], std::stoi(cells[2]), std::stoi(cells[3]), std::stoi(cells[4]), std::stod(cells[5]),
                    std::stod(cells[6]), std::stod(cells[8])});
  }
  return rows;
}

Config config_of(const PaperRow& row) {
  return parse_config("model: {name: " + row.model + ", classes: 100}\ndata: {name: cifar100}\nprecision:\n  forward: {min: " +
                          std::to_string(row.min) + ", max: " + std::to_string(row.max) +
                          "}\n  gradient: {max: " + std::to_string(row.gradient) + "}\n",
                      "test");
}

TEST(PaperCost, SavingsOfTheCifarResNetsEqualTheComputedOnes) {
  const auto rows = paper_rows();
  ASSERT_EQ(rows.size(), 7U);
  for (const auto& row : rows) {
    const Config config = config_of(row);
    const Workload workload = model_workload(config);
    const PrecisionPlan plan(precision_spec(config), config.train.steps);
    const BitOps cost = count_bitops(workload, plan, 0, 64000, {});
    const BitOps baseline = count_static_bitops(workload, plan, 0, 64000, {});
    EXPECT_NEAR(saving_percent(cost, baseline), row.saving, 0.001) << row.model;
  }
}

TEST(PaperCost, AbsoluteFiguresAreTheOnesWithBatchNorm) {
  for (const auto& row : paper_rows()) {
    const Config config = config_of(row);
    const Workload workload = model_workload(config);
    const PrecisionPlan plan(precision_spec(config), config.train.steps);
    double deviation[2];
    for (const bool batch_norm : {false, true}) {
      BitOpsOptions options;
      options.count_batch_norm = batch_norm;
      const double static_cost = count_static_bitops(workload, plan, 0, 64000, options).paper * 1e-9;
      const double cpt_cost = count_bitops(workload, plan, 0, 64000, options).paper * 1e-9;
      deviation[batch_norm ? 1 : 0] = std::abs(static_cost / row.static_gbitops - 1.0);
      EXPECT_LT(std::abs(static_cost / row.static_gbitops - 1.0), 0.015) << row.model << " batch norm " << batch_norm;
      EXPECT_LT(std::abs(cpt_cost / row.cpt_gbitops - 1.0), 0.015) << row.model << " batch norm " << batch_norm;
    }
    EXPECT_LT(deviation[1], deviation[0]) << row.model << ": counting batch norm brings the figure nearer";
  }
}

TEST(BitOps, ExecutedCountsWhatRan) {
  Workload workload;
  workload.matrix.push_back({"first", "conv2d", matmul_shape(1, 10, 10), true, false});
  workload.matrix.push_back({"middle", "conv2d", matmul_shape(1, 10, 10), true, true});
  workload.matrix.push_back({"last", "linear", matmul_shape(1, 10, 10), false, true});
  PrecisionSpec spec;
  spec.forward = {"constant", BitWidth::integer(4), BitWidth::integer(4), 1, 1};
  spec.gradient = {"constant", BitWidth::integer(8), BitWidth::integer(8), 1, 1};
  const PrecisionPlan plan(spec, 10);
  BitOpsOptions options;
  options.batch = 2;
  const double macs = 100.0 * 2 * 10;
  const BitOps shared = count_bitops(workload, plan, 0, 10, options);
  EXPECT_EQ(shared.paper, 3 * macs * (16 + 32 + 32));
  EXPECT_EQ(shared.executed, macs * (16 + 32) + macs * (16 + 8 * 16 + 32) + 3 * macs * 1024);
  options.error_weights = ErrorWeights::kRequantised;
  EXPECT_EQ(count_bitops(workload, plan, 0, 10, options).executed, macs * (16 + 32) + macs * (16 + 32 + 32) + 3 * macs * 1024);
  EXPECT_EQ(count_bitops(workload, plan, 0, 0, options).paper, 0.0);
}

TEST(PrecisionPlan, OverridesOfLayersApplyAndMistypedPatternsAreFound) {
  PrecisionSpec spec;
  spec.forward = {"cyclic_cosine", BitWidth::integer(3), BitWidth::integer(8), 2, 1};
  spec.gradient = {"constant", BitWidth::integer(8), BitWidth::integer(8), 1, 1};
  PrecisionOverride first;
  first.pattern = "conv1";
  first.forward = ScheduleSpec{"constant", BitWidth::integer(8), BitWidth::integer(8), 1, 1};
  PrecisionOverride group;
  group.pattern = "group?_layer*.conv2";
  group.gradient = ScheduleSpec{"constant", BitWidth::integer(6), BitWidth::integer(6), 1, 1};
  PrecisionOverride wrong;
  wrong.pattern = "gruop*";
  wrong.gradient = group.gradient;
  spec.layers = {first, group, wrong};
  const PrecisionPlan plan(spec, 100);
  EXPECT_EQ(plan.at(0).forward.bits(), 3);
  EXPECT_EQ(plan.at(0, "conv1").forward.bits(), 8);
  EXPECT_EQ(plan.at(0, "group2_layer10.conv2").gradient.bits(), 6);
  EXPECT_EQ(plan.at(0, "group2_layer10.conv1").gradient.bits(), 8);
  EXPECT_EQ(plan.unmatched({"conv1", "group1_layer0.conv2"}), std::vector<std::string>{"gruop*"});
  std::int64_t steps = 0;
  for (const auto& [widths, count] : plan.histogram("x", 0, 100)) steps += count;
  EXPECT_EQ(steps, 100);
  EXPECT_EQ(plan.histogram("conv1", 0, 100).size(), 1U);
}

}  // namespace
}  // namespace bitcycle
