// SPDX-License-Identifier: Apache-2.0
// Any bytes as a safetensors file: read, or refused with a std::runtime_error.
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>

#include "nn/io/safetensors.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string bytes(reinterpret_cast<const char*>(data), size);
  try {
    bitcycle::format_safetensors(bitcycle::parse_safetensors(bytes, "input"));
  } catch (const std::runtime_error&) {
  }
  return 0;
}
