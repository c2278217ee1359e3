// SPDX-License-Identifier: Apache-2.0
#include "nn/train/trainer.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <exception>
#include <limits>

#include "cost_models/bitops.h"
#include "nn/data/dataset.h"
#include "nn/data/jpeg.h"
#include "nn/io/atomic_file.h"
#include "nn/models/model.h"
#include "nn/models/state.h"
#include "nn/run/averaged_network.h"
#include "nn/run/initial_state.h"
#include "nn/run/network_run.h"
#include "nn/train/cost_options.h"
#include "nn/train/fork.h"
#include "nn/train/learning_rate.h"
#include "nn/train/progress_state.h"
#include "nn/train/run_damage.h"
#include "nn/train/run_key.h"
#include "nn/train/tensorboard_log.h"

namespace bitcycle {
namespace {

using Clock = std::chrono::steady_clock;
constexpr double kGiga = 1e-9;
constexpr std::size_t kWarmUpSteps = 5;  // left out of the median speed

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

std::string fixed(double value, int digits) {
  char text[64];
  std::snprintf(text, sizeof text, "%.*f", digits, value);
  return text;
}

void check_loop(const Config& config) {
  const auto at_least_one = [](const char* key, std::int64_t value) {
    if (value < 1) throw std::invalid_argument(std::string(key) + " is " + std::to_string(value) + ": at least 1");
  };
  at_least_one("train.steps", config.train.steps);
  at_least_one("train.batch", config.train.batch);
  at_least_one("train.evaluate_every", config.train.evaluate_every);
  at_least_one("train.checkpoint_every", config.train.checkpoint_every);
  at_least_one("train.log_every", config.train.log_every);
  at_least_one("digest.every", config.digest.every);
}

/// One call of train(): from where the run folder stands to its end, or to where it is told to stop.
class Training {
 public:
  /// Everything that can refuse a config happens here, before there is a folder.
  Training(const Config& config, Device& device, const TrainOptions& options, TrainListener& listener)
      : config_(config),
        device_(device),
        options_(options),
        listener_(listener),
        dataset_(load_dataset(config.data, config.model.classes)),
        run_(config, dataset_, device),
        workload_(model_workload(config)),
        cost_options_(bitops_options(config)) {
    set_initial_state(run_, config_);
    if (config_.swa.start > 0) average_.emplace(config_, dataset_, device_);
    for (const auto& text : dataset_.warnings) warn(text);
    state_.data_checksum = dataset_.checksum;
  }

  TrainSummary operator()(RunFolder& folder) {
    folder_ = &folder;
    begin();
    if (options_.profile) device_.set_profiling(true);
    try {
      steps();
    } catch (const NonFiniteError& error) {
      folder_->flush();
      throw NonFiniteError(std::string(error.what()) + "; nothing of this step was written, " + last_checkpoint_ +
                           ". A lower optimizer.lr, learning_rate.warm_up, or wider precision may help");
    }
    return summary();
  }

 private:
  void warn(const std::string& text) {
    warnings_.push_back(text);
    listener_.on_warning(text);
  }

  void begin() {
    const builder::NetworkProgram& network = run_.network();
    std::int64_t parameters = 0;
    for (const auto& parameter : network.parameters.all()) parameters += parameter.trained ? parameter.size() : 0;
    listener_.on_start(config_.model.name + " with " + std::to_string(network.classes) +
                       " classes: " + std::to_string(parameters) + " parameters, " +
                       fixed(static_cast<double>(workload_.macs()) * 1e-6, 1) +
                       " million MACs for an image in each of the three passes");
    listener_.on_start("data set " + dataset_.name + ": " + std::to_string(dataset_.train.count) + " training and " +
                       std::to_string(dataset_.test.count) + " test images" +
                       (config_.data.name == "imagefolder" ? ", read by " + jpeg_decoder() : ""));
    listener_.on_start("kernels: " + device_.name() + ", threads: " + std::to_string(device_.threads()));

    std::vector<std::string> warnings;
    auto checkpoint = folder_->resume_point(warnings);
    for (const auto& text : warnings) warn(text);
    if (!checkpoint) {
      folder_->truncate_to(0);
      checkpoint_step_ = 0;
      if (config_.fork.run.empty()) {
        open_tensorboard();
        return;
      }
      checkpoint = take_over(config_, *folder_);
      listener_.on_start("forked from " + config_.fork.run + " at step " + std::to_string(config_.fork.step));
    }
    const std::string origin =
        "the checkpoint of step " + std::to_string(checkpoint->step) + " of " + folder_->path().string();
    ProgressState restored = from_metadata(checkpoint->file.metadata, origin);
    if (restored.data_checksum != dataset_.checksum) {
      throw std::runtime_error("the images of " + config_.data.name + " are not those that " +
                               folder_->path().string() + " was trained on" +
                               (dataset_.source == nullptr ? "" : ", or the JPEG decoder is another one") +
                               ": restore them, or start again with --restart");
    }
    load_state(run_.state(), checkpoint->file, origin);
    state_ = restored;
    if (average_) {
      average_->load(checkpoint->file, state_.swa_models, origin);
    } else {
      state_.swa_models = 0;  // a fork may leave its parent's averages behind
    }
    checkpoint_step_ = state_.step;
    folder_->truncate_to(state_.step);
    const auto recorded = folder_->widths();
    if (!recorded.empty()) widths_ = recorded.back();
    open_tensorboard();
    last_checkpoint_ = "the last checkpoint is that of step " + std::to_string(state_.step);
    listener_.on_start("resumed at step " + std::to_string(state_.step) + " of " + std::to_string(config_.train.steps));
  }

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

