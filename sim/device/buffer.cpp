// SPDX-License-Identifier: Apache-2.0
// Owned device memory.
#include "sim/device/buffer.h"

#include <utility>

#include "sim/device/kernel_library.h"

namespace bitcycle {

Buffer::Buffer(KernelLibrary& library, std::size_t bytes)
    : library_(&library), data_(bytes == 0 ? nullptr : library.allocate(bytes)), bytes_(bytes) {}

Buffer::~Buffer() {
  if (data_ != nullptr) library_->release(data_);
}

Buffer::Buffer(Buffer&& other) noexcept
    : library_(std::exchange(other.library_, nullptr)),
      data_(std::exchange(other.data_, nullptr)),
      bytes_(std::exchange(other.bytes_, 0)) {}

Buffer& Buffer::operator=(Buffer&& other) noexcept {
  std::swap(library_, other.library_);
  std::swap(data_, other.data_);
  std::swap(bytes_, other.bytes_);
  return *this;
}

std::int64_t KernelLibrary::first_non_finite(const float* data, std::int64_t size) {
  const Buffer position(*this, sizeof(std::int64_t));
  auto* device = const_cast<std::int64_t*>(position.as<std::int64_t>());
  find_non_finite(data, size, device);
  std::int64_t found = -1;
  to_host(&found, device, sizeof found);
  return found;
}

}  // namespace bitcycle
