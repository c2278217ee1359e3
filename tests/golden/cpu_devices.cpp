// SPDX-License-Identifier: Apache-2.0
#include "tests/golden/devices.h"

namespace bitcycle::test {
namespace {

template <Isa isa>
std::unique_ptr<KernelLibrary> make_cpu() {
  return isa_available(isa) ? make_cpu_library(isa, 2) : nullptr;
}

}  // namespace

std::vector<NamedLibrary> libraries_under_test() {
  return {
      {"reference", make_reference_library},
#define BITCYCLE_ISA(enumerator, name, kernels, condition) {name, make_cpu<Isa::enumerator>},
#include "sim/cpu/isa_list.inl"
#undef BITCYCLE_ISA
  };
}

}  // namespace bitcycle::test
