// SPDX-License-Identifier: Apache-2.0
// The instruction sets of the CPU device (sim/cpu/isa_list.inl), by name.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace bitcycle {

/// kAuto takes the best that the machine has.
enum class Isa : std::uint8_t {
  kAuto,
#define BITCYCLE_ISA(enumerator, name, kernels, condition) enumerator,
#include "sim/cpu/isa_list.inl"
#undef BITCYCLE_ISA
};
/// "portable", "avx2", ...: those of this build, the better ones later.
std::vector<std::string> isa_names();
/// Those that this machine can run, in the same order.
std::vector<Isa> machine_isas();
/// One of isa_names(), or "auto". Throws std::invalid_argument naming them otherwise.
Isa parse_isa(const std::string& text);
std::string isa_name(Isa isa);
/// True where this machine can run it.
bool isa_available(Isa isa);

}  // namespace bitcycle