  /// An evaluation, or a pass for an average, that cannot read an image leaves the run as its last checkpoint has it.
  template <typename Act>
  auto explained(Act&& act) {
    try {
      return act();
    } catch (const DataError& error) {
      throw DataError(std::string(error.what()) + ". Nothing of this evaluation was written, " + last_checkpoint_ +
                      ", and the same command goes on from it when the file is there again");
    }
  }

  void steps() {
    const std::int64_t first = state_.step, last = config_.train.steps;
    step_seconds_.reserve(static_cast<std::size_t>(last - first));
    bool started = false;  // the step of this round, by the one before
    for (std::int64_t step = first; step < last; ++step) {
      if (!started && stop_wanted(step - first)) {
        if (state_.step != checkpoint_step_) write_checkpoint();
        return;
      }
      const auto begun = Clock::now();
      if (!started) start(step);
      started = runs_ahead(step, first);
      std::exception_ptr unreadable;  // of the next step; this one counts
      if (started) {
        try {
          run_.start(step + 1);
        } catch (const DataError&) {
          unreadable = std::current_exception();
          started = false;
        }
      }
      const StepResult result = run_.finish();
      step_seconds_.push_back(seconds_since(begun));
      record(step, result);
      const std::int64_t done = state_.step;
      bool best = false;
      const bool evaluation = due(done, config_.train.evaluate_every);
      if (evaluation && averages(done)) explained([&] { average_->add(run_.state(), done); });
      if (looked_at(done)) {
        digest_ = digest_state(run_.state());
        folder_->append(DigestRecord{done, digest_.root, digest_.tensors});
      }
      if (evaluation) best = explained([&] { return evaluate(); });
      if (best || due(done, config_.train.checkpoint_every)) write_checkpoint();
      if (unreadable) save_and_rethrow(unreadable);
    }
  }

  /// Begins a step. Where an image of it cannot be read, what was trained before is saved.
  void start(std::int64_t step) {
    try {
      run_.start(step);
    } catch (const DataError&) {
      save_and_rethrow(std::current_exception());
    }
  }
  [[noreturn]] void save_and_rethrow(const std::exception_ptr& error) {
    if (state_.step != checkpoint_step_) write_checkpoint();
    try {
      std::rethrow_exception(error);
    } catch (const DataError& reason) {
      throw DataError(std::string(reason.what()) + ". The run is saved at step " + std::to_string(state_.step) +
                      ", and the same command goes on when the file is there again");
    }
  }

