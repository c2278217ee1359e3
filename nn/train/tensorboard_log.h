// SPDX-License-Identifier: Apache-2.0
// TensorboardLog: the records of a run as TensorBoard shows them, in the run folder beside metrics.jsonl. The file
// follows from the records: whatever a kill or an earlier version left, after opening it holds each point once.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "nn/io/event_file.h"
#include "nn/train/run_folder.h"

namespace bitcycle {

class TensorboardLog {
 public:
  /// The file's name in the run folder.
  static constexpr const char* kFile = "events.out.tfevents.bitcycle";

  /// Cuts what the folder's records do not hold, and adds what the file lacks. Every `log_every`th step is a point.
  TensorboardLog(const RunFolder& folder, std::int64_t log_every);

  /// Contract: in the order in which the folder gets them.
  void add(const StepRecord& record);
  void add(const EvaluationRecord& record);
  /// Throws std::runtime_error with path and reason.
  void flush();

 private:
  void open(const std::vector<ScalarEvent>& expected);

  std::filesystem::path path_;
  std::int64_t log_every_;
  std::string pending_;
};

}  // namespace bitcycle
