// SPDX-License-Identifier: Apache-2.0
// Owned device memory, and the names and the presence of instruction sets.
#include "sim/backend.h"

#include <stdexcept>
#include <utility>

namespace bitcycle {

Buffer::Buffer(Backend& backend, std::size_t bytes)
    : backend_(&backend), data_(bytes == 0 ? nullptr : backend.allocate(bytes)), bytes_(bytes) {}

Buffer::~Buffer() {
  if (data_ != nullptr) backend_->release(data_);
}

Buffer::Buffer(Buffer&& other) noexcept
    : backend_(std::exchange(other.backend_, nullptr)),
      data_(std::exchange(other.data_, nullptr)),
      bytes_(std::exchange(other.bytes_, 0)) {}

Buffer& Buffer::operator=(Buffer&& other) noexcept {
  std::swap(backend_, other.backend_);
  std::swap(data_, other.data_);
  std::swap(bytes_, other.bytes_);
  return *this;
}

std::int64_t Backend::first_non_finite(const float* data, std::int64_t size) {
  const Buffer place(*this, sizeof(std::int64_t));
  auto* device = const_cast<std::int64_t*>(place.as<std::int64_t>());
  find_non_finite(data, size, device);
  std::int64_t found = -1;
  to_host(&found, device, sizeof found);
  return found;
}

Isa parse_isa(const std::string& text) {
  for (const Isa isa : {Isa::kAuto, Isa::kPortable, Isa::kAvx2, Isa::kAvx512Vnni}) {
    if (text == isa_name(isa)) return isa;
  }
  throw std::invalid_argument("'" + text + "' is no instruction set: portable, avx2, avx512vnni, or auto");
}

std::string isa_name(Isa isa) {
  switch (isa) {
    case Isa::kAuto: return "auto";
    case Isa::kPortable: return "portable";
    case Isa::kAvx2: return "avx2";
    case Isa::kAvx512Vnni: return "avx512vnni";
  }
  return "auto";
}

bool isa_available(Isa isa) {
  switch (isa) {
    case Isa::kAuto:
    case Isa::kPortable: return true;
#if defined(__x86_64__)
    case Isa::kAvx2: return __builtin_cpu_supports("avx2") != 0 && __builtin_cpu_supports("fma") != 0;
    case Isa::kAvx512Vnni:
      return __builtin_cpu_supports("avx512f") != 0 && __builtin_cpu_supports("avx512bw") != 0 &&
             __builtin_cpu_supports("avx512vl") != 0 && __builtin_cpu_supports("avx512dq") != 0 &&
             __builtin_cpu_supports("avx512vnni") != 0 && __builtin_cpu_supports("avx512vbmi") != 0;
#else
    case Isa::kAvx2:
    case Isa::kAvx512Vnni: return false;
#endif
  }
  return false;
}

}  // namespace bitcycle
