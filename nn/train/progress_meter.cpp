// SPDX-License-Identifier: Apache-2.0
#include "nn/train/progress_meter.h"

#include <algorithm>
#include <cstddef>

#include "nn/train/perplexity.h"

namespace bitcycle {
namespace {

constexpr std::size_t kWarmUpSteps = 5;  // left out of the median speed
constexpr std::size_t kRecentSteps = 50;

}  // namespace

double seconds_since(TrainingClock::time_point start) {
  return std::chrono::duration<double>(TrainingClock::now() - start).count();
}

void ProgressMeter::fill(Progress& progress) {
  progress.train_accuracy = 100.0 * static_cast<double>(correct_) / static_cast<double>(images_);
  if (text_) progress.perplexity = perplexity(loss_ / static_cast<double>(losses_));
  correct_ = images_ = losses_ = 0;
  loss_ = 0.0;
  const std::size_t recent = std::min(step_seconds_.size(), kRecentSteps);
  double seconds = 0.0;
  for (auto it = step_seconds_.end() - static_cast<std::ptrdiff_t>(recent); it != step_seconds_.end(); ++it) {
    seconds += *it;
  }
  seconds /= static_cast<double>(recent);
  progress.images_per_second = static_cast<double>(batch_) / seconds;
  progress.seconds_left = seconds * static_cast<double>(progress.steps - progress.step);
}

double ProgressMeter::median_speed() const {
  auto times = step_seconds_;
  if (times.size() > kWarmUpSteps) times.erase(times.begin(), times.begin() + kWarmUpSteps);
  if (times.empty()) return 0.0;
  const auto middle = times.begin() + static_cast<std::ptrdiff_t>(times.size() / 2);
  std::nth_element(times.begin(), middle, times.end());
  return static_cast<double>(batch_) / *middle;
}

}  // namespace bitcycle
