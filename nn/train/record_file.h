// SPDX-License-Identifier: Apache-2.0
// Files of records, one a line, that grow while a run goes on: only whole lines count, and no part of a line stays
// behind an append that failed.
#pragma once

#include <filesystem>
#include <stdexcept>
#include <string>
#include <vector>

namespace bitcycle {

/// Lines of a record file; a torn last line, which a kill can leave, is not one. No file: no lines.
std::vector<std::string> whole_lines(const std::filesystem::path& path);

/// Appends `pending` and flushes it to the disk; then `pending` is empty. Throws std::runtime_error naming the path;
/// the file is then as it was.
void append_text(const std::filesystem::path& path, std::string& pending);

/// Every line from `skip` on. Throws std::runtime_error naming path and line where one cannot be read.
template <typename Record>
std::vector<Record> read_records(const std::filesystem::path& path, Record (*parse)(const std::string&),
                                 std::size_t skip = 0) {
  std::vector<Record> records;
  const auto lines = whole_lines(path);
  for (std::size_t i = skip; i < lines.size(); ++i) {
    try {
      records.push_back(parse(lines[i]));
    } catch (const std::exception& error) {
      throw std::runtime_error("'" + path.string() + "', line " + std::to_string(i + 1) +
                               " is damaged: " + error.what());
    }
  }
  return records;
}

}  // namespace bitcycle
