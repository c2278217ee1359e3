// SPDX-License-Identifier: Apache-2.0
// Written beside, flushed, renamed: the order that survives a kill and a power cut.
#include "nn/io/atomic_file.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstring>
#include <fstream>
#include <stdexcept>

namespace bitcycle {
namespace {

/// Between a file's name and the number of the process that is writing it.
constexpr const char* kBeside = ".tmp";

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
    case EROFS: return "make it writable, or name another place";
    case ENOENT: return "make the folder first, or check the path";
    default: return "check the path and the file system";
  }
}

void throw_file_error(const std::string& what, const std::filesystem::path& path, int error) {
  const bool denied = error == EACCES || error == EPERM;
  const std::string remedy = denied && what == "cannot read" ? "make it readable for you" : remedy_for(error);
  throw std::runtime_error(what + " '" + path.string() + "': " + std::strerror(error) + "; " + remedy);
}

void make_folder(const std::filesystem::path& path) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (error) throw_file_error("cannot make the folder", path, error.value());
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

namespace {

/// "a folder", "a device", ...; empty for a file, or where there is nothing.
std::string kind_of_no_file(const std::filesystem::path& path) {
  using std::filesystem::file_type;
  std::error_code ignored;
  switch (std::filesystem::status(path, ignored).type()) {
    case file_type::directory: return "a folder";
    case file_type::character:
    case file_type::block: return "a device";
    case file_type::fifo: return "a pipe";
    case file_type::socket: return "a socket";
    default: return "";
  }
}

}  // namespace

void write_file_atomically(const std::filesystem::path& path, std::string_view bytes) {
  write_file_atomically(path, [&](const FileParts& file) { file.append(bytes); });
}

void write_file_atomically(const std::filesystem::path& given, const std::function<void(const FileParts&)>& write) {
  if (const std::string kind = kind_of_no_file(given); !kind.empty()) {
    throw std::runtime_error("cannot write '" + given.string() + "': it is " + kind + ", not a file; name a file");
  }
  // A link stays a link, and its target is replaced.
  std::error_code none;
  std::filesystem::path path = given;
  if (std::filesystem::is_symlink(given, none)) {
    const auto target = std::filesystem::weakly_canonical(given, none);
    if (!none) path = target;
  }
  std::filesystem::path beside = path;
  beside += kBeside + std::to_string(::getpid());
  try {
    Descriptor file(::open(beside.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
    if (file.get() < 0) throw_file_error("cannot create", path, errno);
    write({[&](std::string_view bytes) { write_all(file.get(), bytes, path); },
           [&](std::uint64_t position, std::string_view bytes) {
             const off_t end = ::lseek(file.get(), 0, SEEK_CUR);
             if (end < 0 || ::lseek(file.get(), static_cast<off_t>(position), SEEK_SET) < 0) {
               throw_file_error("cannot write", path, errno);
             }
             write_all(file.get(), bytes, path);
             if (::lseek(file.get(), end, SEEK_SET) < 0) throw_file_error("cannot write", path, errno);
           }});
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

void write_output(const std::filesystem::path& path, std::string_view bytes) {
  std::error_code ignored;
  const auto kind = std::filesystem::status(path, ignored).type();
  const bool stream = kind == std::filesystem::file_type::character || kind == std::filesystem::file_type::fifo;
  if (!stream) return write_file_atomically(path, bytes);
  Descriptor file(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (file.get() < 0) throw_file_error("cannot open", path, errno);
  write_all(file.get(), bytes, path);
  if (file.close() != 0) throw_file_error("cannot close", path, errno);
}

namespace {

/// Removes NAME.tmp<process> where that process is gone; `of`: this NAME alone, empty: any.
void remove_orphans_in(const std::filesystem::path& folder, const std::string& of) {
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(folder, ignored)) {
    const std::string name = entry.path().filename().string();
    const auto mark = name.rfind(kBeside);
    if (mark == std::string::npos || !entry.is_regular_file(ignored)) continue;
    if (!of.empty() && name.compare(0, mark, of) != 0) continue;
    pid_t writer = 0;
    const char* begin = name.data() + mark + std::strlen(kBeside);
    const char* end = name.data() + name.size();
    const auto [stop, error] = std::from_chars(begin, end, writer);
    if (begin == end || error != std::errc() || stop != end || writer <= 0) continue;
    // A process that lives may be writing it now.
    const bool gone = writer == ::getpid() || (::kill(writer, 0) != 0 && errno == ESRCH);
    if (gone) std::filesystem::remove(entry.path(), ignored);
  }
}

}  // namespace

void remove_orphans(const std::filesystem::path& folder) { remove_orphans_in(folder, ""); }

void remove_orphans_of(const std::filesystem::path& file) {
  remove_orphans_in(file.has_parent_path() ? file.parent_path() : std::filesystem::path("."), file.filename().string());
}

std::string read_file(const std::filesystem::path& path) {
  constexpr std::size_t kMostOfAPipe = std::size_t{1} << 30;
  const auto cannot = [&](const std::string& why) {
    return std::runtime_error("cannot read '" + path.string() + "': " + why);
  };
  std::error_code error;
  const auto kind = std::filesystem::status(path, error).type();
  if (kind == std::filesystem::file_type::directory) throw cannot("it is a folder, not a file");
  if (kind == std::filesystem::file_type::character || kind == std::filesystem::file_type::block) {
    throw cannot("it is a device, not a file");
  }
  // Nobody may ever write to a named pipe. Those of a shell's <(...) have their writer.
  const std::string name = path.string();
  if (kind == std::filesystem::file_type::fifo && name != "/dev/stdin" && !name.starts_with("/dev/fd/") &&
      !name.starts_with("/proc/")) {
    throw cannot("it is a named pipe, not a file");
  }
  std::ifstream file(path, std::ios::binary);
  if (!file && kind == std::filesystem::file_type::not_found) throw cannot("there is no such file");
  if (!file) throw_file_error("cannot read", path, errno);
  std::string bytes;
  if (kind == std::filesystem::file_type::regular) {
    // The size at once, so that a large file is not copied again and again.
    bytes.resize(std::filesystem::file_size(path));
    file.read(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    if (static_cast<std::size_t>(file.gcount()) != bytes.size()) throw cannot("it ended early");
    return bytes;
  }
  char block[65536];
  while (file.read(block, sizeof block) || file.gcount() > 0) {
    bytes.append(block, static_cast<std::size_t>(file.gcount()));
    if (bytes.size() > kMostOfAPipe) throw cannot("it goes on after 1 GiB");
  }
  return bytes;
}

}  // namespace bitcycle
