// SPDX-License-Identifier: Apache-2.0
#include "cuda/host/host_runtime.h"
#include "tests/golden/devices.h"

namespace bitcycle::test {

std::vector<NamedLibrary> libraries_under_test() {
  return {{"cuda_on_host", [] { return cuda_on_host::make_cuda_library_on_host(); }}};
}

}  // namespace bitcycle::test
