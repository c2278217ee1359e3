// SPDX-License-Identifier: Apache-2.0
// Any text as a topology: it is read, or refused with std::invalid_argument; nothing else may happen.
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>

#include "cost_models/topology.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    bitcycle::parse_topology(std::string(reinterpret_cast<const char*>(data), size), "input");
  } catch (const std::invalid_argument&) {
  }
  return 0;
}
