// SPDX-License-Identifier: Apache-2.0
// What kernels run on: a GPU through nvcc, or the host execution layer of the tests. Kernels live in
// bitcycle::BITCYCLE_CUDA_NAMESPACE, so that one program can hold both builds.
#pragma once

#if defined(__CUDACC__)
#include "sim/cuda/device_cuda.h"
#else
#include "tests/cuda_on_host/device_host.h"
#endif
