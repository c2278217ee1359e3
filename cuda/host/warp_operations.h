// SPDX-License-Identifier: Apache-2.0
// What the lanes of a warp do together: shuffles, votes, ldmatrix and mma.m16n8k32, as the PTX ISA lays them out.
#pragma once

#include "cuda/host/block_scheduler.h"

namespace bitcycle::cuda_on_host {

/// All lanes of the operation's mask have arrived; each gets its results.
void execute_together(Warp& warp, const Collective::Operation& operation);

}  // namespace bitcycle::cuda_on_host
