// SPDX-License-Identifier: Apache-2.0
// The CPU library's kernels by instruction set (isa_list.inl).
#pragma once

#include <vector>

#include "sim/cpu/kernels.h"
#include "sim/isa.h"

namespace bitcycle::cpu {

struct IsaEntry {
  Isa isa;
  const char* name;
  const KernelTable* kernels;
  bool (*available)();
};
/// In the order of isa_list.inl.
const std::vector<IsaEntry>& isa_entries();
/// Its entry; of kAuto the best that this machine has. Null where this build has none.
const IsaEntry* isa_entry(Isa isa);

}  // namespace bitcycle::cpu
