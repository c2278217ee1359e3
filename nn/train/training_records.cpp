// SPDX-License-Identifier: Apache-2.0
// What a training writes: records of steps and evaluations, checkpoints, its summary.
#include <algorithm>
#include <utility>

#include "nn/train/learning_rate.h"
#include "nn/train/run_key.h"
#include "nn/train/training.h"

namespace bitcycle {
namespace {

constexpr double kGiga = 1e-9;

}  // namespace

void Training::record(std::int64_t step, const StepResult& result) {
  const LayerWidths widths = run_.plan().at(step);
  const StepRecord done{step, widths.forward.bits(), widths.gradient.bits(), result.loss, result.rate};
  folder_->append(done);
  record_widths(step);
  on_tensorboard([&] { tensorboard_->add(done); });
  state_.step = step + 1;
  state_.loss_sum += result.loss;
  ++state_.loss_count;
  state_.min_scale_bound += result.min_scale_bound;
  meter_.add(result);
  if (state_.step % config_.train.log_every != 0 && state_.step != config_.train.steps) return;
  Progress progress;
  progress.step = state_.step;
  progress.steps = config_.train.steps;
  progress.forward_bits = widths.forward.bits();
  progress.gradient_bits = widths.gradient.bits();
  progress.loss = result.loss;
  meter_.fill(progress);
  listener_.on_step(progress);
}

void Training::record_widths(std::int64_t step) {
  WidthRecord now{step, run_.plan().at(step), {}};
  if (!config_.precision.layers.empty() || !config_.precision.history.empty()) {
    const auto widths = run_.widths_at(step);
    for (std::size_t i = 0; i < widths.size(); ++i) {
      if (widths[i] != now.widths) now.layers[run_.network().layers[i].name] = widths[i];
    }
  }
  if (widths_ && widths_->widths == now.widths && widths_->layers == now.layers) return;
  folder_->append(now);
  widths_ = std::move(now);
}

Training::Measured Training::measure() {
  const std::int64_t done = state_.step;
  const auto widths = run_.widths_at(done - 1);
  const auto& max = run_.max_widths();
  // What an evaluation finds depends on the forward widths alone.
  const auto same_forward = [](const LayerWidths& a, const LayerWidths& b) { return a.forward == b.forward; };
  const bool at_max = std::equal(widths.begin(), widths.end(), max.begin(), same_forward);
  const auto both = [&](const auto& evaluated, EvaluationResult& now, EvaluationResult& widest) {
    now = evaluated(widths);
    widest = at_max ? now : evaluated(max);
  };
  Measured measured;
  if (!dataset_.text) {
    both([&](const auto& at) { return run_.evaluate(done, at); }, measured.test, measured.test_max_width);
  } else {
    EvaluationResult now, widest;
    both([&](const auto& at) { return run_.evaluate_text(TextPart::kValidation, done, at); }, now, widest);
    both([&](const auto& at) { return run_.evaluate_text(TextPart::kTest, done, at); }, measured.test,
         measured.test_max_width);
    measured.text = TextLosses{now.loss, widest.loss, measured.test_max_width.loss};
  }
  const bool max_decides = config_.evaluation.width == "max";
  const EvaluationResult& test = max_decides ? measured.test_max_width : measured.test;
  measured.decisive_test_loss = test.loss;
  measured.decisive = !measured.text ? test.accuracy
                      : max_decides  ? measured.text->validation_max_width
                                     : measured.text->validation;
  if (averages(done)) measured.average = average_->evaluate(done).accuracy;
  // Last, since it may change the state: what cannot be read must leave it as it was.
  run_.note_validation(measured.text ? measured.decisive : test.loss);
  return measured;
}

bool Training::evaluate(const Measured& measured) {
  const std::int64_t done = state_.step;
  const BitOps spent = cost(done);

  EvaluationRecord evaluation;
  evaluation.step = done;
  evaluation.epoch = run_.epochs_before(done);
  evaluation.train_loss = state_.loss_count > 0 ? state_.loss_sum / static_cast<double>(state_.loss_count) : 0.0;
  evaluation.test_loss = measured.test.loss;
  evaluation.test_accuracy = measured.test.accuracy;
  evaluation.test_accuracy_max_width = measured.test_max_width.accuracy;
  evaluation.text = measured.text;
  evaluation.forward_bits = run_.plan().at(done - 1).forward.bits();
  evaluation.gradient_bits = run_.plan().at(done - 1).gradient.bits();
  evaluation.paper_gbitops = spent.paper * kGiga;
  evaluation.executed_gbitops = spent.executed * kGiga;
  evaluation.min_scale_bound = state_.min_scale_bound;
  evaluation.digest = digest_.root;
  evaluation.seconds = seconds_since(start_);
  if (averages(done)) record_average(evaluation, measured.average);
  folder_->append(evaluation);
  on_tensorboard([&] {
    tensorboard_->add(evaluation);
    tensorboard_->flush();
  });
  state_.loss_sum = 0.0;
  state_.loss_count = 0;
  state_.min_scale_bound = 0;
  state_.evaluation_missing = false;
  const bool best = measured.text ? state_.best_loss < 0.0 || measured.decisive < state_.best_loss
                                  : measured.decisive > state_.best_accuracy;
  if (best) {
    (measured.text ? state_.best_loss : state_.best_accuracy) = measured.decisive;
    if (measured.text) state_.best_test_loss = measured.decisive_test_loss;
    state_.best_step = done;
  }
  listener_.on_evaluation(evaluation, measured.text ? state_.best_loss : state_.best_accuracy);
  return best;
}

void Training::record_average(EvaluationRecord& evaluation, double accuracy) {
  evaluation.swa_models = state_.swa_models = average_->models();
  evaluation.swa_accuracy = state_.swa_accuracy = accuracy;
  evaluation.swa_digest = average_->digest();
  state_.best_swa_accuracy = std::max(state_.best_swa_accuracy, state_.swa_accuracy);
}

void Training::write_checkpoint(const std::vector<NamedTensor>& averages) {
  if (const auto name = non_finite_state(run_.state()); !name.empty()) {
    throw NonFiniteError("step " + std::to_string(state_.step - 1) + ": " + name + " is not finite");
  }
  folder_->write_cost(bitops_csv(cost(state_.step)));
  folder_->flush();
  on_tensorboard([&] { tensorboard_->flush(); });
  Checkpoint checkpoint;
  checkpoint.step = state_.step;
  checkpoint.best_step = state_.best_step;
  TensorStream tensors;
  tensors.entries = state_entries(run_.state());
  for (const auto& tensor : averages) {
    tensors.entries.push_back({tensor.name, "F32", tensor.shape, sizeof(float) * tensor.data.size()});
  }
  tensors.visit = [&](const auto& visit) {
    visit_state(run_.state(), visit);
    for (const auto& tensor : averages) visit(tensor.data);
  };
  checkpoint.file.metadata = to_metadata(state_);
  checkpoint.file.metadata[kIdentityKey] = identity_digest(config_);
  checkpoint.file.metadata[kRunKey] = run_key(config_);
  folder_->write_checkpoint(checkpoint, tensors);
  checkpoint_step_ = state_.step;
  last_checkpoint_ = "the last checkpoint is that of step " + std::to_string(state_.step);
}

TrainSummary Training::summary() {
  TrainSummary summary;
  summary.run = folder_->path();
  summary.step = state_.step;
  summary.steps = config_.train.steps;
  summary.finished = state_.step == config_.train.steps;
  const auto evaluations = folder_->evaluations();
  if (!evaluations.empty()) {
    summary.test_accuracy = evaluations.back().test_accuracy;
    summary.test_accuracy_max_width = evaluations.back().test_accuracy_max_width;
  }
  if (dataset_.text) {
    summary.text = TextSummary{{}, 0.0, std::max(0.0, state_.best_loss), std::max(0.0, state_.best_test_loss)};
    if (!evaluations.empty()) {
      summary.text->last = evaluations.back().text.value_or(TextLosses{});
      summary.text->test = evaluations.back().test_loss;
    }
  }
  summary.best_test_accuracy = std::max(0.0, state_.best_accuracy);
  summary.best_step = state_.best_step;
  summary.swa_models = state_.swa_models;
  if (state_.swa_models > 0) {
    summary.swa_accuracy = state_.swa_accuracy;
    summary.best_swa_accuracy = state_.best_swa_accuracy;
  }
  if (state_.step > 0) {
    const BitOps spent = cost(state_.step);
    const BitOps fixed_width = count_static_bitops(workload_, run_.plan(), 0, state_.step, cost_options_);
    summary.paper_gbitops = spent.paper * kGiga;
    summary.executed_gbitops = spent.executed * kGiga;
    summary.static_paper_gbitops = fixed_width.paper * kGiga;
    summary.saving_percent = saving_percent(spent, fixed_width);
  }
  summary.digest = digest_state(run_.state()).root;
  summary.images_per_second = meter_.median_speed();
  summary.seconds = seconds_since(start_);
  summary.device_memory_bytes = device_.memory_bytes();
  if (options_.profile) summary.profile = device_.profile();
  summary.warnings = warnings_;
  if (summary.finished) folder_->write_summary(summary_json(summary));
  return summary;
}

}  // namespace bitcycle
