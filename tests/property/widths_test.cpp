// SPDX-License-Identifier: Apache-2.0
// widths.csv: the widths that a run's steps had, recorded where they change, and what a run is priced by.
#include <gtest/gtest.h>

#include "cost_models/bitops.h"
#include "nn/io/atomic_file.h"
#include "nn/models/model.h"
#include "nn/train/recorded_widths.h"
#include "tests/golden/temporary_folder.h"
#include "tests/property/run_files.h"
#include "tests/property/training_fixture.h"

namespace bitcycle::test {
namespace {

BitWidth bits(int n) { return BitWidth::integer(n); }

Config config_with_an_override() {
  Config config = short_config(8, 2);
  config.data.test_images = 4;
  config.precision.layers = {{"conv1", ScheduleSpec{"constant", bits(8), bits(8), 1, 8}, {}}};
  return config;
}

void expect_same_plans(const PrecisionPlan& a, const PrecisionPlan& b, std::int64_t steps) {
  for (const char* layer : {"conv1", "group1_layer0.conv1"}) {
    for (std::int64_t step = 0; step < steps; ++step) EXPECT_EQ(a.at(step, layer), b.at(step, layer)) << layer << step;
    EXPECT_EQ(a.histogram(layer, 0, steps), b.histogram(layer, 0, steps));
    EXPECT_EQ(a.max(layer), b.max(layer));
  }
}

TEST(Widths, ARunRecordsItsChangesAndIsPricedByThem) {
  const TemporaryFolder folder;
  const auto run = folder.path() / "run";
  const Config config = config_with_an_override();
  RecordingListener listener;
  const auto device = make_cpu_device(Isa::kAuto, 1);
  TrainOptions options;
  options.run = run;
  options.stop_after = 5;  // between checkpoints: what follows the last one is recorded again
  train(config, *device, options, listener);
  options.stop_after = 0;
  train(config, *device, options, listener);
  const RunFolder done = RunFolder::existing(run);
  const auto records = done.widths();
  const PrecisionPlan plan(precision_spec(config), 8);
  ASSERT_FALSE(records.empty());
  EXPECT_EQ(records.front().step, 0);
  for (std::size_t i = 0; i < records.size(); ++i) {
    EXPECT_EQ(records[i].widths, plan.at(records[i].step));
    if (i > 0) {
      EXPECT_NE(records[i].widths, records[i - 1].widths);
    }
    EXPECT_EQ(records[i].layers.count("conv1"), plan.at(records[i].step).forward == bits(8) ? 0U : 1U);
  }
  expect_same_plans(PrecisionPlan(recorded_precision(done, config, 8), 8), plan, 8);
  EXPECT_EQ(done.record_damage(), std::vector<std::string>{});
  std::string text = read_file(run / "widths.csv");
  text[text.find("conv1=8")] = 'k';
  write_file_atomically(run / "widths.csv", text);
  ASSERT_EQ(done.record_damage().size(), 1U);
  EXPECT_NE(done.record_damage().front().find("widths.csv:2' was changed"), std::string::npos);
}

/// Whatever the config says: the record is what ran.
TEST(Widths, TheRecordCountsNotTheConfig) {
  const TemporaryFolder folder;
  const Config config = config_with_an_override();
  RunFolder run = RunFolder::open(folder.path() / "run", config);
  run.append(WidthRecord{0, {bits(4), bits(8)}, {{"conv1", {bits(6), bits(8)}}}});
  run.append(WidthRecord{2, {BitWidth::float32(), bits(16)}, {}});
  run.flush();
  const PrecisionPlan plan(recorded_precision(run, config, 5), 8);
  EXPECT_EQ(plan.at(1, "conv1"), (LayerWidths{bits(6), bits(8)}));
  EXPECT_EQ(plan.at(1, "group1_layer0.conv1"), (LayerWidths{bits(4), bits(8)}));
  EXPECT_EQ(plan.at(4, "conv1"), (LayerWidths{BitWidth::float32(), bits(16)}));
  EXPECT_EQ(plan.at(5, "conv1"), PrecisionPlan(precision_spec(config), 8).at(5, "conv1"));  // not done yet
  const Workload workload = model_workload(config);
  const BitOps ran = count_bitops(workload, plan, 0, 5, {}),
               asked_for = count_bitops(workload, PrecisionPlan(precision_spec(config), 8), 0, 5, {});
  EXPECT_GT(ran.paper, asked_for.paper);
}

TEST(Widths, ARunOfAnEarlierVersionIsPricedByItsConfig) {
  const TemporaryFolder folder;
  const Config config = config_with_an_override();
  const RunFolder run = RunFolder::open(folder.path() / "run", config);
  expect_same_plans(PrecisionPlan(recorded_precision(run, config, 8), 8), PrecisionPlan(precision_spec(config), 8), 8);
}

}  // namespace
}  // namespace bitcycle::test
