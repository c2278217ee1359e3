// SPDX-License-Identifier: Apache-2.0
// Any bytes as an .npy file: read, or refused with a std::runtime_error.
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string_view>

#include "nn/io/npy.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    bitcycle::parse_npy(std::string_view(reinterpret_cast<const char*>(data), size), "input");
  } catch (const std::runtime_error&) {
  }
  return 0;
}
