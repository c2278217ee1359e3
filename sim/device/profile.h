// SPDX-License-Identifier: Apache-2.0
// ProfileEntry: what a device's profile says of one kernel.
#pragma once

#include <cstdint>
#include <string>

namespace bitcycle {

/// Time of one operation, gathered while profiling is on.
struct ProfileEntry {
  std::string operation;
  std::int64_t calls = 0;
  double seconds = 0.0;
  std::int64_t macs = 0;
  std::int64_t bytes = 0;  // that must cross memory: every operand once; 0 where a device does not count them
};

}  // namespace bitcycle
