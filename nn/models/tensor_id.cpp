// SPDX-License-Identifier: Apache-2.0
#include "nn/models/tensor_id.h"

#include <xxhash.h>

#include <map>
#include <stdexcept>

namespace bitcycle {

std::uint32_t tensor_id(const std::string& name) {
  return static_cast<std::uint32_t>(XXH64(name.data(), name.size(), 0) & 0xFFFFFFU);
}

void check_tensor_ids(const std::vector<std::string>& names) {
  std::map<std::uint32_t, std::string> seen;
  for (const auto& name : names) {
    const auto [found, is_new] = seen.emplace(tensor_id(name), name);
    if (!is_new) {
      throw std::invalid_argument("parameters '" + found->second + "' and '" + name +
                                  "' would draw the same random numbers; one of them needs another name");
    }
  }
}

}  // namespace bitcycle
