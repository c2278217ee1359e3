// SPDX-License-Identifier: Apache-2.0
// Runs that are made longer, and runs that go on from another one's checkpoint: the bits are those of a run that was
// never anything else, and what would not be is refused.
#include "nn/train/fork.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cost_models/bitops.h"
#include "nn/models/model.h"
#include "nn/train/cost_options.h"
#include "run_files.h"
#include "tests/golden/temporary_folder.h"
#include "training_fixture.h"

namespace bitcycle::test {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::HasSubstr;
namespace fs = std::filesystem;

/// Whose steps do not depend on how many there are.
Config open_config(std::int64_t steps) {
  Config config = short_config(steps, 2);
  config.data.test_images = 5;
  const auto bits = [](int b) { return BitWidth::integer(b); };
  config.precision.forward = {"piecewise", bits(4), bits(8), 1, steps, {{0, bits(4)}, {5, bits(6)}, {9, bits(8)}}};
  config.learning_rate.schedule = "constant";
  return config;
}

class Fork : public ::testing::Test {
 protected:
  TrainSummary run(const Config& config, const std::string& name, std::int64_t stop_after = 0) {
    const auto device = make_cpu_device(Isa::kAuto, 1);
    return train_to(config, *device, folder_.path() / name, listener_, stop_after);
  }
  std::string error_of(const Config& config, const std::string& name) {
    try {
      run(config, name);
    } catch (const std::exception& error) {
      return error.what();
    }
    return "no error";
  }
  Config forked(Config config, const std::string& parent, std::int64_t step) const {
    config.fork = {(folder_.path() / parent).string(), step, ""};
    return config;
  }
  fs::path at(const std::string& name) const { return folder_.path() / name; }

