// SPDX-License-Identifier: Apache-2.0
// What the host learns from a training step's report.
#pragma once

#include "nn/builder/builder.h"
#include "nn/layers/network.h"
#include "sim/program/host_records.h"

namespace bitcycle {

/// Loss, correct samples, quantisers whose step was min_scale, and the first tensor that is not finite.
StepResult findings_of(const builder::NetworkProgram& network, const Report& report);

}  // namespace bitcycle
