// SPDX-License-Identifier: Apache-2.0
// The instruction sets of the CPU library, the better ones further down: a name, its kernels (kernels_NAME.cpp, which
// says its compiler flags), and when a machine can run them. A new one is that file and a line here.
// BITCYCLE_ISA(enumerator, name, kernels, condition)
BITCYCLE_ISA(kPortable, "portable", kPortableKernels, true)
#if defined(__x86_64__)
#define BITCYCLE_HAS(feature) (__builtin_cpu_supports(feature) != 0)
BITCYCLE_ISA(kAvx2, "avx2", kAvx2Kernels, BITCYCLE_HAS("avx2") && BITCYCLE_HAS("fma"))
BITCYCLE_ISA(kAvxVnni, "avxvnni", kAvxVnniKernels, BITCYCLE_HAS("avx2") && BITCYCLE_HAS("fma") && has_avx_vnni())
BITCYCLE_ISA(kAvx512Vnni, "avx512vnni", kAvx512VnniKernels,
             BITCYCLE_HAS("avx512f") && BITCYCLE_HAS("avx512bw") && BITCYCLE_HAS("avx512vl") &&
                 BITCYCLE_HAS("avx512dq") && BITCYCLE_HAS("avx512vnni") && BITCYCLE_HAS("avx512vbmi"))
BITCYCLE_ISA(kAmx, "amx", kAmxKernels,
             BITCYCLE_HAS("avx512f") && BITCYCLE_HAS("avx512bw") && BITCYCLE_HAS("avx512vl") &&
                 BITCYCLE_HAS("avx512dq") && BITCYCLE_HAS("avx512vnni") && BITCYCLE_HAS("avx512vbmi") && may_use_amx())
#undef BITCYCLE_HAS
#endif
