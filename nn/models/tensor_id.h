// SPDX-License-Identifier: Apache-2.0
// The number by which random streams know a tensor: stable by name (docs/numerics.md, 8.1).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace bitcycle {

/// Low 24 bits of the XXH64 (seed 0) of the name.
std::uint32_t tensor_id(const std::string& name);

/// Throws std::invalid_argument naming both where two names have the same id.
void check_tensor_ids(const std::vector<std::string>& names);

}  // namespace bitcycle
