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
  return {{"reference", make_reference_library},
          {"portable", make_cpu<Isa::kPortable>},
          {"avx2", make_cpu<Isa::kAvx2>},
          {"avxvnni", make_cpu<Isa::kAvxVnni>},
          {"avx512vnni", make_cpu<Isa::kAvx512Vnni>}};
}

}  // namespace bitcycle::test
