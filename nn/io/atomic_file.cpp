// SPDX-License-Identifier: Apache-2.0
// Written beside, flushed, renamed: the order that survives a kill and a power cut.
#include "nn/io/atomic_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <stdexcept>

namespace bitcycle {
namespace {

class Descriptor {
 public:
  explicit Descriptor(int value) : value_(value) {}
  ~Descriptor() {
    if (value_ >= 0) ::close(value_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return value_; }
  int close() {
    const int result = ::close(value_);
    value_ = -1;
    return result;
  }

 private:
  int value_;
};

}  // namespace

std::string remedy_for(int error) {
  switch (error) {
    case ENOSPC:
    case EDQUOT: return "free some space there and start again; nothing that was written before is lost";
    case EFBIG: return "the file-size limit of the process is reached (ulimit -f); raise it and start again";
    case EACCES:
    case EPERM:
    case EROFS: return "make it writable, or choose another folder with --out";
    case ENOENT: return "make the folder first, or check the path";
    default: return "check the path and the file system";
  }
}

void throw_file_error(const std::string& what, const std::filesystem::path& path, int error) {
  throw std::runtime_error(what + " '" + path.string() + "': " + std::strerror(error) + "; " + remedy_for(error));
}

void write_all(int descriptor, std::string_view bytes, const std::filesystem::path& path) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(descriptor, bytes.data(), bytes.size());
    if (written < 0) {
      if (errno == EINTR) continue;
      throw_file_error("cannot write", path, errno);
    }
    bytes.remove_prefix(static_cast<std::size_t>(written));
  }
}

void write_file_atomically(const std::filesystem::path& path, std::string_view bytes) {
  std::filesystem::path beside = path;
  beside += ".tmp" + std::to_string(::getpid());
  try {
    Descriptor file(::open(beside.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
    if (file.get() < 0) throw_file_error("cannot create", path, errno);
    write_all(file.get(), bytes, path);
    if (::fsync(file.get()) != 0) throw_file_error("cannot flush", path, errno);
    if (file.close() != 0) throw_file_error("cannot close", path, errno);
    if (::rename(beside.c_str(), path.c_str()) != 0) throw_file_error("cannot replace", path, errno);
  } catch (...) {
    ::unlink(beside.c_str());
    throw;
  }
  const auto folder = path.has_parent_path() ? path.parent_path() : std::filesystem::path(".");
  Descriptor directory(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (directory.get() >= 0) ::fsync(directory.get());  // some file systems refuse it; the rename itself stands
}

std::string read_file(const std::filesystem::path& path) {
  if (std::filesystem::is_directory(path)) throw std::runtime_error("cannot read '" + path.string() + "': it is a folder, not a file");
  std::ifstream file(path, std::ios::binary | std::ios::ate);
  if (!file) throw_file_error("cannot read", path, errno);
  const std::streamoff size = file.tellg();
  if (size < 0) throw std::runtime_error("cannot read '" + path.string() + "': its size is not known");
  std::string bytes(static_cast<std::size_t>(size), '\0');
  file.seekg(0);
  file.read(bytes.data(), size);
  if (file.gcount() != size) throw std::runtime_error("cannot read '" + path.string() + "': it ended early");
  return bytes;
}

}  // namespace bitcycle
