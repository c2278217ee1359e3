// SPDX-License-Identifier: Apache-2.0
#include "nn/train/record_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "nn/io/atomic_file.h"

namespace bitcycle {

std::vector<std::string> whole_lines(const std::filesystem::path& path) {
  std::vector<std::string> lines;
  if (!std::filesystem::exists(path)) return lines;
  const std::string text = read_file(path);
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = text.find('\n', begin);
    if (end == std::string::npos) break;
    lines.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return lines;
}

namespace {

void append_text(const std::filesystem::path& path, const std::string& text) {
  const int file = ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (file < 0) throw_file_error("cannot open", path, errno);
  const off_t before = ::lseek(file, 0, SEEK_END);
  try {
    write_all(file, text, path);
    if (::fsync(file) != 0) throw_file_error("cannot flush", path, errno);
  } catch (...) {
    // A part of a line must not stay: what follows it later would be unreadable.
    if (before >= 0 && ::ftruncate(file, before) != 0) { /* reading drops a torn last line as well */
    }
    ::close(file);
    throw;
  }
  ::close(file);
}

}  // namespace

void RecordFile::flush() {
  if (pending_.empty()) return;
  LineSeal seal(checksum_ ? *checksum_ : read().last_checksum);
  std::string text;
  if (!header_.empty() && !std::filesystem::exists(path_)) text = sealed_header(header_) + "\n";
  for (const auto& line : pending_) text += seal.seal(line) + "\n";
  append_text(path_, text);
  checksum_ = seal.checksum();
  pending_.clear();
}

void RecordFile::cut(const std::function<bool(const std::string& line)>& keep) {
  pending_.clear();
  checksum_.reset();
  if (!std::filesystem::exists(path_)) return;
  LineSeal seal(first_seal(path_, key_()));
  std::string text = header_.empty() ? "" : sealed_header(header_) + "\n";
  for (const auto& line : read().lines) {
    bool kept = false;
    try {
      kept = keep(line);
    } catch (const std::exception&) {
      // Damaged; RunFolder::resume_point() has seen that nothing up to where the run goes on is.
    }
    if (!kept) break;
    text += seal.seal(line) + "\n";
  }
  write_file_atomically(path_, text);
  checksum_ = seal.checksum();
}

}  // namespace bitcycle
