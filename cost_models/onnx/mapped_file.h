// SPDX-License-Identifier: Apache-2.0
// MappedFile: the bytes of a file without a copy: of a large model only the pages that are looked at are read.
#pragma once

#include <string>
#include <string_view>

namespace bitcycle {

class MappedFile {
 public:
  /// Throws std::invalid_argument for what is no file, cannot be read, is empty, or has more than 2 GiB.
  explicit MappedFile(const std::string& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  std::string_view bytes() const { return {data_, size_}; }

 private:
  const char* data_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace bitcycle
