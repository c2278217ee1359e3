// SPDX-License-Identifier: Apache-2.0
// OperationProfile: wall time of a library's operations on the host, gathered while it is on.
#pragma once

#include <algorithm>
#include <chrono>
#include <vector>

#include "sim/device/profile.h"

namespace bitcycle {

class OperationProfile {
 public:
  /// From here to its end is one call of an operation.
  class Timing {
   public:
    Timing(OperationProfile& profile, const char* operation, std::int64_t macs)
        : profile_(profile), operation_(operation), macs_(macs) {
      if (profile_.on_) start_ = Clock::now();
    }
    ~Timing() {
      if (!profile_.on_) return;
      ProfileEntry& entry = profile_.entry(operation_);
      ++entry.calls;
      entry.seconds += std::chrono::duration<double>(Clock::now() - start_).count();
      entry.macs += macs_;
    }
    Timing(const Timing&) = delete;
    Timing& operator=(const Timing&) = delete;

   private:
    using Clock = std::chrono::steady_clock;
    OperationProfile& profile_;
    const char* operation_;
    std::int64_t macs_;
    Clock::time_point start_;
  };

  [[nodiscard]] Timing time(const char* operation, std::int64_t macs = 0) { return {*this, operation, macs}; }
  /// Switching on forgets what was gathered.
  void set(bool on) {
    if (on) entries_.clear();
    on_ = on;
  }
  const std::vector<ProfileEntry>& entries() const { return entries_; }

 private:
  ProfileEntry& entry(const char* operation) {
    const auto found =
        std::find_if(entries_.begin(), entries_.end(), [&](const auto& one) { return one.operation == operation; });
    if (found != entries_.end()) return *found;
    entries_.push_back({operation, 0, 0.0, 0, 0});
    return entries_.back();
  }

  bool on_ = false;
  std::vector<ProfileEntry> entries_;
};

}  // namespace bitcycle
