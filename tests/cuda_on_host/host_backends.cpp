// SPDX-License-Identifier: Apache-2.0
#include "cuda/host/host_runtime.h"
#include "tests/golden/backends.h"

namespace bitcycle::test {

std::vector<NamedBackend> backends_under_test() {
  return {{"cuda_on_host", [] { return cuda_on_host::make_cuda_backend_on_host(); }}};
}

}  // namespace bitcycle::test
