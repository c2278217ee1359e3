// SPDX-License-Identifier: Apache-2.0
// Learning-rate schedules: pure functions of the step in binary64, rounded once to binary32.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace bitcycle {

struct LearningRateSpec {
  std::string schedule = "piecewise";  // piecewise, linear, anneal_cosine, constant, cyclic
  double lr = 0.1;                     // optimizer.lr
  std::int64_t steps = 1;
  std::vector<double> points{0.5, 0.75};  // piecewise: fractions of the run (below or equal 1) or steps (above 1)
  double factor = 0.1;                    // piecewise: multiplier at each point
  double ratio = 0.01;                    // linear: final share of lr; anneal_cosine: floor = lr * ratio^2
  double cyclic_min = 0.0;                // cyclic: lowest rate, see docs/config.md
  std::int64_t cycles = 32;               // cyclic
  bool warm_up = false;
  std::int64_t warm_up_steps = 400;
  double warm_up_lr = 0.01;
  bool operator==(const LearningRateSpec&) const = default;
};

/// Throws std::invalid_argument naming key, value and what is legal.
void check_learning_rate(const LearningRateSpec& spec);
float learning_rate_at(const LearningRateSpec& spec, std::int64_t step);

}  // namespace bitcycle
