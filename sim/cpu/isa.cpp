// SPDX-License-Identifier: Apache-2.0
// Which instruction sets this machine has, and their kernels.
#include "sim/cpu/isa.h"

#if defined(__x86_64__)
#include <cpuid.h>
#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif
#endif

namespace bitcycle {
namespace cpu {
namespace {

#if defined(__x86_64__)
/// CPUID leaf 7, subleaf 1, EAX bit 4: a feature that GCC 12 has no name for.
bool has_avx_vnni() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  return __get_cpuid_count(7, 1, &a, &b, &c, &d) != 0 && (a >> 4 & 1U) != 0;
}

/// AMX-TILE and AMX-INT8 (CPUID leaf 7, EDX bits 24 and 25), where Linux lets this process use the tiles' registers,
/// which a process has to ask for (arch_prctl, ARCH_REQ_XCOMP_PERM, component 18).
bool may_use_amx() {
#if defined(__linux__) && defined(SYS_arch_prctl)
  static const bool may = [] {
    unsigned a = 0, b = 0, c = 0, d = 0;
    if (__get_cpuid_count(7, 0, &a, &b, &c, &d) == 0 || (d >> 24 & 3U) != 3U) return false;
    constexpr long kRequestPermission = 0x1023, kTileData = 18;
    return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
  }();
  return may;
#else
  return false;
#endif
}
#endif

}  // namespace

const std::vector<IsaEntry>& isa_entries() {
  static const std::vector<IsaEntry> entries = {
#define BITCYCLE_ISA(enumerator, name, kernels, condition) \
  {Isa::enumerator, name, &kernels, [] { return static_cast<bool>(condition); }},
#include "sim/cpu/isa_list.inl"
#undef BITCYCLE_ISA
  };
  return entries;
}

const IsaEntry* isa_entry(Isa isa) {
  const IsaEntry* found = nullptr;
  for (const IsaEntry& entry : isa_entries()) {
    if (entry.isa == isa || (isa == Isa::kAuto && entry.available())) found = &entry;
  }
  return found;
}

}  // namespace cpu

std::vector<Isa> machine_isas() {
  std::vector<Isa> isas;
  for (const auto& entry : cpu::isa_entries()) {
    if (entry.available()) isas.push_back(entry.isa);
  }
  return isas;
}

bool isa_available(Isa isa) {
  const cpu::IsaEntry* entry = cpu::isa_entry(isa);
  return entry != nullptr && entry->available();
}

}  // namespace bitcycle
