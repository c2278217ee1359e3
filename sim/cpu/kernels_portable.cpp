// SPDX-License-Identifier: Apache-2.0
// Kernels that every machine of an architecture can run. On x86-64 that is SSE2: products of pairs of 16-bit words, and
// a fused multiply-add that is made of binary64 arithmetic. Elsewhere it is C++ alone: products of codes are taken in
// binary32, in runs so short that no sum rounds, which is what a processor of any make multiplies fastest. A test
// compiles that text on x86-64 too (BITCYCLE_PLAIN_KERNELS).
#if defined(__SSE2__) && !defined(BITCYCLE_PLAIN_KERNELS)
#define BITCYCLE_SSE2_KERNELS
#include <emmintrin.h>
#endif

#include "sim/cpu/kernels.h"

namespace bitcycle::cpu {
namespace {

// Each needs those before it.
// clang-format off
#if defined(BITCYCLE_SSE2_KERNELS)
#include "sim/cpu/simd_sse2.inl"
#include "sim/cpu/fused_sse2.inl"
#include "sim/cpu/elementwise.inl"
#include "sim/cpu/code_rows.inl"
#include "sim/cpu/max_pool.inl"
#include "sim/cpu/word_pairs_sse2.inl"
#include "sim/cpu/words.inl"
#include "sim/cpu/depthwise_staging.inl"
#include "sim/cpu/byte_quads_none.inl"
#include "sim/cpu/depthwise.inl"
#include "sim/cpu/depthwise_taps.inl"
#include "sim/cpu/products_sse2.inl"
#else
#include "sim/cpu/simd_plain.inl"
#include "sim/cpu/fused_native.inl"
#include "sim/cpu/floats.inl"
#include "sim/cpu/elementwise.inl"
#include "sim/cpu/code_rows.inl"
#include "sim/cpu/max_pool.inl"
#include "sim/cpu/word_pairs_plain.inl"
#include "sim/cpu/depthwise_staging.inl"
#include "sim/cpu/byte_quads_none.inl"
#include "sim/cpu/depthwise.inl"
#include "sim/cpu/depthwise_taps.inl"
#include "sim/cpu/products_floats.inl"
#endif
#include "sim/cpu/tables.inl"
#if defined(BITCYCLE_SSE2_KERNELS)
#include "sim/cpu/winograd.inl"
#endif
// clang-format on

}  // namespace

#if defined(BITCYCLE_PLAIN_KERNELS)
extern const KernelTable kPlainKernels;
const KernelTable kPlainKernels = table_named("plain");
#else
#if defined(BITCYCLE_SSE2_KERNELS)
const KernelTable kPortableKernels = with_winograd(table_named("portable"));
#else
const KernelTable kPortableKernels = table_named("portable");
#endif
#endif

}  // namespace bitcycle::cpu
