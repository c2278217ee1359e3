// SPDX-License-Identifier: Apache-2.0
// A training that was stopped or killed, at whatever instant, ends with the digest and the files of one that was not.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <fstream>
#include <thread>

#include "run_files.h"
#include "tests/golden/temporary_folder.h"
#include "training_fixture.h"

namespace bitcycle::test {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
namespace fs = std::filesystem;

constexpr std::int64_t kSteps = 10;

Config resumable_config() {
  Config config = short_config(kSteps, 2);
  config.data.test_images = 5;
  return config;
}

/// The run that nothing interrupts, trained once for all tests of this process.
class Resume : public ::testing::Test {
 protected:
  static const fs::path& uninterrupted() {
    static const TemporaryFolder folder;
    static const fs::path run = [] {
      RecordingListener listener;
      const auto device = make_cpu_device(Isa::kAuto, 1);
      train_to(resumable_config(), *device, folder.path() / "run", listener);
      return folder.path() / "run";
    }();
    return run;
  }

  /// Trains in a child process that dies by SIGKILL. Contract: nothing in the child starts threads.
  template <typename Arrange>
  void train_and_be_killed(Arrange&& arrange, int parent_waits_ms = 0) {
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      RecordingListener listener;
      arrange(listener);
      const auto device = make_reference_device();
      train_to(resumable_config(), *device, run_, listener);
      _exit(0);
    }
    if (parent_waits_ms > 0) {
      std::this_thread::sleep_for(std::chrono::milliseconds(parent_waits_ms));
      kill(child, SIGKILL);
    }
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    if (parent_waits_ms > 0 && WIFEXITED(status)) return;  // a fast machine was done before
    ASSERT_TRUE(WIFSIGNALED(status));
    ASSERT_EQ(WTERMSIG(status), SIGKILL);
  }

  TrainSummary finish() {
    const auto device = make_cpu_device(Isa::kAuto, 2);
    const TrainSummary summary = train_to(resumable_config(), *device, run_, listener_);
    EXPECT_TRUE(summary.finished);
    EXPECT_EQ(summary.step, kSteps);
    return summary;
  }

  TemporaryFolder folder_;
  fs::path run_ = folder_.path() / "run";
  RecordingListener listener_;
};

TEST_F(Resume, StoppedAfterAnyStepTheFilesAreThoseOfTheUninterruptedRun) {
  const auto device = make_cpu_device(Isa::kAuto, 1);
  for (const std::int64_t stop : {1, 3, 4, 5, 9}) {
    RecordingListener listener;
    const fs::path run = folder_.path() / std::to_string(stop);
    const TrainSummary stopped = train_to(resumable_config(), *device, run, listener, stop);
    EXPECT_FALSE(stopped.finished);
    EXPECT_EQ(stopped.step, stop);
    const TrainSummary finished = train_to(resumable_config(), *device, run, listener);
    EXPECT_TRUE(finished.finished);
    EXPECT_THAT(listener.starts, Contains(HasSubstr("resumed at step " + std::to_string(stop))));
    expect_same_run(uninterrupted(), run);
  }
}

TEST_F(Resume, StoppedTwiceAndContinuedOnAnotherBackendTheFilesAreTheSame) {
  train_to(resumable_config(), *make_reference_device(), run_, listener_, 2);
  train_to(resumable_config(), *make_cpu_device(Isa::kPortable, 2), run_, listener_, 3);
  finish();
  expect_same_run(uninterrupted(), run_);
}

TEST_F(Resume, TheStopFlagFinishesTheStepAndSaves) {
  std::atomic<bool> stop{false};
  listener_.at_step = [&](const Progress& progress) { stop = progress.step == 5; };
  TrainOptions options;
  options.run = run_;
  options.stop = &stop;
  const auto device = make_cpu_device(Isa::kAuto, 1);
  const TrainSummary summary = train(resumable_config(), *device, options, listener_);
  EXPECT_FALSE(summary.finished);
  EXPECT_EQ(summary.step, 5);
  EXPECT_TRUE(fs::exists(run_ / "checkpoints" / "step-00000005.safetensors"));
  stop = false;
  listener_.at_step = {};
  finish();
  expect_same_run(uninterrupted(), run_);
}