  TemporaryFolder folder_;
  RecordingListener listener_;
};

TEST_F(Fork, AFinishedRunMadeLongerHasTheFilesOfOneThatWasLongFromTheStart) {
  run(open_config(12), "long");
  run(open_config(8), "made longer");
  const TrainSummary summary = run(open_config(12), "made longer");
  EXPECT_FALSE(summary.was_finished);
  EXPECT_EQ(summary.step, 12);
  EXPECT_THAT(listener_.starts, Contains(HasSubstr("the finished run of 8 steps becomes one of 12")));
  EXPECT_THAT(listener_.starts, Contains(HasSubstr("resumed at step 8 of 12")));
  expect_same_run(at("long"), at("made longer"));
  EXPECT_TRUE(run(open_config(12), "made longer").was_finished);
}

TEST_F(Fork, AnUnfinishedRunIsMadeLongerAndAnEndBetweenEvaluationsKeepsItsRecord) {
  run(open_config(12), "long");
  run(open_config(6), "a", 3);
  run(open_config(7), "a");
  run(open_config(12), "a");
  EXPECT_EQ(run_files(at("a"))["steps.csv"], run_files(at("long"))["steps.csv"]);
  std::map<std::int64_t, Digest128> expected;
  for (const auto& record : RunFolder::existing(at("long")).digests()) expected[record.step] = record.root;
  for (const auto& record : RunFolder::existing(at("a")).digests()) EXPECT_EQ(record.root, expected.at(record.step));
  std::vector<std::int64_t> evaluated;
  for (const auto& record : RunFolder::existing(at("a")).evaluations()) evaluated.push_back(record.step);
  EXPECT_EQ(evaluated, (std::vector<std::int64_t>{4, 7, 8, 12})) << "7 was the end once";
}

TEST_F(Fork, WhatWouldChangeStepsThatRanIsRefusedWithTheFirstOfThem) {
  Config cyclic = open_config(8);
  cyclic.precision.forward = {"cyclic_cosine", BitWidth::integer(3), BitWidth::integer(8), 2, 8};
  run(cyclic, "cyclic", 4);
  Config longer = cyclic;
  longer.train.steps = longer.precision.forward.steps = longer.learning_rate.steps = 16;
  EXPECT_THAT(error_of(longer, "cyclic"),
              AllOf(HasSubstr("train.steps: this run 16, folder 8"), HasSubstr("it cannot be made longer"),
                    HasSubstr("step 1 ran at 4/8 bits"), HasSubstr("this config gives it 3/8"), HasSubstr("--from")));
  longer.precision.forward.cycles = 4;  // the shape that ran
  EXPECT_EQ(error_of(longer, "cyclic"), "no error");
  EXPECT_EQ(RunFolder::existing(at("cyclic")).config().precision.forward.cycles, 4);

  Config falling = open_config(8);
  falling.learning_rate.schedule = "piecewise";
  run(falling, "falling");
  longer = falling;
  longer.train.steps = longer.learning_rate.steps = 12;
  EXPECT_THAT(error_of(longer, "falling"),
              HasSubstr("step 4 ran at the learning rate 0.00499999989, and this config gives it 0.0500000007"));
  longer.learning_rate.points = {4.0, 6.0};
  EXPECT_EQ(error_of(longer, "falling"), "no error");
}

TEST_F(Fork, OnlyMoreStepsMakeARunLonger) {
  run(open_config(8), "a");
  EXPECT_THAT(error_of(open_config(4), "a"),
              AllOf(HasSubstr("another config"), HasSubstr("train.steps: this run 4, folder 8")));
  Config other = open_config(12);
  other.train.seed = 6;
  EXPECT_THAT(error_of(other, "a"), AllOf(HasSubstr("train.seed"), HasSubstr("--out")));
  EXPECT_TRUE(RunFolder::existing(at("a")).finished()) << "a refusal changes nothing";
  EXPECT_EQ(RunFolder::existing(at("a")).config().train.steps, 8);
}

TEST_F(Fork, OfTheSameConfigHasTheRecordsOfTheUninterruptedRun) {
  run(open_config(12), "parent");
  const TrainSummary summary = run(forked(open_config(12), "parent", 9), "child");
  EXPECT_EQ(summary.step, 12);
  EXPECT_THAT(listener_.starts, Contains(HasSubstr("forked from")));
  auto expected = run_files(at("parent")), found = run_files(at("child"));
  for (const char* file : {"steps.csv", "metrics.jsonl", "digests.jsonl", "cost.csv"})
    EXPECT_EQ(found[file], expected[file]) << file;
  const Config recorded = RunFolder::existing(at("child")).config();
  EXPECT_EQ(recorded.fork.run, at("parent").string());
  EXPECT_EQ(recorded.fork.step, 9);
  EXPECT_EQ(recorded.fork.digest.size(), 32U);
  EXPECT_TRUE(recorded.precision.history.empty()) << "its own schedules say what ran";
}

TEST_F(Fork, WithOtherWidthsKeepsThoseThatRanInItsRecordsAndItsCost) {
  run(open_config(8), "parent");
  Config config = open_config(12);
  config.precision.forward = {"constant", BitWidth::integer(3), BitWidth::integer(3), 1, 12};
  config.train.seed = 9;
  config.train.evaluate_every = 5;  // other than the parent's
  config.digest.every = 3;
  run(forked(config, "parent", 6), "child", 2);
  fs::rename(at("parent"), at("moved"));  // what was taken over is all there
  run(forked(config, "parent", 6), "child", 1);
  run(config, "child");  // the folder knows where it comes from

  const RunFolder child = RunFolder::existing(at("child"));
  const auto steps = child.steps(), before = RunFolder::existing(at("moved")).steps();
  ASSERT_EQ(steps.size(), 12U);
  for (std::size_t i = 0; i < steps.size(); ++i) {
    EXPECT_EQ(steps[i].forward_bits, i < 6 ? before[i].forward_bits : 3) << i;
    EXPECT_EQ(steps[i].loss, i < 6 ? before[i].loss : steps[i].loss);
  }
  const Config recorded = child.config();
  ASSERT_EQ(recorded.precision.history.size(), 1U);
  EXPECT_EQ(recorded.precision.history[0].until, 6);
  const PrecisionPlan plan(precision_spec(recorded), 12);
  EXPECT_EQ(plan.max().forward.bits(), 6) << "of the history, too, but not the 8 bits that were still to come there";
  EXPECT_EQ(plan.own_max().forward.bits(), 3);
  double paper = 0.0;
  for (const auto& step : steps) {
    paper += static_cast<double>(model_workload(recorded).macs()) * 2 *
             (step.forward_bits * step.forward_bits + 2 * step.forward_bits * step.gradient_bits);
  }
  EXPECT_NEAR(count_bitops(model_workload(recorded), plan, 0, 12, bitops_options(recorded)).paper, paper, 1e-6 * paper);
  EXPECT_NEAR(child.evaluations().back().paper_gbitops, 1e-9 * paper, 1e-9);

  fs::rename(at("moved"), at("parent"));
  run(forked(config, "parent", 6), "at once");
  expect_same_run(at("at once"), at("child"));
  EXPECT_EQ(config_yaml(parse_config(config_yaml(recorded), "x")), config_yaml(recorded));

  // A fork of a fork has both parts of its past.
  Config third = open_config(16);
  third.precision.forward = {"constant", BitWidth::integer(5), BitWidth::integer(5), 1, 16};
  run(forked(third, "child", 12), "grandchild", 1);
  const auto widths = RunFolder::existing(at("grandchild")).steps();
  const PrecisionPlan whole(precision_spec(RunFolder::existing(at("grandchild")).config()), 16);
  ASSERT_EQ(widths.size(), 13U);
  for (const auto& step : widths)
    EXPECT_EQ(whole.at(step.step, "conv1").forward.bits(), step.forward_bits) << step.step;
  std::int64_t counted = 0;
  for (const auto& [pair, count] : whole.histogram("conv1", 0, 13)) counted += count;
  EXPECT_EQ(counted, 13);
}

TEST_F(Fork, WhatCannotBeIsSaidAndLeavesNoFolder) {
  run(open_config(8), "parent");
  EXPECT_THAT(error_of(forked(open_config(8), "parent", 0), "a"), HasSubstr("nothing is left to train"));
  EXPECT_THAT(error_of(forked(open_config(12), "parent", 5), "a"), HasSubstr("no checkpoint of step 5"));
  EXPECT_THAT(error_of(forked(open_config(12), "none", 5), "a"), HasSubstr("there is no run folder"));
  EXPECT_THAT(error_of(forked(open_config(12), "parent", 6), "parent"), HasSubstr("choose another folder with --out"));
  Config batch = open_config(12);
  batch.train.batch = 4;
  EXPECT_THAT(error_of(forked(batch, "parent", 6), "a"), HasSubstr("train.batch: this run 4, folder 2"));
  Config other = forked(open_config(12), "parent", 6);
  other.fork.digest = std::string(32, '0');
  EXPECT_THAT(error_of(other, "a"), HasSubstr("has the digest"));
  EXPECT_FALSE(fs::exists(at("a")));
}

}  // namespace
}  // namespace bitcycle::test
