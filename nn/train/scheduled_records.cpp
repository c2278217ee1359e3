// SPDX-License-Identifier: Apache-2.0
#include "nn/train/scheduled_records.h"

#include <algorithm>

#include "nn/models/model.h"
#include "nn/train/learning_rate.h"
#include "nn/train/run_records.h"

namespace bitcycle {
namespace {

std::string pair_text(int forward, int gradient) { return std::to_string(forward) + "/" + std::to_string(gradient); }

/// The line of widths.csv without its end.
std::string line_of(const WidthRecord& record) {
  std::string line = to_line(record);
  line.pop_back();
  return line;
}

std::string not_as_the_config(const std::string& recorded, const std::string& prescribed) {
  return "has " + recorded + ", and the schedule of config.yaml has " + prescribed;
}

}  // namespace

ScheduledRecords::ScheduledRecords(const Config& config)
    : config_(config), plan_(precision_spec(config), config.train.steps) {
  if (!config.precision.layers.empty() || !config.precision.history.empty()) {
    layers_ = model_workload(config).quantised_layers();
  }
}

std::optional<std::string> ScheduledRecords::contradiction(const StepRecord& record) const {
  if (record.step >= config_.train.steps) {
    return "is of step " + std::to_string(record.step) + ", and train.steps of config.yaml is " +
           std::to_string(config_.train.steps);
  }
  const LayerWidths widths = plan_.at(record.step);
  const std::string recorded = pair_text(record.forward_bits, record.gradient_bits),
                    prescribed = pair_text(widths.forward.bits(), widths.gradient.bits());
  if (recorded != prescribed) return not_as_the_config(recorded + " bits", prescribed);
  // A fork took over its first steps with their learning rates.
  if (record.step < config_.fork.step) return std::nullopt;
  const float rate = learning_rate_at(config_.learning_rate, record.step);
  if (record.lr == rate) return std::nullopt;
  if (is_plateau(config_.learning_rate)) return plateau_contradiction(record);
  return not_as_the_config("the learning rate " + rate_text(record.lr), rate_text(rate));
}

/// The rate is lr after so many falls as there have been evaluations at most.
std::optional<std::string> ScheduledRecords::plateau_contradiction(const StepRecord& record) const {
  const std::int64_t most = record.step / config_.train.evaluate_every;
  for (std::int64_t falls = 1; falls <= most; ++falls) {
    const float rate = learning_rate_at(config_.learning_rate, record.step, falls);
    if (record.lr == rate) return std::nullopt;
    if (rate == 0.0F) break;
  }
  return not_as_the_config("the learning rate " + rate_text(record.lr),
                           "optimizer.lr times learning_rate.factor at most " + std::to_string(most) + " times");
}

std::optional<std::string> ScheduledRecords::contradiction(const EvaluationRecord& record) const {
  if (record.step < 1 || record.step > config_.train.steps) {
    return "is of step " + std::to_string(record.step) + ", and train.steps of config.yaml is " +
           std::to_string(config_.train.steps);
  }
  const LayerWidths widths = plan_.at(record.step - 1);
  const std::string recorded = pair_text(record.forward_bits, record.gradient_bits),
                    prescribed = pair_text(widths.forward.bits(), widths.gradient.bits());
  if (recorded == prescribed) return std::nullopt;
  return not_as_the_config(recorded + " bits", prescribed);
}

std::optional<std::string> ScheduledRecords::contradiction(const WidthRecord& record) const {
  if (record.step >= config_.train.steps) {
    return "is of step " + std::to_string(record.step) + ", and train.steps of config.yaml is " +
           std::to_string(config_.train.steps);
  }
  const std::string recorded = line_of(record), prescribed = line_of(widths_at(record.step));
  if (recorded == prescribed) return std::nullopt;
  return not_as_the_config("'" + recorded + "'", "'" + prescribed + "'");
}

WidthRecord ScheduledRecords::widths_at(std::int64_t step) const {
  WidthRecord record{step, plan_.at(step), {}};
  for (const auto& layer : layers_) {
    const LayerWidths widths = plan_.at(step, layer);
    if (widths != record.widths) record.layers[layer] = widths;
  }
  return record;
}

std::vector<std::int64_t> ScheduledRecords::changes(std::int64_t end) const {
  std::vector<std::int64_t> steps;
  WidthRecord last;
  for (std::int64_t step = config_.fork.step; step < end;) {
    WidthRecord now = widths_at(step);
    if (steps.empty() || now.widths != last.widths || now.layers != last.layers) steps.push_back(step);
    last = std::move(now);
    std::int64_t next = plan_.until(step);
    for (const auto& layer : layers_) next = std::min(next, plan_.until(step, layer));
    step = std::max(next, step + 1);
  }
  return steps;
}

}  // namespace bitcycle
