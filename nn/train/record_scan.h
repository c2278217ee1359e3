// SPDX-License-Identifier: Apache-2.0
// Reading a file of records up to the first thing that is wrong with it: a line that is not what was written, that
// cannot be read, or whose step is not the next one.
#pragma once

#include <cstdint>
#include <exception>
#include <optional>
#include <string>
#include <vector>

#include "nn/train/record_file.h"

namespace bitcycle {

/// Which steps a file must record: every multiple of `every` above `first` that is below its last one.
struct RecordedSteps {
  std::int64_t every = 1, first = -1;
  std::int64_t next_after(std::int64_t step) const {
    const std::int64_t from = step < first ? first : step;
    return from < 0 ? 0 : (from / every + 1) * every;
  }
};

template <typename Record>
struct RecordScan {
  std::vector<Record> records;        // up to the damage
  std::optional<std::string> damage;  // "'runs/a/metrics.jsonl:12' was changed after it was written ..."
};

template <typename Record>
RecordScan<Record> scan_records(const RecordFile& file, Record (*parse)(const std::string&), const RecordedSteps& steps,
                                bool must_be_sealed) {
  RecordScan<Record> scan;
  const SealedLines read = file.read();
  std::size_t number = file.first_line();
  const auto location = [&] { return "'" + file.path().string() + ":" + std::to_string(number) + "' "; };
  if (must_be_sealed && !read.sealed && !read.lines.empty()) {
    scan.damage = location() +
                  "was changed after it was written: its lines have no checksums, and the run's other records "
                  "have";
    return scan;
  }
  std::int64_t last = -1;
  for (const auto& line : read.lines) {
    try {
      Record record = parse(line);
      if (record.step == last) {
        scan.damage = location() + "records step " + std::to_string(last) + " once more";
      } else if (record.step < last) {
        scan.damage = location() + "is of step " + std::to_string(record.step) + ", and the line before it of step " +
                      std::to_string(last);
      } else if (const auto due = steps.next_after(last); record.step > due) {
        scan.damage = location() + "is of step " + std::to_string(record.step) + ": that of step " +
                      std::to_string(due) + " is missing before it";
      }
      if (scan.damage) return scan;
      last = record.step;
      scan.records.push_back(std::move(record));
    } catch (const std::exception& error) {
      scan.damage = location() + "is damaged: " + error.what();
      return scan;
    }
    ++number;
  }
  if (read.damaged_line == 0) return scan;
  number = read.damaged_line;
  if (number == file.first_line()) {
    scan.damage = location() +
                  "was changed after it was written, or is of a run of another config than config.yaml (its checksum "
                  "does not fit)";
    return scan;
  }
  scan.damage = location() +
                "was changed after it was written, or lines before it were removed, added or moved (its "
                "checksum does not fit)";
  return scan;
}

}  // namespace bitcycle
