// SPDX-License-Identifier: Apache-2.0
// Buffer: memory of a kernel library's device, owned.
#pragma once

#include <cstddef>

namespace bitcycle {

class KernelLibrary;

/// Device memory, owned. Zero-filled when made.
class Buffer {
 public:
  Buffer() = default;
  Buffer(KernelLibrary& library, std::size_t bytes);
  ~Buffer();
  Buffer(Buffer&& other) noexcept;
  Buffer& operator=(Buffer&& other) noexcept;
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;

  template <typename T>
  T* as() {
    return static_cast<T*>(data_);
  }
  template <typename T>
  const T* as() const {
    return static_cast<const T*>(data_);
  }
  std::size_t bytes() const { return bytes_; }
  explicit operator bool() const { return data_ != nullptr; }

 private:
  KernelLibrary* library_ = nullptr;
  void* data_ = nullptr;
  std::size_t bytes_ = 0;
};

}  // namespace bitcycle
