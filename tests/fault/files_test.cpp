// SPDX-License-Identifier: Apache-2.0
// Damaged, missing and unwritable files: one clear message each, nothing lost.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstring>
#include <fstream>

#include "nn/data/cifar.h"
#include "nn/io/atomic_file.h"
#include "nn/io/safetensors.h"
#include "nn/train/run_folder.h"
#include "tests/golden/temporary_folder.h"

namespace bitcycle {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

template <typename F>
std::string error_of(F function) {
  try {
    function();
  } catch (const std::runtime_error& error) {
    return error.what();
  }
  return "no error";
}

TensorFile two_tensors() { return {{{"a", {2, 2}, {1, 2, 3, 4}}, {"b", {1}, {5}}}, {{"step", "7"}}}; }

std::string with_header(const std::string& header, const std::string& data) {
  const std::uint64_t size = header.size();
  std::string bytes(8, '\0');
  std::memcpy(bytes.data(), &size, 8);
  return bytes + header + data;
}

/// No file of this process can grow beyond a few bytes while it lives: a full disk as far as a writer can tell.
class TinyFiles {
 public:
  explicit TinyFiles(rlim_t bytes) {
    getrlimit(RLIMIT_FSIZE, &old_);
    rlimit limit = old_;
    limit.rlim_cur = bytes;
    old_handler_ = signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~TinyFiles() {
    setrlimit(RLIMIT_FSIZE, &old_);
    signal(SIGXFSZ, old_handler_);
  }
  TinyFiles(const TinyFiles&) = delete;
  TinyFiles& operator=(const TinyFiles&) = delete;

 private:
  rlimit old_{};
  void (*old_handler_)(int) = nullptr;
};

TEST(Safetensors, ReadBackWhatWasWritten) {
  const TensorFile file = parse_safetensors(format_safetensors(two_tensors()), "x");
  ASSERT_NE(file.find("a"), nullptr);
  EXPECT_EQ(file.find("a")->data, (std::vector<float>{1, 2, 3, 4}));
  EXPECT_EQ(file.find("a")->shape, (std::vector<std::int64_t>{2, 2}));
  EXPECT_EQ(file.metadata.at("step"), "7");
}

TEST(Safetensors, EveryTruncationIsAnError) {
  const std::string bytes = format_safetensors(two_tensors());
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_THAT(error_of([&] { parse_safetensors(bytes.substr(0, size), "file.st"); }), HasSubstr("file.st")) << size;
  }
}

TEST(Safetensors, LyingHeadersAreErrors) {
  const auto error = [](const std::string& header, const std::string& data = "12345678") {
    return error_of([&] { parse_safetensors(with_header(header, data), "f"); });
  };
  EXPECT_THAT(error("[]"), HasSubstr("not a JSON object"));
  EXPECT_THAT(error(R"({"a":{"dtype":"F16","shape":[4],"data_offsets":[0,8]}})"), HasSubstr("F16"));
  EXPECT_THAT(error(R"({"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}})"), HasSubstr("12"));
  EXPECT_THAT(error(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[8,16]}})"), HasSubstr("outside"));
  EXPECT_THAT(error(R"({"a":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}})"), HasSubstr("shape"));
  EXPECT_THAT(error(R"({"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,8]}})"), HasSubstr("too large"));
  EXPECT_THAT(error(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})"), HasSubstr("overlap"));
  EXPECT_THAT(error(R"({"a":7})"), HasSubstr("lacks"));
  EXPECT_THAT(error(std::string(100000, '[')), HasSubstr("nested"));
  EXPECT_THAT(error_of([] { read_safetensors("/nonexistent/file"); }), HasSubstr("/nonexistent/file"));
}

TEST(AtomicFile, AFullDiskLeavesTheOldFileWhole) {
  const test::TemporaryFolder folder;
  const auto path = folder.path() / "file";
  write_file_atomically(path, "old");
  {
    const TinyFiles limit(16);
    EXPECT_THAT(error_of([&] { write_file_atomically(path, std::string(100000, 'x')); }), AllOf(HasSubstr(path.string()), HasSubstr("ulimit")));
  }
  EXPECT_EQ(read_file(path), "old");
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder.path()), {}), 1) << "no part of the new file is left";
  EXPECT_THAT(error_of([&] { write_file_atomically(folder.path() / "no" / "file", "x"); }), HasSubstr("make the folder"));
  EXPECT_THAT(error_of([&] { read_file(folder.path()); }), HasSubstr("folder"));
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
  EXPECT_THAT(error_of([&] { run.evaluations(); }), AllOf(HasSubstr("line 2"), HasSubstr("epoch")));
}

TEST(RunFolder, KeepsTheNewestAndTheBestCheckpointAndSkipsDamagedOnes) {
  const test::TemporaryFolder folder;
  RunFolder run = RunFolder::open(folder.path() / "run", parse_config("", "x.yaml"));
  for (int step = 1; step <= 6; ++step) {
    TensorFile file = two_tensors();
    file.metadata["step"] = std::to_string(step);
    run.write_checkpoint({step, file}, step == 2);
  }
  std::vector<std::string> warnings;
  EXPECT_EQ(run.newest_checkpoint(warnings)->step, 6);
  EXPECT_EQ(run.read_checkpoint("best").step, 2);
  EXPECT_THAT(error_of([&] { run.read_checkpoint("1"); }), AllOf(HasSubstr("step 1"), HasSubstr("2, 4, 5, 6")));
  std::filesystem::resize_file(folder.path() / "run/checkpoints/step-00000006.safetensors", 100);
  EXPECT_EQ(run.newest_checkpoint(warnings)->step, 5);
  ASSERT_EQ(warnings.size(), 1U);
  EXPECT_THAT(warnings[0], HasSubstr("step-00000006"));
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

TEST(RunFolder, AnUnwritablePlaceIsNamed) {
  EXPECT_THAT(error_of([] { RunFolder::open("/proc/bitcycle-run", parse_config("", "x.yaml")); }), HasSubstr("/proc/bitcycle-run"));
}

TEST(Cifar, RecordsAreCheckedBeforeUse) {
  const CifarFormat ten = cifar_format("cifar10");
  std::string record(3073, '\0');
  record[0] = 9;
  record[1] = 'r';
  record[1 + 1024] = 'g';
  record[1 + 2048] = 'b';
  ImageSet set;
  set.count = 0;
  append_records(record, ten, "f.bin", set);
  EXPECT_EQ(set.count, 1);
  EXPECT_EQ(set.labels[0], 9);
  EXPECT_EQ(std::string(set.pixels.begin(), set.pixels.begin() + 3), "rgb");
  EXPECT_THAT(error_of([&] { append_records(record.substr(1), ten, "f.bin", set); }), AllOf(HasSubstr("f.bin"), HasSubstr("record 0 is incomplete")));
  EXPECT_THAT(error_of([&] { append_records(record + record.substr(5), ten, "f.bin", set); }), HasSubstr("record 1"));
  record[0] = 10;
  EXPECT_THAT(error_of([&] { append_records(record, ten, "f.bin", set); }), AllOf(HasSubstr("label 10"), HasSubstr("0 to 9")));
  EXPECT_THAT(error_of([&] { append_records("", ten, "f.bin", set); }), HasSubstr("empty"));
  EXPECT_THAT(error_of([] { load_cifar("", "cifar10"); }), AllOf(HasSubstr("data.path"), HasSubstr("binary version")));
  const test::TemporaryFolder folder;
  EXPECT_THAT(error_of([&] { load_cifar(folder.path(), "cifar100"); }), HasSubstr("train.bin, test.bin"));
}

}  // namespace
}  // namespace bitcycle