  void record(std::int64_t step, const StepResult& result) {
    const LayerWidths widths = run_.plan().at(step);
    const StepRecord done{step, widths.forward.bits(), widths.gradient.bits(), result.loss,
                          learning_rate_at(config_.learning_rate, step)};
    folder_->append(done);
    record_widths(step);
    on_tensorboard([&] { tensorboard_->add(done); });
    state_.step = step + 1;
    state_.loss_sum += result.loss;
    ++state_.loss_count;
    state_.min_scale_bound += result.min_scale_bound;
    logged_correct_ += result.correct;
    logged_images_ += config_.train.batch;
    if (state_.step % config_.train.log_every != 0 && state_.step != config_.train.steps) return;
    Progress progress;
    progress.step = state_.step;
    progress.steps = config_.train.steps;
    progress.forward_bits = widths.forward.bits();
    progress.gradient_bits = widths.gradient.bits();
    progress.loss = result.loss;
    progress.train_accuracy = 100.0 * static_cast<double>(logged_correct_) / static_cast<double>(logged_images_);
    const std::size_t recent = std::min<std::size_t>(step_seconds_.size(), 50);
    double seconds = 0.0;
    for (auto it = step_seconds_.end() - static_cast<std::ptrdiff_t>(recent); it != step_seconds_.end(); ++it) {
      seconds += *it;
    }
    seconds /= static_cast<double>(recent);
    progress.images_per_second = static_cast<double>(config_.train.batch) / seconds;
    progress.seconds_left = seconds * static_cast<double>(config_.train.steps - state_.step);
    logged_correct_ = logged_images_ = 0;
    listener_.on_step(progress);
  }

