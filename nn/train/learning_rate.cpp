// SPDX-License-Identifier: Apache-2.0
// Learning-rate schedules, each a line of binary64 arithmetic.
#include "nn/train/learning_rate.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
#include <numbers>
#include <stdexcept>

#include "sim/number/elementary.h"

namespace bitcycle {
namespace {

using RateFunction = double (*)(const LearningRateSpec&, std::int64_t step);

double fraction(const LearningRateSpec& spec, std::int64_t step) {
  return static_cast<double>(step) / static_cast<double>(spec.steps);
}

/// The step at which a point is reached.
double point_step(const LearningRateSpec& spec, double point) {
  return point <= 1.0 ? point * static_cast<double>(spec.steps) : point;
}

double piecewise(const LearningRateSpec& spec, std::int64_t step) {
  double lr = spec.lr;
  for (const double point : spec.points) {
    if (static_cast<double>(step) >= point_step(spec, point)) lr = lr * spec.factor;
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

double cyclic_triangular(const LearningRateSpec& spec, std::int64_t step) {
  const std::int64_t period = spec.steps / spec.cycles;
  const double phase = static_cast<double>(step % period) / static_cast<double>(period);
  return spec.cyclic_min + (spec.lr - spec.cyclic_min) * (1.0 - std::abs(2.0 * phase - 1.0));
}

/// Steps before which the rate rises.
std::int64_t rising_steps(const LearningRateSpec& spec) { return spec.warm_up ? spec.warm_up_steps : 0; }

double inverse_square_root(const LearningRateSpec& spec, std::int64_t step) {
  const auto rising = static_cast<double>(std::max<std::int64_t>(1, rising_steps(spec)));
  return static_cast<double>(step) < rising ? spec.lr : spec.lr * std::sqrt(rising / static_cast<double>(step));
}

double cosine(const LearningRateSpec& spec, std::int64_t step) {
  const std::int64_t rising = rising_steps(spec), falling = std::max<std::int64_t>(1, spec.steps - rising);
  const double phase = static_cast<double>(step - rising) / static_cast<double>(falling);
  return spec.cyclic_min + 0.5 * (spec.lr - spec.cyclic_min) * (1.0 + cos_f64(std::numbers::pi * phase));
}

/// Schedules whose warm-up is a straight line from warm_up_lr up to lr.
bool rises(const LearningRateSpec& spec) { return spec.schedule == "inverse_square_root" || spec.schedule == "cosine"; }

double rising_rate(const LearningRateSpec& spec, std::int64_t step) {
  return spec.warm_up_lr +
         static_cast<double>(step) * ((spec.lr - spec.warm_up_lr) / static_cast<double>(spec.warm_up_steps));
}

struct Entry {
  const char* name;
  RateFunction function;
};
/// Before its first fall.
double plateau(const LearningRateSpec& spec, std::int64_t) { return spec.lr; }

constexpr Entry kSchedules[] = {{"piecewise", piecewise},
                                {"linear", linear},
                                {"anneal_cosine", anneal_cosine},
                                {"constant", constant},
                                {"cyclic", cyclic},
                                {"cyclic_triangular", cyclic_triangular},
                                {"inverse_square_root", inverse_square_root},
                                {"cosine", cosine},
                                {"plateau", plateau}};

RateFunction function_of(const std::string& name) {
  for (const auto& entry : kSchedules) {
    if (name == entry.name) return entry.function;
  }
  return nullptr;
}

void require(bool condition, const std::string& message) {
  if (!condition) throw std::invalid_argument("learning_rate." + message);
}

/// Above 0 and finite as binary32, too, which a step multiplies by.
bool is_rate(double value) {
  return std::isfinite(value) && std::isfinite(static_cast<float>(value)) && static_cast<float>(value) > 0.0F;
}

std::string number_text(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%g", value);
  return text;
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
  if (!is_rate(spec.lr)) {
    throw std::invalid_argument("optimizer.lr is " + number_text(spec.lr) + "; it must be a binary32 number above 0");
  }
  require(spec.steps >= 1, "steps (train.steps) is " + std::to_string(spec.steps) + "; it must be at least 1");
  for (std::size_t i = 0; i < spec.points.size(); ++i) {
    require(std::isfinite(spec.points[i]) && spec.points[i] > 0.0,
            "points holds " + std::to_string(spec.points[i]) +
                "; a point is a fraction of the run (above 0, at most 1) or a step (above 1)");
  }
  require(std::isfinite(spec.factor) && spec.factor > 0.0,
          "factor is " + number_text(spec.factor) + "; it must be above 0");
  require(!is_plateau(spec) || spec.factor < 1.0,
          "factor is " + number_text(spec.factor) + "; a plateau's must be below 1, so that the rate falls");
  require(std::isfinite(spec.ratio) && spec.ratio >= 0.0 && spec.ratio <= 1.0,
          "ratio is " + number_text(spec.ratio) + "; it must be 0 to 1");
  require(std::isfinite(spec.cyclic_min) && spec.cyclic_min >= 0.0 && spec.cyclic_min <= spec.lr,
          "cyclic_min is " + number_text(spec.cyclic_min) + "; it must be 0 to optimizer.lr");
  if (spec.schedule == "cyclic" || spec.schedule == "cyclic_triangular") {
    require(spec.cycles >= 1 && spec.cycles <= spec.steps,
            "cycles is " + std::to_string(spec.cycles) + "; it must be 1 to train.steps");
  }
  require(spec.warm_up_steps >= 0,
          "warm_up_steps is " + std::to_string(spec.warm_up_steps) + "; it must not be negative");
  require(is_rate(spec.warm_up_lr),
          "warm_up_lr is " + number_text(spec.warm_up_lr) + "; it must be a binary32 number above 0");
}

float learning_rate_at(const LearningRateSpec& spec, std::int64_t step, std::int64_t falls) {
  if (spec.warm_up && step < spec.warm_up_steps) {
    return static_cast<float>(rises(spec) ? rising_rate(spec, step) : spec.warm_up_lr);
  }
  const RateFunction function = function_of(spec.schedule);
  if (function == nullptr) check_learning_rate(spec);
  double rate = function(spec, step);
  for (std::int64_t fall = 0; fall < falls; ++fall) rate = rate * spec.factor;
  return static_cast<float>(rate);
}

std::int64_t learning_rate_until(const LearningRateSpec& spec, std::int64_t step) {
  constexpr std::int64_t kNever = std::numeric_limits<std::int64_t>::max();
  if (spec.warm_up && step < spec.warm_up_steps) return rises(spec) ? step + 1 : spec.warm_up_steps;
  if (spec.schedule == "constant" || is_plateau(spec)) return kNever;
  if (spec.schedule != "piecewise") return step + 1;
  std::int64_t until = kNever;
  for (const double point : spec.points) {
    const double at = std::ceil(point_step(spec, point));
    if (at > static_cast<double>(step) && at < 1e18) until = std::min(until, static_cast<std::int64_t>(at));
  }
  return until;
}

bool same_learning_rates(const LearningRateSpec& a, const LearningRateSpec& b) {
  if (a == b) return true;
  if (is_plateau(a) && is_plateau(b)) {
    LearningRateSpec longer = a;
    longer.steps = b.steps;
    return longer == b;
  }
  if (a.schedule != "cyclic" || b.schedule != "cyclic" || a.steps / a.cycles != b.steps / b.cycles) return false;
  LearningRateSpec longer = a;  // the rate depends on the period alone
  longer.steps = b.steps;
  longer.cycles = b.cycles;
  return longer == b;
}

std::string rate_text(float rate) {
  char text[32];
  std::snprintf(text, sizeof text, "%.9g", static_cast<double>(rate));
  return text;
}

}  // namespace bitcycle
