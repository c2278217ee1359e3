// SPDX-License-Identifier: Apache-2.0
// RecordFile: records, one a line, that grow while a run goes on. Only whole lines count, no part of a line stays
// behind an append that failed, and every line is sealed (sealed_lines.h).
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "nn/train/sealed_lines.h"

namespace bitcycle {

/// Lines of a record file; a torn last line, which a kill can leave, is not one. No file: no lines.
std::vector<std::string> whole_lines(const std::filesystem::path& path);

class RecordFile {
 public:
  /// `header`: the first line of a file of CSV, without checksums; empty: none. `key`: gives the key of the run, once
  /// it is needed.
  explicit RecordFile(
      std::filesystem::path path, std::string header = "", std::function<std::string()> key = [] { return ""; })
      : path_(std::move(path)), header_(std::move(header)), key_(std::move(key)) {}

  const std::filesystem::path& path() const { return path_; }
  /// Its lines, checked, without the header.
  SealedLines read() const { return read_sealed_lines(path_, header_, key_()); }
  /// Whether its first record has a checksum.
  bool begins_sealed() const { return bitcycle::begins_sealed(path_, header_); }
  /// Of the first record of a file; 1 or 2.
  std::size_t first_line() const { return header_.empty() ? 1 : 2; }

  /// A line with its newline, written by the next flush().
  void append(const std::string& line) { pending_.push_back(line.substr(0, line.size() - 1)); }
  /// Writes what was appended, to the disk. Throws std::runtime_error naming the path; the file is then as it was.
  void flush();
  /// Cuts the file before the first line that `keep` refuses or throws at; what stays of an earlier version is sealed.
  void cut(const std::function<bool(const std::string& line)>& keep);

 private:
  std::filesystem::path path_;
  std::string header_;
  std::function<std::string()> key_;
  std::vector<std::string> pending_;
  std::optional<std::string> checksum_;  // of the last line of the file, once it is known
};

}  // namespace bitcycle
