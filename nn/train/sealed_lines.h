// SPDX-License-Identifier: Apache-2.0
// Lines that carry a checksum of themselves and of the line before, so that a line that is changed, removed, added or
// moved later is found and named, and that whatever whole lines a kill or a cut leaves are still checked.
//
//   checksum(i) = the first 16 hexadecimal digits of XXH3-128(checksum(i - 1), "\n", line i without its checksum)
//   checksum(0) = the file's name, "\n", the key of the run (run_key.h)
//
// so that a file of another run is found, too.
//
// A line of CSV has it as its last column, a JSON object as its last key "checksum". It guards against damage and
// against edits in passing; whoever computes the checksums again is not found.
#pragma once

#include <cstddef>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace bitcycle {

/// Seals lines one after the other; none of them has a newline.
class LineSeal {
 public:
  /// Goes on after a line with this checksum, or from first_seal().
  explicit LineSeal(std::string before) : before_(std::move(before)) {}
  /// The line with its checksum. A line that ends in '}' is a JSON object, any other one is CSV.
  std::string seal(const std::string& line);
  /// Of the last line.
  const std::string& checksum() const { return before_; }

 private:
  std::string before_;
};

struct SealedLines {
  std::vector<std::string> lines;  // without header and checksums, up to the first damaged one
  bool sealed = false;             // a line has a checksum; where none has, an earlier version wrote the file
  bool tied = false;               // the first checksum rests on the key
  std::string last_checksum;       // of the last of `lines`; the file's name where there is none
  std::size_t damaged_line = 0;    // counted from 1; 0: none
};

/// The whole lines of a file, checked; a torn last line is not one. `header`, unless empty, is the first line of a file
/// of CSV without checksums; with them it ends in ",checksum". No file: no lines. Lines that rest on the file's name
/// alone, as an earlier version wrote them, are read too. Throws what read_file throws.
SealedLines read_sealed_lines(const std::filesystem::path& path, const std::string& header = "",
                              const std::string& key = "");
/// checksum(0)
std::string first_seal(const std::filesystem::path& path, const std::string& key);
/// Whether the first record of a file has a checksum, without reading all of it. No file, or no record: false.
bool begins_sealed(const std::filesystem::path& path, const std::string& header = "");
/// The first line of a sealed file of CSV.
std::string sealed_header(const std::string& header);

/// One JSON object over several lines, with two keys at its end: "records", checksums of files by name, and "checksum",
/// XXH3-128 of the text with 32 zeros in its place.
std::string seal_json(const std::string& object, const std::map<std::string, std::string>& records);
/// Whether the text is what was written; none where it has no checksum.
std::optional<bool> json_is_whole(const std::string& text);

}  // namespace bitcycle
