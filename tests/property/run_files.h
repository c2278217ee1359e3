// SPDX-License-Identifier: Apache-2.0
// The files of a run, for comparing two runs of one config: all bytes but for times.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "nn/io/atomic_file.h"
#include "nn/train/run_key.h"
#include "nn/train/sealed_lines.h"
#include "nn/train/trainer.h"

namespace bitcycle::test {

/// Everything but the times of metrics.jsonl, and the checksums over them.
inline std::map<std::string, std::string> run_files(const std::filesystem::path& run) {
  std::map<std::string, std::string> files;
  for (const char* name : {"config.yaml", "steps.csv", "widths.csv", "metrics.jsonl", "digests.jsonl", "cost.csv"}) {
    files[name] = read_file(run / name);
  }
  std::string& metrics = files["metrics.jsonl"];
  for (const std::string key : {"\"seconds\":", "\"checksum\":"}) {
    for (auto at = metrics.find(key); at != std::string::npos; at = metrics.find(key, at + 1)) {
      const auto end = metrics.find_first_of(",}", at);
      metrics.erase(at + key.size(), end - at - key.size());
    }
  }
  return files;
}

/// Changes the line `number`, counted from 1, of a file of records of JSON, and computes its checksums again.
inline void change_record(const std::filesystem::path& path, std::size_t number,
                          const std::function<void(std::string&)>& change) {
  const std::string key = run_key(RunFolder::existing(path.parent_path()).config());
  auto lines = read_sealed_lines(path, "", key).lines;
  change(lines.at(number - 1));
  LineSeal seal(first_seal(path, key));
  std::string text;
  for (const auto& line : lines) text += seal.seal(line) + "\n";
  write_file_atomically(path, text);
}

inline void expect_same_run(const std::filesystem::path& expected, const std::filesystem::path& actual) {
  const auto a = run_files(expected), b = run_files(actual);
  for (const auto& [name, text] : a) {
    EXPECT_FALSE(text.empty()) << name;
    EXPECT_EQ(text, b.at(name)) << name;
  }
}

/// Keeps what it is told.
struct RecordingListener : TrainListener {
  std::vector<std::string> starts, warnings;
  std::vector<Progress> steps;
  std::vector<EvaluationRecord> evaluations;
  std::function<void(const Progress&)> at_step;
  std::function<void(const EvaluationRecord&)> at_evaluation;
  void on_start(const std::string& text) override { starts.push_back(text); }
  void on_warning(const std::string& text) override { warnings.push_back(text); }
  void on_step(const Progress& progress) override {
    steps.push_back(progress);
    if (at_step) at_step(progress);
  }
  void on_evaluation(const EvaluationRecord& record, double) override {
    evaluations.push_back(record);
    if (at_evaluation) at_evaluation(record);
  }
};

inline TrainSummary train_to(const Config& config, Device& device, const std::filesystem::path& run,
                             TrainListener& listener, std::int64_t stop_after = 0) {
  TrainOptions options;
  options.run = run;
  options.stop_after = stop_after;
  return train(config, device, options, listener);
}

}  // namespace bitcycle::test
