// SPDX-License-Identifier: Apache-2.0
// What the host learns from a training step's report.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>

#include "nn/builder/builder.h"
#include "sim/program/host_records.h"

namespace bitcycle {

struct StepResult {
  double loss = 0.0;
  std::int64_t correct = 0;
  std::int64_t min_scale_bound = 0;  // quantisers whose step was min_scale
  float rate = 0.0F;                 // the learning rate, where the caller gave one
  std::string non_finite;            // the first tensor that holds a number that is not finite; empty: none
};

/// A loss, weight or range that is not finite.
class NonFiniteError : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

StepResult findings_of(const builder::NetworkProgram& network, const Report& report);

}  // namespace bitcycle