TEST_F(Resume, StoppedBeforeTheFirstStepNothingIsWrittenAndTheRunStartsLater) {
  std::atomic<bool> stop{true};
  TrainOptions options;
  options.run = run_;
  options.stop = &stop;
  const auto device = make_cpu_device(Isa::kAuto, 1);
  EXPECT_EQ(train(resumable_config(), *device, options, listener_).step, 0);
  EXPECT_TRUE(fs::is_empty(run_ / "checkpoints"));
  finish();
  expect_same_run(uninterrupted(), run_);
}

TEST_F(Resume, KilledInTheMiddleOfAStepsReportTheFilesAreTheSame) {
  for (const std::int64_t step : {1, 4, 8}) {
    run_ = folder_.path() / ("killed" + std::to_string(step));
    train_and_be_killed([&](RecordingListener& listener) {
      listener.at_step = [step](const Progress& progress) {
        if (progress.step == step) kill(getpid(), SIGKILL);
      };
    });
    finish();
    expect_same_run(uninterrupted(), run_);
  }
}

TEST_F(Resume, KilledBetweenTheLastEvaluationAndItsCheckpointTheFilesAreTheSame) {
  train_and_be_killed([](RecordingListener& listener) {
    listener.at_evaluation = [](const EvaluationRecord& record) {
      if (record.step == kSteps) kill(getpid(), SIGKILL);
    };
  });
  finish();
  expect_same_run(uninterrupted(), run_);
}

TEST_F(Resume, KilledAtArbitraryInstantsAgainAndAgainTheFilesAreTheSame) {
  for (const int milliseconds : {150, 350, 300, 430}) train_and_be_killed([](RecordingListener&) {}, milliseconds);
  finish();
  expect_same_run(uninterrupted(), run_);
}

TEST_F(Resume, ADamagedNewestCheckpointIsSkippedWithAWarning) {
  const auto device = make_cpu_device(Isa::kAuto, 1);
  train_to(resumable_config(), *device, run_, listener_, 7);
  const fs::path newest = run_ / "checkpoints" / "step-00000007.safetensors";
  ASSERT_TRUE(fs::exists(newest));
  fs::resize_file(newest, fs::file_size(newest) / 2);
  finish();
  EXPECT_THAT(listener_.warnings, Contains(HasSubstr("step-00000007.safetensors")));
  EXPECT_THAT(listener_.starts, Contains(HasSubstr("resumed at step 6")));
  expect_same_run(uninterrupted(), run_);
}

