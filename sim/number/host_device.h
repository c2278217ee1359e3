// SPDX-License-Identifier: Apache-2.0
// Marks functions that are compiled for the host and, by nvcc, for the device: one source, the same
// bits. Everything marked uses IEEE operations only, in written order (docs/numerics.md, section 6).
#pragma once

#if defined(__CUDACC__)
#define BITCYCLE_HD __host__ __device__ inline
#else
#define BITCYCLE_HD inline
#endif
