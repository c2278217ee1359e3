// SPDX-License-Identifier: Apache-2.0
// ConfigError: what is wrong in a configuration, with file, line, column, and what would be right.
#pragma once

#include <stdexcept>

namespace bitcycle {

class ConfigError : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

}  // namespace bitcycle