TEST_F(Resume, AFlippedBitInTheNewestCheckpointIsFoundAndTheOneBeforeIsGoneOnFrom) {
  const auto device = make_cpu_device(Isa::kAuto, 1);
  train_to(resumable_config(), *device, run_, listener_, 7);
  const fs::path newest = run_ / "checkpoints" / "step-00000007.safetensors";
  std::fstream file(newest, std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(-1001, std::ios::end);  // in a momentum: still a finite number
  const int byte = file.peek();
  file.put(static_cast<char>(byte ^ 1));
  file.close();
  finish();
  EXPECT_THAT(listener_.warnings, Contains(HasSubstr("step-00000007.safetensors")));
  EXPECT_THAT(listener_.starts, Contains(HasSubstr("resumed at step 6")));
  expect_same_run(uninterrupted(), run_);
}

TEST_F(Resume, RecordsThatAreCutShortAreComputedAgain) {
  const auto device = make_cpu_device(Isa::kAuto, 1);
  train_to(resumable_config(), *device, run_, listener_, 7);
  const std::string steps = read_file(run_ / "steps.csv");
  std::ofstream(run_ / "steps.csv") << steps.substr(0, steps.find("\n6,") + 1);
  finish();
  EXPECT_THAT(listener_.warnings, Contains(HasSubstr("cut short after 6 steps")));
  expect_same_run(uninterrupted(), run_);
}

TEST_F(Resume, WhatAConfigIsRefusedForLeavesNoFolderAndMovesNoRun) {
  finish();
  const auto device = make_reference_device();
  Config refused = resumable_config();
  refused.precision.layers = {{"group4_*", ScheduleSpec{"constant", {}, BitWidth::integer(16), 1, 2}, {}}};
  const fs::path other = folder_.path() / "a/b/run";
  EXPECT_THROW(train_to(refused, *device, other, listener_), std::invalid_argument);
  EXPECT_FALSE(fs::exists(folder_.path() / "a"));
  TrainOptions options;
  options.run = run_;
  options.restart = true;
  EXPECT_THROW(train(refused, *device, options, listener_), std::invalid_argument);
  EXPECT_TRUE(fs::exists(run_ / "summary.json"));
}

TEST_F(Resume, AFinishedRunSaysWhatOfItIsDamaged) {
  finish();
  EXPECT_TRUE(listener_.warnings.empty());
  const fs::path newest = run_ / "checkpoints" / "step-00000010.safetensors";
  fs::resize_file(newest, fs::file_size(newest) - 4);
  EXPECT_TRUE(finish().was_finished);
  EXPECT_THAT(listener_.warnings, Contains(HasSubstr("step-00000010.safetensors")));
}

TEST_F(Resume, ADamagedSummaryIsMadeAgainFromTheLastCheckpoint) {
  const TrainSummary first = finish();
  std::ofstream(run_ / "summary.json") << "{";
  const TrainSummary again = finish();
  EXPECT_FALSE(again.was_finished);
  EXPECT_EQ(again.digest, first.digest);
  EXPECT_EQ(again.test_accuracy, first.test_accuracy);
  expect_same_run(uninterrupted(), run_);
}

TEST_F(Resume, AFinishedRunIsNotTrainedAgain) {
  const TrainSummary first = finish();
  const auto steps = listener_.steps.size();
  const TrainSummary again = finish();
  EXPECT_TRUE(again.was_finished);
  EXPECT_EQ(listener_.steps.size(), steps);
  EXPECT_EQ(again.digest, first.digest);
  EXPECT_EQ(again.test_accuracy, first.test_accuracy);
  EXPECT_EQ(again.best_test_accuracy, first.best_test_accuracy);
  EXPECT_EQ(again.saving_percent, first.saving_percent);
}

TEST_F(Resume, RestartBeginsAnewAndKeepsTheOldRun) {
  finish();
  TrainOptions options;
  options.run = run_;
  options.restart = true;
  const auto device = make_cpu_device(Isa::kAuto, 1);
  const TrainSummary summary = train(resumable_config(), *device, options, listener_);
  EXPECT_FALSE(summary.was_finished);
  fs::path kept = run_;
  kept += ".1";
  expect_same_run(kept, run_);
}

TEST_F(Resume, AnotherConfigIsRefusedAndNamesWhatDiffers) {
  finish();
  Config other = resumable_config();
  other.train.seed = 77;
  try {
    train_to(other, *make_reference_device(), run_, listener_);
    FAIL();
  } catch (const std::runtime_error& error) {
    EXPECT_THAT(error.what(), HasSubstr("train.seed"));
    EXPECT_THAT(error.what(), HasSubstr("--restart"));
  }
}

TEST_F(Resume, OtherImagesThanThoseOfTheCheckpointAreRefused) {
  const auto device = make_cpu_device(Isa::kAuto, 1);
  train_to(resumable_config(), *device, run_, listener_, 4);
  const fs::path path = run_ / "checkpoints" / "step-00000004.safetensors";
  Checkpoint checkpoint = read_checkpoint_file(path);
  checkpoint.file.metadata["data_checksum"] = "of other images";
  write_checkpoint_file(path, checkpoint);
  try {
    finish();
    FAIL();
  } catch (const std::runtime_error& error) {
    EXPECT_THAT(error.what(), HasSubstr("not those"));
  }
}

}  // namespace
}  // namespace bitcycle::test
