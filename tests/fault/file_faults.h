// SPDX-License-Identifier: Apache-2.0
// What can befall files, and what a caller is told.
#pragma once

#include <signal.h>
#include <sys/resource.h>

#include <exception>
#include <filesystem>
#include <fstream>
#include <string>

#include "nn/io/safetensors.h"

namespace bitcycle::test {

template <typename F>
std::string error_of(F function) {
  try {
    function();
  } catch (const std::exception& error) {
    return error.what();
  }
  return "no error";
}

inline void flip_bit(const std::filesystem::path& path, std::size_t bit) {
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  file.seekg(static_cast<std::streamoff>(bit / 8));
  const int byte = file.get();
  file.seekp(static_cast<std::streamoff>(bit / 8));
  file.put(static_cast<char>(byte ^ (1 << bit % 8)));
}

inline TensorFile two_tensors() { return {{{"a", {2, 2}, {1, 2, 3, 4}}, {"b", {1}, {5}}}, {{"step", "7"}}}; }

/// No file of this process can grow beyond a few bytes while it lives: a full disk as far as a writer can tell.
class TinyFiles {
 public:
  explicit TinyFiles(rlim_t bytes) {
    getrlimit(RLIMIT_FSIZE, &old_);
    rlimit limit = old_;
    limit.rlim_cur = bytes;
    old_handler_ = signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~TinyFiles() {
    setrlimit(RLIMIT_FSIZE, &old_);
    signal(SIGXFSZ, old_handler_);
  }
  TinyFiles(const TinyFiles&) = delete;
  TinyFiles& operator=(const TinyFiles&) = delete;

 private:
  rlimit old_{};
  void (*old_handler_)(int) = nullptr;
};

}  // namespace bitcycle::test
