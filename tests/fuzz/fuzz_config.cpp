// SPDX-License-Identifier: Apache-2.0
// Any text as a config: it is read, or refused with a ConfigError; nothing else may happen.
#include <cstddef>
#include <cstdint>
#include <string>

#include "nn/config/config.h"
#include "nn/config/config_error.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  try {
    const auto config = bitcycle::parse_config(text, "input");
    const std::string written = bitcycle::config_yaml(config);
    if (bitcycle::config_yaml(bitcycle::parse_config(written, "written")) != written) __builtin_trap();
  } catch (const bitcycle::ConfigError&) {
  }
  return 0;
}
