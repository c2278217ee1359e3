// SPDX-License-Identifier: Apache-2.0
// Instruction sets by name: nothing of their kernels.
#include "sim/isa.h"

#include <stdexcept>

namespace bitcycle {
namespace {

struct NamedIsa {
  Isa isa;
  const char* name;
};
constexpr NamedIsa kNamed[] = {
#define BITCYCLE_ISA(enumerator, name, kernels, condition) {Isa::enumerator, name},
#include "sim/cpu/isa_list.inl"
#undef BITCYCLE_ISA
};

}  // namespace

std::vector<std::string> isa_names() {
  std::vector<std::string> names;
  for (const auto& entry : kNamed) names.emplace_back(entry.name);
  return names;
}

Isa parse_isa(const std::string& text) {
  if (text == "auto") return Isa::kAuto;
  std::string list;
  for (const auto& entry : kNamed) {
    if (text == entry.name) return entry.isa;
    list += std::string(entry.name) + ", ";
  }
  throw std::invalid_argument("'" + text + "' is no instruction set: " + list + "or auto");
}

std::string isa_name(Isa isa) {
  for (const auto& entry : kNamed) {
    if (entry.isa == isa) return entry.name;
  }
  return isa == Isa::kAuto ? "auto" : "unknown";
}

}  // namespace bitcycle
