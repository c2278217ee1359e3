// SPDX-License-Identifier: Apache-2.0
#include "tests/golden/backends.h"

namespace bitcycle::test {
namespace {

template <Isa isa>
std::unique_ptr<Backend> make_cpu() {
  return isa_available(isa) ? make_cpu_backend(isa, 2) : nullptr;
}

}  // namespace

std::vector<NamedBackend> backends_under_test() {
  return {{"reference", make_reference_backend},
          {"portable", make_cpu<Isa::kPortable>},
          {"avx2", make_cpu<Isa::kAvx2>},
          {"avxvnni", make_cpu<Isa::kAvxVnni>},
          {"avx512vnni", make_cpu<Isa::kAvx512Vnni>}};
}

}  // namespace bitcycle::test
