// SPDX-License-Identifier: Apache-2.0
// The backends that a test program compares: those of the CPU, the CUDA backend run by the host execution layer, or a
// GPU. The same tests are linked with each list.
#pragma once

#include <memory>
#include <vector>

#include "sim/backend.h"

namespace bitcycle::test {

struct NamedBackend {
  const char* name;
  std::unique_ptr<Backend> (*make)();  // null where this machine does not have it
};
std::vector<NamedBackend> backends_under_test();

/// Those that this machine has.
inline std::vector<std::unique_ptr<Backend>> all_backends() {
  std::vector<std::unique_ptr<Backend>> backends;
  for (const auto& named : backends_under_test()) {
    if (auto backend = named.make()) backends.push_back(std::move(backend));
  }
  return backends;
}

}  // namespace bitcycle::test
