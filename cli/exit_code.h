// SPDX-License-Identifier: Apache-2.0
// What the program's exit codes mean, and the error that a wrong command line throws. Scripts rely on these
// numbers; README lists them.
#pragma once

#include <stdexcept>

namespace bitcycle::cli {

enum ExitCode : int {
  kSuccess = 0,
  kFailure = 1,        // config, data, files, numbers that are not finite
  kUsage = 2,          // the command line itself
  kMismatch = 3,       // digests or recorded results differ from what was expected
  kInterrupted = 130,  // stopped by SIGINT after saving; SIGTERM gives 143
  kTerminated = 143,
};

/// The command line is wrong: the message says what, and what would be right.
class UsageError : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// Digests differ from what was expected: the message gives both.
class MismatchError : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

}  // namespace bitcycle::cli
