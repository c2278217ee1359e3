// SPDX-License-Identifier: Apache-2.0
// The table of fused operations (list.inl). A family of operations is a file beside this one: the pattern of nodes that
// each of them stands for, and what a match becomes.
#include "sim/device/fused/fused_entry.h"

namespace bitcycle {
namespace fused {

#define BITCYCLE_FUSED(name) FusedEntry name##_entry();
#include "sim/device/fused/list.inl"
#undef BITCYCLE_FUSED

}  // namespace fused

const std::vector<FusedEntry>& fused_entries() {
  static const std::vector<FusedEntry> table{
#define BITCYCLE_FUSED(name) fused::name##_entry(),
#include "sim/device/fused/list.inl"
#undef BITCYCLE_FUSED
  };
  return table;
}

std::vector<FusedEntry> fused_entries(bool sums_gradients) {
  std::vector<FusedEntry> entries;
  for (const FusedEntry& entry : fused_entries()) {
    if (sums_gradients || !entry.sums_gradients) entries.push_back(entry);
  }
  return entries;
}

}  // namespace bitcycle
