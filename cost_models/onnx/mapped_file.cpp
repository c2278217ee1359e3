// SPDX-License-Identifier: Apache-2.0
#include "cost_models/onnx/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <stdexcept>

namespace bitcycle {
namespace {

constexpr std::int64_t kMostBytes = std::int64_t{1} << 31;  // of a message of protocol buffers

/// A descriptor that is closed again.
struct Descriptor {
  int number;
  ~Descriptor() {
    if (number >= 0) close(number);
  }
};

}  // namespace

MappedFile::MappedFile(const std::string& path) {
  // Not blocking: a pipe is no file, and is refused instead of waited for.
  const Descriptor file{open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
  struct stat status {};
  if (file.number < 0 || fstat(file.number, &status) != 0) {
    throw std::invalid_argument("cannot read '" + path + "': " + std::strerror(errno));
  }
  if (!S_ISREG(status.st_mode)) {
    throw std::invalid_argument("'" + path + "' is not a file; the path of an ONNX model is needed");
  }
  if (status.st_size == 0) throw std::invalid_argument(path + ": the file is empty");
  if (status.st_size > kMostBytes) throw std::invalid_argument(path + ": an ONNX model has at most 2 GiB");
  size_ = static_cast<std::size_t>(status.st_size);
  void* mapped = mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, file.number, 0);
  if (mapped == MAP_FAILED) throw std::invalid_argument("cannot read '" + path + "': " + std::strerror(errno));
  data_ = static_cast<const char*>(mapped);
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) munmap(const_cast<char*>(data_), size_);
}

}  // namespace bitcycle
