// SPDX-License-Identifier: Apache-2.0
// What a training writes and reports: records, evaluations, cost, summary, and evaluating its checkpoints.
#include "nn/train/trainer.h"

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

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
namespace fs = std::filesystem;

class Trainer : public ::testing::Test {
 protected:
  TrainSummary run(const Config& config, std::int64_t stop_after = 0) {
    return train_to(config, *device_, run_, listener_, stop_after);
  }
  std::string error_of(const Config& config) {
    try {
      run(config);
    } catch (const std::exception& error) {
      return error.what();
    }
    return "";
  }
  RunFolder folder() const { return RunFolder::existing(run_); }

  TemporaryFolder temporary_;
  fs::path run_ = temporary_.path() / "run";
  RecordingListener listener_;
  std::unique_ptr<Device> device_ = make_cpu_device(Isa::kAuto, 2);
};

TEST_F(Trainer, EveryStepIsRecordedWithItsBitsLossAndRate) {
  const Config config = short_config(10);
  run(config);
  const auto steps = folder().steps();
  ASSERT_EQ(steps.size(), 10U);
  const PrecisionPlan plan(precision_spec(config), 10);
  for (std::size_t i = 0; i < steps.size(); ++i) {
    const auto step = static_cast<std::int64_t>(i);
    EXPECT_EQ(steps[i].step, step);
    EXPECT_EQ(steps[i].forward_bits, plan.at(step).forward.bits());
    EXPECT_EQ(steps[i].gradient_bits, 8);
    EXPECT_EQ(steps[i].lr, learning_rate_at(config.learning_rate, step));
    EXPECT_NEAR(steps[i].loss, 2.3, 2.0);
  }
}

TEST_F(Trainer, EvaluatesEveryNStepsAndAtTheEnd) {
  const Config config = short_config(10);
  const TrainSummary summary = run(config);
  const auto evaluations = folder().evaluations();
  ASSERT_EQ(evaluations.size(), 3U);
  const auto steps = folder().steps();
  std::size_t begin = 0;
  double best = -1.0;
  for (std::size_t i = 0; i < 3; ++i) {
    const EvaluationRecord& e = evaluations[i];
    EXPECT_EQ(e.step, std::vector<std::int64_t>({4, 8, 10})[i]);
    EXPECT_DOUBLE_EQ(e.epoch, static_cast<double>(e.step) * 4.0 / 64.0);
    // The widths are those of the last step; the loss is the mean since the last evaluation.
    EXPECT_EQ(e.forward_bits, steps[static_cast<std::size_t>(e.step) - 1].forward_bits);
    double sum = 0.0;
    for (std::size_t s = begin; s < static_cast<std::size_t>(e.step); ++s) sum += steps[s].loss;
    EXPECT_NEAR(e.train_loss, sum / static_cast<double>(static_cast<std::size_t>(e.step) - begin), 1e-7);
    begin = static_cast<std::size_t>(e.step);
    best = std::max(best, e.test_accuracy);
  }
  EXPECT_EQ(summary.test_accuracy, evaluations.back().test_accuracy);
  EXPECT_EQ(summary.best_test_accuracy, best);
  EXPECT_EQ(summary.digest, evaluations.back().digest);
  std::vector<std::string> warnings;
  EXPECT_EQ(folder().read_checkpoint("best", warnings).step, summary.best_step);
  EXPECT_TRUE(summary.finished);
}

TEST_F(Trainer, DigestsAreRecordedAtEvaluationsCheckpointsAndTheEnd) {
  Config config = short_config(10);
  config.digest.every = 100;
  run(config);
  std::vector<std::int64_t> steps;
  for (const auto& record : folder().digests()) {
    steps.push_back(record.step);
    RootDigest root;
    for (const auto& [name, digest] : record.tensors) root.add(name, digest);
    EXPECT_EQ(root.value(), record.root);
  }
  EXPECT_THAT(steps, ElementsAre(3, 4, 6, 8, 9, 10));
}

TEST_F(Trainer, TheCostIsCountedFromTheStepsThatRan) {
  const Config config = short_config(10);
  const TrainSummary summary = run(config);
  const PrecisionPlan plan(precision_spec(config), 10);
  const BitOps expected = count_bitops(model_workload(config), plan, 0, 10, bitops_options(config));
  EXPECT_DOUBLE_EQ(summary.paper_gbitops, expected.paper * 1e-9);
  EXPECT_DOUBLE_EQ(summary.executed_gbitops, expected.executed * 1e-9);
  EXPECT_GT(summary.saving_percent, 0.0);
  EXPECT_LT(summary.saving_percent, 100.0);
  EXPECT_EQ(read_file(run_ / "cost.csv"), bitops_csv(expected));
}

TEST_F(Trainer, QuantisersWhoseStepIsMinScaleAreCounted) {
  Config config = short_config(4);
  run(config);
  EXPECT_EQ(folder().evaluations().back().min_scale_bound, 0);
  // 100 is above every step that occurs: each quantiser of each step is bound. 9 convolutions: weights, inputs,
  // gradients.
  config.precision.min_scale.narrow = 100.0F;
  run_ = temporary_.path() / "bound";
  run(config);
  EXPECT_EQ(folder().evaluations().back().min_scale_bound, 4 * 9 * 3);
}

TEST_F(Trainer, ProgressCountsDownAndTheWarmUpIsNotTimed) {
  const TrainSummary summary = run(short_config(10));
  ASSERT_EQ(listener_.steps.size(), 10U);
  EXPECT_EQ(listener_.steps.back().step, 10);
  EXPECT_EQ(listener_.steps.back().seconds_left, 0.0);
  EXPECT_GT(listener_.steps.front().seconds_left, 0.0);
  EXPECT_GT(summary.images_per_second, 0.0);
  EXPECT_THAT(listener_.starts, Contains(HasSubstr("resnet8")));
}

