// SPDX-License-Identifier: Apache-2.0
// Training: one call of train(). Its course is in training.cpp, what it writes into the run folder in
// training_records.cpp.
#pragma once

#include <exception>
#include <optional>
#include <string>
#include <vector>

#include "cost_models/bitops.h"
#include "nn/data/dataset.h"
#include "nn/models/state.h"
#include "nn/run/averaged_network.h"
#include "nn/run/network_run.h"
#include "nn/train/progress_meter.h"
#include "nn/train/progress_state.h"
#include "nn/train/tensorboard_log.h"
#include "nn/train/trainer.h"

namespace bitcycle {

/// From where the run folder stands to its end, or to where it is told to stop.
class Training {
 public:
  /// Everything that can refuse a config happens here, before there is a folder.
  Training(const Config& config, Device& device, const TrainOptions& options, TrainListener& listener);

  /// Throws where the run cannot begin: the folder is of a run on other data, or the state that a fork goes on from
  /// does not fit. `anew`: what the folder holds does not count. Nothing has been written until then.
  void require_start(const std::filesystem::path& run, bool anew);
  TrainSummary operator()(RunFolder& folder);

 private:
  void warn(const std::string& text) {
    warnings_.push_back(text);
    listener_.on_warning(text);
  }

  void require_own_data(const ProgressState& restored, const std::string& run) const;
  void write_dictionary();
  void begin();

  /// TensorBoard's file is a copy of the records: what goes wrong with it is a warning, and the run goes on without.
  template <typename Act>
  void on_tensorboard(Act&& act) {
    if (!config_.execution.tensorboard) return;
    try {
      if (tensorboard_failed_) return;
      act();
    } catch (const std::exception& error) {
      tensorboard_failed_ = true;
      warn(std::string("TensorBoard's event file is not written any more: ") + error.what());
    }
  }
  void open_tensorboard() {
    on_tensorboard([&] { tensorboard_.emplace(*folder_, config_.train.log_every); });
  }

  bool due(std::int64_t done, std::int64_t every) const { return done % every == 0 || done == config_.train.steps; }
  /// True where the state after so many steps is looked at.
  bool looked_at(std::int64_t done) const {
    return due(done, config_.train.evaluate_every) || due(done, config_.digest.every) ||
           due(done, config_.train.checkpoint_every);
  }
  bool averages(std::int64_t done) const {
    return average_ && done >= config_.swa.start && done % config_.swa.freq == 0;
  }
  /// The step after this one may begin before this one's result is known: nothing looks at the state between them.
  bool runs_ahead(std::int64_t step, std::int64_t first) const {
    return device_.runs_behind() && step + 1 < config_.train.steps && !looked_at(step + 1) &&
           !stop_wanted(step + 1 - first);
  }

  bool stop_wanted(std::int64_t done_here) const {
    if (options_.stop != nullptr && options_.stop->load()) return true;
    return options_.stop_after > 0 && done_here >= options_.stop_after;
  }

  void steps();

  /// Begins a step. Where an image of it cannot be read, what was trained before is saved.
  void start(std::int64_t step);
  [[noreturn]] void save_and_rethrow(const std::exception_ptr& error);

  void record(std::int64_t step, const StepResult& result);

  /// A line where the widths are not those of the step before.
  void record_widths(std::int64_t step);

  BitOps cost(std::int64_t steps) const { return count_bitops(workload_, run_.plan(), 0, steps, cost_options_); }

  struct Measured {
    EvaluationResult test, test_max_width;  // at the widths of the step just done, and at the largest
    double average = 0.0;                   // accuracy of the averaged weights, where the step adds to them
    std::optional<TextLosses> text;
    double decisive = 0.0;  // accuracy, or validation loss, which tells the best checkpoint
    double decisive_test_loss = 0.0;
  };
  /// Evaluates; where the learning rate follows from it, that is a change of the state.
  Measured measure();
  /// True where this is the best so far.
  bool evaluate(const Measured& measured);

  void record_average(EvaluationRecord& evaluation, double accuracy);

  /// What is due after a step. `missing`: its evaluation alone, of a run that was stopped by it.
  void look(bool missing);
  /// An image of the evaluation cannot be read: what was trained is saved, and the evaluation comes first when the
  /// training goes on. `averages`: as they were before it.
  [[noreturn]] void save_before_evaluation(const DataError& error, const std::vector<NamedTensor>& averages);

  void write_checkpoint() { write_checkpoint(average_ ? average_->save() : std::vector<NamedTensor>{}); }
  void write_checkpoint(const std::vector<NamedTensor>& averages);

  TrainSummary summary();

  const Config& config_;
  Device& device_;
  const TrainOptions& options_;
  TrainListener& listener_;
  RunFolder* folder_ = nullptr;
  const TrainingClock::time_point start_ = TrainingClock::now();
  const Dataset dataset_;
  NetworkRun run_;
  std::optional<AveragedNetwork> average_;
  const Workload workload_;
  const BitOpsOptions cost_options_;
  ProgressMeter meter_;

  ProgressState state_;
  StateDigest digest_;
  std::optional<WidthRecord> widths_;  // the last that was recorded
  std::int64_t checkpoint_step_ = 0;   // whose state is on the disk, or follows from the config
  std::string last_checkpoint_ = "and there is no checkpoint yet";
  std::vector<std::string> warnings_;
  std::optional<TensorboardLog> tensorboard_;
  bool tensorboard_failed_ = false;
};

}  // namespace bitcycle
