// SPDX-License-Identifier: Apache-2.0
// Ctrl-C in long work: the first one asks it to end in order (a training after the step in progress), the second ends
// the program at once (files are whole in either case).
#pragma once

#include <atomic>
#include <string_view>

namespace bitcycle::cli {

inline constexpr std::string_view kStepIsFinished =
    "\nbitcycle: finishing this step and saving; a second signal stops at once, without saving\n";

/// Catches SIGINT, SIGTERM and, unless it is ignored, SIGHUP while it lives.
class InterruptGuard {
 public:
  /// `said`: what the first signal prints, a line; it lives as long as the program.
  explicit InterruptGuard(std::string_view said = kStepIsFinished);
  ~InterruptGuard();
  InterruptGuard(const InterruptGuard&) = delete;
  InterruptGuard& operator=(const InterruptGuard&) = delete;

  /// Becomes true at the first signal.
  const std::atomic<bool>* stop() const;
  /// The signal that came; 0 where none did.
  int signal() const;
};

}  // namespace bitcycle::cli
