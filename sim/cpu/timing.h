// SPDX-License-Identifier: Apache-2.0
// Wall time of one operation of the CPU library, added to its profile while profiling is on.
#pragma once

#include <algorithm>
#include <chrono>

#include "sim/cpu/cpu_library.h"

namespace bitcycle::cpu {

class CpuLibrary::Timing {
 public:
  Timing(CpuLibrary& library, const char* operation, std::int64_t macs = 0)
      : library_(library), operation_(operation), macs_(macs) {
    if (library_.profiling_) start_ = Clock::now();
  }
  ~Timing() {
    if (!library_.profiling_) return;
    auto& entries = library_.profile_;
    auto entry = std::find_if(entries.begin(), entries.end(), [&](const auto& e) { return e.operation == operation_; });
    if (entry == entries.end()) {
      entries.push_back({operation_, 0, 0.0, 0});
      entry = entries.end() - 1;
    }
    ++entry->calls;
    entry->seconds += std::chrono::duration<double>(Clock::now() - start_).count();
    entry->macs += macs_;
  }
  Timing(const Timing&) = delete;
  Timing& operator=(const Timing&) = delete;

 private:
  using Clock = std::chrono::steady_clock;
  CpuLibrary& library_;
  const char* operation_;
  std::int64_t macs_;
  Clock::time_point start_;
};

}  // namespace bitcycle::cpu
