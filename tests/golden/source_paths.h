// SPDX-License-Identifier: Apache-2.0
// Where tests find the project's files: where they were built, or where BITCYCLE_SOURCE and BITCYCLE_GOLDEN say, on a
// machine that the built tests were carried to.
#pragma once

#include <cstdlib>
#include <string>

namespace bitcycle::test {

/// `path` begins with a slash.
inline std::string source_path(const std::string& path) {
  const char* root = std::getenv("BITCYCLE_SOURCE");
  return (root == nullptr ? BITCYCLE_SOURCE : root) + path;
}
inline std::string golden_path(const std::string& path) {
  const char* root = std::getenv("BITCYCLE_GOLDEN");
  return (root == nullptr ? BITCYCLE_GOLDEN : root) + path;
}

}  // namespace bitcycle::test