  /// A line where the widths are not those of the step before.
  void record_widths(std::int64_t step) {
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

  BitOps cost(std::int64_t steps) const { return count_bitops(workload_, run_.plan(), 0, steps, cost_options_); }

  /// True where this is the best accuracy so far.
  bool evaluate() {
    const std::int64_t done = state_.step;
    const auto widths = run_.widths_at(done - 1);
    const EvaluationResult now = run_.evaluate(done, widths);
    // The test accuracy depends on the forward widths alone.
    const auto same_forward = [](const LayerWidths& a, const LayerWidths& b) { return a.forward == b.forward; };
    const auto& max = run_.max_widths();
    const bool at_max = std::equal(widths.begin(), widths.end(), max.begin(), same_forward);
    const EvaluationResult widest = at_max ? now : run_.evaluate(done, max);
    const BitOps spent = cost(done);

    EvaluationRecord evaluation;
    evaluation.step = done;
    evaluation.epoch = static_cast<double>(done * config_.train.batch) / static_cast<double>(dataset_.train.count);
    evaluation.train_loss = state_.loss_count > 0 ? state_.loss_sum / static_cast<double>(state_.loss_count) : 0.0;
    evaluation.test_loss = now.loss;
    evaluation.test_accuracy = now.accuracy;
    evaluation.test_accuracy_max_width = widest.accuracy;
    evaluation.forward_bits = run_.plan().at(done - 1).forward.bits();
    evaluation.gradient_bits = run_.plan().at(done - 1).gradient.bits();
    evaluation.paper_gbitops = spent.paper * kGiga;
    evaluation.executed_gbitops = spent.executed * kGiga;
    evaluation.min_scale_bound = state_.min_scale_bound;
    evaluation.digest = digest_.root;
    evaluation.seconds = seconds_since(start_);
    if (averages(done)) evaluate_average(evaluation);
    folder_->append(evaluation);
    on_tensorboard([&] {
      tensorboard_->add(evaluation);
      tensorboard_->flush();
    });
    state_.loss_sum = 0.0;
    state_.loss_count = 0;
    state_.min_scale_bound = 0;
    const double accuracy = config_.evaluation.width == "max" ? widest.accuracy : now.accuracy;
    const bool best = accuracy > state_.best_accuracy;
    if (best) {
      state_.best_accuracy = accuracy;
      state_.best_step = done;
    }
    listener_.on_evaluation(evaluation, state_.best_accuracy);
    return best;
  }

  void evaluate_average(EvaluationRecord& evaluation) {
    evaluation.swa_models = state_.swa_models = average_->models();
    evaluation.swa_accuracy = state_.swa_accuracy = average_->evaluate(evaluation.step).accuracy;
    evaluation.swa_digest = average_->digest();
    state_.best_swa_accuracy = std::max(state_.best_swa_accuracy, state_.swa_accuracy);
  }

  void write_checkpoint() {
    if (const auto name = non_finite_state(run_.state()); !name.empty()) {
      throw NonFiniteError("step " + std::to_string(state_.step - 1) + ": " + name + " is not finite");
    }
    folder_->write_cost(bitops_csv(cost(state_.step)));
    folder_->flush();
    on_tensorboard([&] { tensorboard_->flush(); });
    Checkpoint checkpoint;
    checkpoint.step = state_.step;
    checkpoint.best_step = state_.best_step;
    checkpoint.file.tensors = save_state(run_.state());
    if (average_) {
      for (auto& tensor : average_->save()) checkpoint.file.tensors.push_back(std::move(tensor));
    }
    checkpoint.file.metadata = to_metadata(state_);
    checkpoint.file.metadata[kIdentityKey] = identity_digest(config_);
    checkpoint.file.metadata[kRunKey] = run_key(config_);
    folder_->write_checkpoint(checkpoint);
    checkpoint_step_ = state_.step;
    last_checkpoint_ = "the last checkpoint is that of step " + std::to_string(state_.step);
  }

  double median_speed() const {
    auto times = step_seconds_;
    if (times.size() > kWarmUpSteps) times.erase(times.begin(), times.begin() + kWarmUpSteps);
    if (times.empty()) return 0.0;
    const auto middle = times.begin() + static_cast<std::ptrdiff_t>(times.size() / 2);
    std::nth_element(times.begin(), middle, times.end());
    return static_cast<double>(config_.train.batch) / *middle;
  }

  TrainSummary summary() {
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
    summary.images_per_second = median_speed();
    summary.seconds = seconds_since(start_);
    summary.device_memory_bytes = device_.memory_bytes();
    if (options_.profile) summary.profile = device_.profile();
    summary.warnings = warnings_;
    if (summary.finished) folder_->write_summary(summary_json(summary));
    return summary;
  }

  const Config& config_;
  Device& device_;
  const TrainOptions& options_;
  TrainListener& listener_;
  RunFolder* folder_ = nullptr;
  const Clock::time_point start_ = Clock::now();
  const Dataset dataset_;
  NetworkRun run_;
  std::optional<AveragedNetwork> average_;
  const Workload workload_;
  const BitOpsOptions cost_options_;

  ProgressState state_;
  StateDigest digest_;
  std::optional<WidthRecord> widths_;  // the last that was recorded
  std::int64_t checkpoint_step_ = 0;   // whose state is on the disk, or follows from the config
  std::string last_checkpoint_ = "and there is no checkpoint yet";
  std::vector<std::string> warnings_;
  std::vector<double> step_seconds_;
  std::int64_t logged_correct_ = 0, logged_images_ = 0;
  std::optional<TensorboardLog> tensorboard_;
  bool tensorboard_failed_ = false;
};

/// What a finished run has left, and a warning for everything of it that is damaged; nothing where it is not finished,
/// its summary cannot be read, or the config asks for more steps: the last checkpoint then gives a new one.
std::optional<TrainSummary> finished_summary(const std::filesystem::path& run, const Config& config,
                                             TrainListener& listener) {
  if (!std::filesystem::exists(run)) return std::nullopt;
  const RunFolder folder = RunFolder::existing(run);
  if (!folder.finished()) return std::nullopt;
  const std::int64_t before = folder.config().train.steps;
  if (before != config.train.steps) {
    listener.on_start("the finished run of " + std::to_string(before) + " steps becomes one of " +
                      std::to_string(config.train.steps));
    return std::nullopt;
  }
  for (const auto& text : damage_of(folder)) listener.on_warning(text);
  for (const auto& text : unsealed_note(folder)) listener.on_warning(text);
  if (folder.checkpoint_steps().empty()) {
    listener.on_warning(
        "'" + run.string() +
        "' has no checkpoint any more: eval, export, train --from and a longer run need one; train again "
        "with --restart, or restore one from a copy");
  }
  std::optional<TrainSummary> recorded;
  try {
    recorded = parse_summary(folder.summary_json().value());
  } catch (const std::runtime_error&) {
    listener.on_start("the summary is made again from the last checkpoint");
    return std::nullopt;
  }
  require_own_summary(folder);
  recorded->run = folder.path();
  recorded->was_finished = true;
  remove_orphans(run);
  return recorded;
}

}  // namespace

TrainSummary train(const Config& given, Device& device, const TrainOptions& options, TrainListener& listener) {
  check_config(given);
  const Config config = with_fork(with_initial_weights_digest(given), options.run, options.restart);
  check_loop(config);
  if (!options.restart) {
    RunFolder::check(options.run, config);
    if (auto summary = finished_summary(options.run, config, listener)) return std::move(*summary);
  }
  Training training(config, device, options, listener);
  if (options.restart) {
    const auto kept = RunFolder::set_aside(options.run);
    if (!kept.empty()) listener.on_start("the earlier run is kept as " + kept.string());
  }
  RunFolder folder = RunFolder::open(options.run, config);
  return training(folder);
}

}  // namespace bitcycle