TEST_F(Trainer, TheProfileNamesOperationsAndTheirMacs) {
  TrainOptions options;
  options.run = run_;
  options.profile = true;
  options.stop_after = 2;
  const TrainSummary summary = train(short_config(10), *device_, options, listener_);
  EXPECT_EQ(summary.step, 2);
  EXPECT_FALSE(summary.finished);
  double seconds = 0.0;
  std::int64_t macs = 0;
  for (const auto& entry : summary.profile) {
    seconds += entry.seconds;
    macs += entry.macs;
  }
  EXPECT_GT(seconds, 0.0);
  EXPECT_GT(macs, 0);
}

TEST_F(Trainer, SummaryIsReadAsItWasWritten) {
  TrainSummary summary = run(short_config(4));
  summary.warnings = {"first", "second"};
  const TrainSummary again = parse_summary(summary_json(summary));
  EXPECT_EQ(summary_json(again), summary_json(summary));
  EXPECT_EQ(again.digest, summary.digest);
  EXPECT_EQ(again.warnings, summary.warnings);
  EXPECT_THROW(parse_summary("{}"), std::runtime_error);
  EXPECT_THROW(parse_summary("no json"), std::runtime_error);
}

TEST_F(Trainer, InitialWeightsOfAFileGiveTheSameRun) {
  const Config config = short_config(3);
  const TrainSummary drawn = run(config);
  TensorFile file;
  {
    const Dataset dataset = load_dataset(config.data, config.model.classes);
    NetworkRun network(config, dataset, *device_);
    set_initial_state(network, config);
    file.tensors = save_state(network.state());
  }
  Config from_file = config;
  from_file.model.initial_weights = (temporary_.path() / "initial.safetensors").string();
  write_safetensors(from_file.model.initial_weights, file);
  from_file.train.seed = config.train.seed;
  run_ = temporary_.path() / "from_file";
  EXPECT_EQ(run(from_file).digest, drawn.digest);
  EXPECT_EQ(folder().config().model.initial_weights_digest.size(), 32U);
  file.tensors.front().data.front() += 1.0F;
  write_safetensors(from_file.model.initial_weights, file);
  EXPECT_THAT(error_of(from_file), HasSubstr("model.initial_weights_digest"));  // the run began with other weights
  from_file.model.initial_weights = (temporary_.path() / "missing.safetensors").string();
  run_ = temporary_.path() / "missing";
  EXPECT_THAT(error_of(from_file), HasSubstr("missing.safetensors"));
}

TEST_F(Trainer, AFloat32RunTrains) {
  Config config = short_config(3, 2);
  config.precision.forward = {"constant", BitWidth::float32(), BitWidth::float32(), 1, 3};
  config.precision.gradient = config.precision.forward;
  const TrainSummary summary = run(config);
  EXPECT_TRUE(summary.finished);
  EXPECT_EQ(folder().steps().front().forward_bits, 32);
}

TEST_F(Trainer, AFewImagesAreLearntByHeart) {
  Config config = short_config(120, 16);
  config.data.train_images = 32;
  config.data.augment = false;
  config.train.evaluate_every = config.train.checkpoint_every = config.digest.every = 120;
  config.precision.forward.cycles = 4;
  run(config);
  const auto steps = folder().steps();
  double first = 0.0, last = 0.0;
  for (std::size_t i = 0; i < 10; ++i) {
    first += steps[i].loss / 10.0;
    last += steps[steps.size() - 1 - i].loss / 10.0;
  }
  EXPECT_LT(last, 0.5 * first);
}

TEST_F(Trainer, ImpossibleLoopsAreErrorsThatNameTheKey) {
  Config config = short_config(4);
  config.train.steps = 0;
  EXPECT_THAT(error_of(config), HasSubstr("train.steps"));
  config = short_config(4);
  config.digest.every = 0;
  EXPECT_THAT(error_of(config), HasSubstr("digest.every"));
  config = short_config(4);
  config.model.name = "resnet9";
  EXPECT_THAT(error_of(config), HasSubstr("resnet9"));
}

TEST_F(Trainer, EvaluateRunGivesWhatTheTrainingFound) {
  const TrainSummary summary = run(short_config(10));
  const EvaluateResult widest = evaluate_run(run_, *device_, {});
  EXPECT_EQ(widest.step, 10);
  EXPECT_EQ(widest.width, BitWidth::integer(8));
  EXPECT_EQ(widest.test_accuracy, summary.test_accuracy_max_width);
  EXPECT_EQ(widest.images, 20);
  EvaluateOptions options;
  options.checkpoint = "best";
  EXPECT_EQ(evaluate_run(run_, *device_, options).step, summary.best_step);
  for (const BitWidth width : {BitWidth::integer(2), BitWidth::integer(12), BitWidth::float32()}) {
    options.width = width;
    const EvaluateResult result = evaluate_run(run_, *device_, options);
    EXPECT_EQ(result.width, width);
    EXPECT_GT(result.test_loss, 0.0);
    const EvaluateResult reference = evaluate_run(run_, *make_reference_device(), options);
    EXPECT_EQ(reference.test_loss, result.test_loss) << width.text();
    EXPECT_EQ(reference.test_accuracy, result.test_accuracy) << width.text();
  }
}

TEST_F(Trainer, EvaluatingARunWithoutCheckpointIsAnError) {
  EXPECT_THROW(evaluate_run(run_, *device_, {}), std::runtime_error);
}

}  // namespace
}  // namespace bitcycle::test
