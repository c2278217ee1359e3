// SPDX-License-Identifier: Apache-2.0
// ProgressMeter: the speed of a training, and the accuracy of its last batches.
#pragma once

#include <chrono>
#include <cstdint>
#include <vector>

#include "nn/train/trainer.h"

namespace bitcycle {

using TrainingClock = std::chrono::steady_clock;
double seconds_since(TrainingClock::time_point start);

class ProgressMeter {
 public:
  /// `samples` of a step: images, or words of a text.
  ProgressMeter(std::int64_t samples, bool text) : batch_(samples), text_(text) {}
  /// `steps` are to come in this call of train().
  void expect(std::int64_t steps) { step_seconds_.reserve(static_cast<std::size_t>(steps)); }
  void add(double seconds) { step_seconds_.push_back(seconds); }
  void add(const StepResult& result) {
    correct_ += result.correct;
    images_ += batch_;
    loss_ += result.loss;
    ++losses_;
  }
  /// Sets accuracy, or perplexity, since the last call, speed of the last 50 steps, and the seconds that the steps left
  /// take.
  void fill(Progress& progress);
  /// Images or words a second, median over the steps after the first five; 0 where no step was made.
  double median_speed() const;

 private:
  std::int64_t batch_;
  bool text_;
  std::vector<double> step_seconds_;
  std::int64_t correct_ = 0, images_ = 0, losses_ = 0;
  double loss_ = 0.0;
};

}  // namespace bitcycle
