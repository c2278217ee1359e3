// SPDX-License-Identifier: Apache-2.0
// What kernels run on: a GPU through nvcc, or the CPU through the host execution layer. Kernels live in
// bitcycle::BITCYCLE_CUDA_NAMESPACE, so that one program can hold both compilations. A kernel is a struct with Args,
// kName, kThreads and run(args).
#pragma once

#if defined(__CUDACC__)
#include "cuda/kernels/device_cuda.h"
#else
#include "cuda/host/device_host.h"
#endif
