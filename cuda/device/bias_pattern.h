// SPDX-License-Identifier: Apache-2.0
// A product and the bias that is added to it, as one kernel.
#pragma once

#include "cuda/kernels/device.h"
#include "sim/device/fused/fused_entry.h"

namespace bitcycle::BITCYCLE_CUDA_NAMESPACE {

FusedEntry product_with_bias_entry();

}  // namespace bitcycle::BITCYCLE_CUDA_NAMESPACE
