// SPDX-License-Identifier: Apache-2.0
// Learning-rate schedules, each a line of binary64 arithmetic.
#include "nn/train/learning_rate.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <stdexcept>

#include "sim/number/elementary.h"

namespace bitcycle {
namespace {

using RateFunction = double (*)(const LearningRateSpec&, std::int64_t step);

double fraction(const LearningRateSpec& spec, std::int64_t step) {
  return static_cast<double>(step) / static_cast<double>(spec.steps);
}

double piecewise(const LearningRateSpec& spec, std::int64_t step) {
  double lr = spec.lr;
  for (const double point : spec.points) {
    const double at = point <= 1.0 ? point * static_cast<double>(spec.steps) : point;
    if (static_cast<double>(step) >= at) lr = lr * spec.factor;
  }
  return lr;
}

double linear(const LearningRateSpec& spec, std::int64_t step) {
  const double t = fraction(spec, step);
  if (t < 0.5) return spec.lr;
  if (t < 0.9) return spec.lr * (1.0 - (1.0 - spec.ratio) * (t - 0.5) / 0.4);
  return spec.lr * spec.ratio;
}

double anneal_cosine(const LearningRateSpec& spec, std::int64_t step) {
  const double floor = spec.lr * (spec.factor * spec.factor);
  return floor + 0.5 * (spec.lr - floor) * (1.0 + cos_f64(fraction(spec, step) * std::numbers::pi));
}

double constant(const LearningRateSpec& spec, std::int64_t) { return spec.lr; }

double cyclic(const LearningRateSpec& spec, std::int64_t step) {
  const std::int64_t period = spec.steps / spec.cycles;
  const double phase = static_cast<double>(step % period) / static_cast<double>(period);
  return spec.cyclic_min + 0.5 * (spec.lr - spec.cyclic_min) * (1.0 + cos_f64(std::numbers::pi * phase));
}

struct Entry {
  const char* name;
  RateFunction function;
};
constexpr Entry kSchedules[] = {{"piecewise", piecewise},
                                {"linear", linear},
                                {"anneal_cosine", anneal_cosine},
                                {"constant", constant},
                                {"cyclic", cyclic}};

RateFunction function_of(const std::string& name) {
  for (const auto& entry : kSchedules) {
    if (name == entry.name) return entry.function;
  }
  return nullptr;
}

void require(bool condition, const std::string& message) {
  if (!condition) throw std::invalid_argument("learning_rate." + message);
}

}  // namespace

std::vector<std::string> learning_rate_names() {
  std::vector<std::string> names;
  for (const auto& entry : kSchedules) names.emplace_back(entry.name);
  return names;
}

void check_learning_rate(const LearningRateSpec& spec) {
  std::string known;
  for (const auto& name : learning_rate_names()) known += (known.empty() ? "" : ", ") + name;
  require(function_of(spec.schedule) != nullptr,
          "schedule is '" + spec.schedule + "'; the learning-rate schedules are " + known);
  require(std::isfinite(spec.lr) && spec.lr > 0.0,
          "lr (optimizer.lr) is " + std::to_string(spec.lr) + "; it must be above 0");
  require(spec.steps >= 1, "steps (train.steps) is " + std::to_string(spec.steps) + "; it must be at least 1");
  for (std::size_t i = 0; i < spec.points.size(); ++i) {
    require(std::isfinite(spec.points[i]) && spec.points[i] > 0.0,
            "points holds " + std::to_string(spec.points[i]) +
                "; a point is a fraction of the run (above 0, at most 1) or a step (above 1)");
  }
  require(std::isfinite(spec.factor) && spec.factor > 0.0,
          "factor is " + std::to_string(spec.factor) + "; it must be above 0");
  require(std::isfinite(spec.ratio) && spec.ratio >= 0.0 && spec.ratio <= 1.0,
          "ratio is " + std::to_string(spec.ratio) + "; it must be 0 to 1");
  require(std::isfinite(spec.cyclic_min) && spec.cyclic_min >= 0.0 && spec.cyclic_min <= spec.lr,
          "cyclic_min is " + std::to_string(spec.cyclic_min) + "; it must be 0 to optimizer.lr");
  if (spec.schedule == "cyclic") {
    require(spec.cycles >= 1 && spec.cycles <= spec.steps,
            "cycles is " + std::to_string(spec.cycles) + "; it must be 1 to train.steps");
  }
  require(spec.warm_up_steps >= 0,
          "warm_up_steps is " + std::to_string(spec.warm_up_steps) + "; it must not be negative");
  require(std::isfinite(spec.warm_up_lr) && spec.warm_up_lr > 0.0,
          "warm_up_lr is " + std::to_string(spec.warm_up_lr) + "; it must be above 0");
}

float learning_rate_at(const LearningRateSpec& spec, std::int64_t step) {
  if (spec.warm_up && step < spec.warm_up_steps) return static_cast<float>(spec.warm_up_lr);
  const RateFunction function = function_of(spec.schedule);
  if (function == nullptr) check_learning_rate(spec);
  return static_cast<float>(function(spec, step));
}

}  // namespace bitcycle
