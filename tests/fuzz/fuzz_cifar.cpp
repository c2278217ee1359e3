// SPDX-License-Identifier: Apache-2.0
// Any bytes as CIFAR records: read, or refused with a std::runtime_error.
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string_view>

#include "nn/data/cifar.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  for (const char* name : {"cifar10", "cifar100"}) {
    bitcycle::ImageSet set;
    set.count = 0;
    try {
      bitcycle::append_records(bytes, bitcycle::cifar_format(name), "input", set);
    } catch (const std::runtime_error&) {
    }
  }
  return 0;
}
