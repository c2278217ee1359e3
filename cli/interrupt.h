// SPDX-License-Identifier: Apache-2.0
// Ctrl-C while training: the first one asks the step in progress to be the last, the second ends the program at
// once (the last checkpoint is whole in either case).
#pragma once

#include <atomic>

namespace bitcycle::cli {

/// Catches SIGINT, SIGTERM and, unless it is ignored, SIGHUP while it lives.
class InterruptGuard {
 public:
  InterruptGuard();
  ~InterruptGuard();
  InterruptGuard(const InterruptGuard&) = delete;
  InterruptGuard& operator=(const InterruptGuard&) = delete;

  /// Becomes true at the first signal.
  const std::atomic<bool>* stop() const;
  /// The signal that came; 0 where none did.
  int signal() const;
};

}  // namespace bitcycle::cli
