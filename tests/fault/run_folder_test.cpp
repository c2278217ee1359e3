// SPDX-License-Identifier: Apache-2.0
// Run folders whose files are damaged, cut off, another run's or in use: found, named, and nothing lost.
#include "nn/train/run_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>

#include "nn/io/atomic_file.h"
#include "nn/train/run_damage.h"
#include "tests/fault/file_faults.h"
#include "tests/golden/temporary_folder.h"

namespace bitcycle {
namespace {

namespace fs = std::filesystem;

using test::error_of;
using test::flip_bit;
using test::TinyFiles;
using test::two_tensors;
using ::testing::AllOf;
using ::testing::HasSubstr;

/// The number of a process that was there and is gone.
pid_t dead_process() {
  const pid_t child = fork();
  if (child == 0) _exit(0);
  waitpid(child, nullptr, 0);
  return child;
}

TEST(RunFolder, RecordsOfAFullDiskAreWholeLines) {
  const test::TemporaryFolder folder;
  RunFolder run = RunFolder::open(folder.path() / "run", parse_config("", "x.yaml"));
  run.append(StepRecord{0, 3, 8, 2.5, 0.1F});
  run.flush();
  for (int step = 1; step < 2000; ++step) run.append(StepRecord{step, 3, 8, 2.5, 0.1F});
  {
    const TinyFiles limit(4096);
    EXPECT_THAT(error_of([&] { run.flush(); }), HasSubstr("steps.csv"));
  }
  EXPECT_EQ(run.steps().size(), 1U);
  run.flush();  // there is room again
  EXPECT_EQ(run.steps().size(), 2000U);
}

TEST(RunFolder, ResumingCutsTornAndLaterRecords) {
  const test::TemporaryFolder folder;
  RunFolder run = RunFolder::open(folder.path() / "run", parse_config("", "x.yaml"));
  for (int step = 0; step < 10; ++step) run.append(StepRecord{step, 3, 8, 1.0 / 3.0, 0.1F});
  EvaluationRecord evaluation;
  evaluation.step = 5;
  evaluation.test_accuracy = 12.5;
  run.append(evaluation);
  evaluation.step = 8;
  run.append(evaluation);
  run.append(DigestRecord{5, {}, {{"w", {}}}});
  run.flush();
  std::ofstream(folder.path() / "run/steps.csv", std::ios::app) << "10,3,8,0.1";  // as a kill leaves it
  EXPECT_EQ(run.steps().size(), 10U);
  run.truncate_to(5);
  EXPECT_EQ(run.steps().size(), 5U);
  ASSERT_EQ(run.evaluations().size(), 1U);
  EXPECT_EQ(run.evaluations()[0].test_accuracy, 12.5);
  ASSERT_EQ(run.digests().size(), 1U);
  EXPECT_EQ(run.digests()[0].tensors[0].first, "w");
  std::ofstream(folder.path() / "run/metrics.jsonl", std::ios::app) << "{\"step\": 6}\n";
  EXPECT_THAT(error_of([&] { run.evaluations(); }), AllOf(HasSubstr("metrics.jsonl:2'"), HasSubstr("was changed")));
}

TEST(RunFolder, KeepsTheNewestAndTheBestCheckpointAndSkipsDamagedOnes) {
  const test::TemporaryFolder folder;
  RunFolder run = RunFolder::open(folder.path() / "run", parse_config("", "x.yaml"));
  for (int step = 1; step <= 6; ++step) {
    run.write_checkpoint({step, step < 2 ? 1 : 2, two_tensors()});
  }
  std::vector<std::string> warnings;
  EXPECT_EQ(run.newest_checkpoint(warnings)->step, 6);
  EXPECT_EQ(run.read_checkpoint("best", warnings).step, 2);
  EXPECT_TRUE(warnings.empty());
  EXPECT_THAT(error_of([&] { run.read_checkpoint("1", warnings); }),
              AllOf(HasSubstr("step 1"), HasSubstr("2, 4, 5, 6")));
  std::filesystem::resize_file(folder.path() / "run/checkpoints/step-00000006.safetensors", 100);
  EXPECT_EQ(run.newest_checkpoint(warnings)->step, 5);
  ASSERT_EQ(warnings.size(), 1U);
  EXPECT_THAT(warnings[0], HasSubstr("step-00000006"));
}

TEST(RunFolder, TheBestCheckpointIsNamedByTheNewestOneItself) {
  const test::TemporaryFolder folder;
  RunFolder run = RunFolder::open(folder.path() / "run", parse_config("", "x.yaml"));
  const fs::path checkpoints = folder.path() / "run/checkpoints";
  for (int step = 1; step <= 9; ++step) run.write_checkpoint({step, step < 4 ? 2 : 4, two_tensors()});
  // One file a checkpoint and nothing beside: a kill falls before or after it.
  for (const auto& entry : fs::directory_iterator(checkpoints)) {
    EXPECT_EQ(entry.path().extension(), ".safetensors") << entry.path();
  }
  std::vector<std::string> warnings;
  EXPECT_EQ(run.read_checkpoint("best", warnings).step, 4);
  EXPECT_THAT(run.checkpoint_steps(), ::testing::ElementsAre(4, 7, 8, 9));
}

TEST(RunFolder, WhereTheBestCheckpointIsDamagedTheBestOfTheOthersIsTakenAndNamed) {
  const test::TemporaryFolder folder;
  RunFolder run = RunFolder::open(folder.path() / "run", parse_config("", "x.yaml"));
  for (int step = 1; step <= 4; ++step) {
    EvaluationRecord evaluation;
    evaluation.step = step;
    evaluation.test_accuracy = step == 2 ? 90.0 : 50.0 + step;
    run.append(evaluation);
    run.flush();
    run.write_checkpoint({step, step < 2 ? 1 : 2, two_tensors()}, 9);
  }
  flip_bit(folder.path() / "run/checkpoints/step-00000002.safetensors", 1000);
  std::vector<std::string> warnings;
  EXPECT_EQ(run.read_checkpoint("best", warnings).step, 4);
  ASSERT_EQ(warnings.size(), 1U);
  EXPECT_THAT(warnings[0], AllOf(HasSubstr("step-00000002"), HasSubstr("that of step 4")));
}

TEST(Checkpoint, EveryFlippedBitIsFound) {
  const test::TemporaryFolder folder;
  const fs::path path = folder.path() / "c.safetensors";
  write_checkpoint_file(path, {7, 3, two_tensors()});
  const Checkpoint whole = read_checkpoint_file(path);
  EXPECT_EQ(whole.step, 7);
  EXPECT_EQ(whole.best_step, 3);
  EXPECT_EQ(whole.file.metadata.at("step"), "7");
  const std::string bytes = read_file(path);
  const auto key = bytes.find("checksum");
  for (std::size_t i = 0; i < 8 * bytes.size(); ++i) {
    if (i / 8 >= key && i / 8 < key + 8) continue;  // of a file without a checksum, the recorded digest is compared
    flip_bit(path, i);
    EXPECT_THAT(error_of([&] { read_checkpoint_file(path); }), HasSubstr("c.safetensors")) << "bit " << i;
    flip_bit(path, i);
  }
}

TEST(RunFolder, ACheckpointOfAnotherRunIsFoundByTheRecordedDigest) {
  const test::TemporaryFolder folder;
  RunFolder run = RunFolder::open(folder.path() / "run", parse_config("", "x.yaml"));
  run.append(DigestRecord{1, digest_root(two_tensors().tensors), {}});
  run.append(DigestRecord{2, digest_root({{"a", {1}, {7}}}), {}});
  run.flush();
  run.write_checkpoint({1, 0, two_tensors()});
  run.write_checkpoint({2, 0, two_tensors()});
  std::vector<std::string> warnings;
  EXPECT_EQ(run.newest_checkpoint(warnings)->step, 1);
  ASSERT_EQ(warnings.size(), 1U);
  EXPECT_THAT(warnings[0], AllOf(HasSubstr("step-00000002"), HasSubstr("digests.jsonl")));
  EXPECT_THAT(error_of([&] { run.read_checkpoint("2", warnings); }), HasSubstr("of another run"));
}

TEST(RunFolder, ADamagedConfigIsAnError) {
  const test::TemporaryFolder folder;
  const fs::path path = folder.path() / "run/config.yaml";
  const RunFolder run = RunFolder::open(folder.path() / "run", parse_config("train: {seed: 7}", "x.yaml"));
  const std::string whole = read_file(path);
  EXPECT_EQ(run.config().train.seed, 7U);
  const auto error_with = [&](const std::string& text) {
    std::ofstream(path) << text;
    return error_of([&] { run.config(); });
  };
  // Cut off anywhere, or with another value.
  for (std::size_t size = 0; size + 1 < whole.size(); size += 31) {
    EXPECT_THAT(error_with(whole.substr(0, size)), HasSubstr("config.yaml")) << size;
  }
  std::string changed = whole;
  changed.replace(changed.find("seed: 7"), 7, "seed: 5");
  EXPECT_THAT(error_with(changed), HasSubstr("checksum"));
  // A change that is meant, and a file of before there was a checksum: complete, so it is read.
  EXPECT_EQ(error_with(changed.substr(0, changed.rfind('#'))), "no error");
  EXPECT_EQ(run.config().train.seed, 5U);
  std::string without = changed.substr(0, changed.rfind('#'));
  without.erase(without.find("  seed: 5\n"), 10);
  EXPECT_THAT(error_with(without), AllOf(HasSubstr("'train.seed' is missing"), HasSubstr("--restart")));
}

TEST(RunFolder, RecordsThatAreCutShortAreNotGoneOnFrom) {
  const test::TemporaryFolder folder;
  const Config config = parse_config(
      "train: {steps: 6, evaluate_every: 2}\ndigest: {every: 2}\nlearning_rate: {schedule: constant}\n"
      "precision: {forward: {schedule: constant, max: 3}}",
      "x.yaml");
  RunFolder run = RunFolder::open(folder.path() / "run", config);
  const Digest128 root = digest_root(two_tensors().tensors);
  run.append(WidthRecord{0, {BitWidth::integer(3), BitWidth::integer(8)}, {}});
  for (int step = 1; step <= 6; ++step) {
    run.append(StepRecord{step - 1, 3, 8, 2.5, 0.1F});
    if (step % 2 != 0) continue;
    EvaluationRecord evaluation;
    evaluation.step = step;
    evaluation.forward_bits = 3;
    evaluation.gradient_bits = 8;
    evaluation.digest = root;
    run.append(evaluation);
    run.append(DigestRecord{step, root, {}});
    run.flush();
    run.write_checkpoint({step, 0, two_tensors()});
  }
  EXPECT_EQ(run.recorded_steps(), 6);
  const fs::path steps = folder.path() / "run/steps.csv";
  const std::string whole = read_file(steps);
  std::vector<std::string> warnings;
  EXPECT_EQ(run.resume_point(warnings)->step, 6);
  EXPECT_TRUE(warnings.empty());
  EXPECT_TRUE(damage_of(run).empty());
  // Five of six lines: the checkpoint before is taken.
  std::ofstream(steps) << whole.substr(0, whole.rfind("5,3,8"));
  EXPECT_EQ(run.resume_point(warnings)->step, 4);
  ASSERT_EQ(warnings.size(), 1U);
  EXPECT_THAT(warnings[0], HasSubstr("after 5 steps"));
  ASSERT_EQ(damage_of(run).size(), 1U);
  EXPECT_THAT(damage_of(run)[0], HasSubstr("of 6 steps it holds 5"));
  // One line: no checkpoint is that old, and nothing is thrown away.
  std::ofstream(steps) << whole.substr(0, whole.find("1,3,8"));
  EXPECT_THAT(error_of([&] { run.resume_point(warnings); }), AllOf(HasSubstr("steps.csv"), HasSubstr("--restart")));
  EXPECT_EQ(run.checkpoint_steps().size(), 3U);
  // A damaged line in the middle of another file.
  std::ofstream(steps) << whole;
  const fs::path metrics = folder.path() / "run/metrics.jsonl";
  std::string text = read_file(metrics);
  text[text.find("\"step\":4") + 1] = '?';
  std::ofstream(metrics) << text;
  warnings.clear();
  EXPECT_EQ(run.resume_point(warnings)->step, 2);
}

TEST(RunFolder, OrphansOfAKilledWriterAreRemoved) {
  const test::TemporaryFolder folder;
  const Config config = parse_config("", "x.yaml");
  const fs::path path = folder.path() / "run";
  { RunFolder::open(path, config); }
  const std::string gone = std::to_string(dead_process());
  for (const auto& name : {"cost.csv.tmp" + gone, "checkpoints/step-00000007.safetensors.tmp" + gone}) {
    std::ofstream(path / name) << "half";
  }
  std::ofstream(path / "mine.tmpfile") << "x";
  std::ofstream(path / ("report.html.tmp" + std::to_string(getppid()))) << "being written";
  RunFolder::open(path, config);
  EXPECT_FALSE(fs::exists(path / ("cost.csv.tmp" + gone)));
  EXPECT_TRUE(fs::is_empty(path / "checkpoints"));
  EXPECT_TRUE(fs::exists(path / "mine.tmpfile"));
  EXPECT_TRUE(fs::exists(path / ("report.html.tmp" + std::to_string(getppid()))));
}

TEST(RunFolder, RefusesOtherConfigsOtherFilesAndSecondProcesses) {
  const test::TemporaryFolder folder;
  const auto path = folder.path() / "run";
  const Config config = parse_config("", "x.yaml");
  {
    const RunFolder first = RunFolder::open(path, config);
    EXPECT_THAT(error_of([&] { RunFolder::open(path, config); }), HasSubstr("in use"));
  }
  EXPECT_THAT(error_of([&] { RunFolder::open(path, parse_config("train: {seed: 2}", "y.yaml")); }),
              AllOf(HasSubstr("train.seed: this run 2, folder 1"), HasSubstr("--restart"), HasSubstr("--out")));
  std::filesystem::create_directory(folder.path() / "other");
  std::ofstream(folder.path() / "other/file") << "x";
  EXPECT_THAT(error_of([&] { RunFolder::open(folder.path() / "other", config); }), HasSubstr("no run"));
  EXPECT_THAT(error_of([&] { RunFolder::open(folder.path() / "other/file", config); }), HasSubstr("is a file"));
  EXPECT_THAT(error_of([&] { RunFolder::existing(folder.path() / "none"); }), HasSubstr("no run folder"));
  const auto aside = RunFolder::set_aside(path);
  EXPECT_EQ(aside.filename(), "run.1");
  EXPECT_TRUE(std::filesystem::exists(aside / "config.yaml"));
}

TEST(RunFolder, AnUnwritableFolderIsNamed) {
  EXPECT_THAT(error_of([] { RunFolder::open("/proc/bitcycle-run", parse_config("", "x.yaml")); }),
              HasSubstr("/proc/bitcycle-run"));
}

}  // namespace
}  // namespace bitcycle
