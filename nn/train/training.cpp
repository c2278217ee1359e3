// SPDX-License-Identifier: Apache-2.0
#include "nn/train/training.h"

#include <cstdio>
#include <stdexcept>

#include "nn/data/corpus.h"
#include "nn/data/jpeg.h"
#include "nn/data/whole_batch.h"
#include "nn/models/model.h"
#include "nn/run/initial_state.h"
#include "nn/train/cost_options.h"
#include "nn/train/fork.h"

namespace bitcycle {
namespace {

/// With one digit behind the point; small numbers with three significant digits.
std::string millions(double count) {
  char text[64];
  std::snprintf(text, sizeof text, count < 1e6 ? "%.3g" : "%.1f", 1e-6 * count);
  return text;
}

/// The data of a training, of which a batch is a part.
Dataset data_of_training(const Config& config) {
  Dataset dataset = load_dataset(config);
  if (dataset.text == nullptr) require_whole_batch(dataset, config.train.batch);
  return dataset;
}

}  // namespace

Training::Training(const Config& config, Device& device, const TrainOptions& options, TrainListener& listener)
    : config_(config),
      device_(device),
      options_(options),
      listener_(listener),
      dataset_(data_of_training(config)),
      run_(config, dataset_, device),
      workload_(model_workload(config)),
      cost_options_(bitops_options(config)),
      meter_(samples_of_step(config), dataset_.text != nullptr) {
  set_initial_state(run_, config_);
  if (config_.swa.start > 0) average_.emplace(config_, dataset_, device_);
  for (const auto& text : dataset_.warnings) warn(text);
  state_.data_checksum = dataset_.checksum;
}

TrainSummary Training::operator()(RunFolder& folder) {
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

void Training::require_own_data(const ProgressState& restored, const std::string& run) const {
  if (restored.data_checksum == dataset_.checksum) return;
  const bool text = dataset_.text != nullptr;
  throw std::runtime_error((text ? "the text in '" : "the images of '") +
                           (config_.data.path.empty() ? config_.data.name : config_.data.path) +
                           (text ? "' is not that which " : "' are not those that ") + run + " was trained on" +
                           (text ? " (words of its training, validation or test part, or data.dictionary)" : "") +
                           (dataset_.source == nullptr ? "" : ", or the JPEG decoder is another one") + ": restore " +
                           (text ? "it" : "them") + ", or start again with --restart");
}

void Training::require_start(const std::filesystem::path& run, bool anew) {
  if (!anew && std::filesystem::exists(run / "config.yaml")) {
    const RunFolder folder = RunFolder::existing(run);
    if (folder.config().train.steps == config_.train.steps) return;  // nothing is written before begin() has looked
    std::vector<std::string> ignored;
    const auto checkpoint = folder.resume_point(ignored);
    if (checkpoint) require_own_data(from_metadata(checkpoint->file.metadata, run.string()), run.string());
    return;
  }
  if (config_.fork.run.empty()) return;
  const Checkpoint checkpoint = forked_checkpoint(config_);
  const std::string origin =
      "the checkpoint of step " + std::to_string(checkpoint.step) + " of '" + config_.fork.run + "'";
  require_own_data(from_metadata(checkpoint.file.metadata, origin), config_.fork.run);
  load_state(run_.state(), checkpoint.file, origin);
}

void Training::begin() {
  const builder::NetworkProgram& network = run_.network();
  std::int64_t parameters = 0;
  for (const auto& parameter : network.parameters.all()) parameters += parameter.trained ? parameter.size() : 0;
  const bool text = dataset_.text != nullptr;
  const double words =
      static_cast<double>(samples_of_step(config_)) / static_cast<double>(priced_samples_of_step(config_));
  listener_.on_start(config_.model.name + " with " + std::to_string(network.classes) +
                     (text ? " words: " : " classes: ") + std::to_string(parameters) + " parameters, " +
                     millions(static_cast<double>(workload_.macs()) / words) + " million MACs for " +
                     (text ? "a word" : "an image") + " in each of the three passes");
  if (text) {
    const Corpus& corpus = *dataset_.text;
    listener_.on_start("data set " + dataset_.name + ": " + std::to_string(corpus.train.size()) + " training, " +
                       std::to_string(corpus.validation.size()) + " validation and " +
                       std::to_string(corpus.test.size()) + " test words, " + std::to_string(corpus.words.size()) +
                       " different ones");
  } else {
    listener_.on_start("data set " + dataset_.name + ": " + std::to_string(dataset_.train.count) + " training and " +
                       std::to_string(dataset_.test.count) + " test images" +
                       (config_.data.name == "imagefolder" ? ", read by " + jpeg_decoder() : ""));
  }
  listener_.on_start("kernels: " + device_.name() + ", threads: " + std::to_string(device_.threads()));

  std::vector<std::string> warnings;
  auto checkpoint = folder_->resume_point(warnings);
  for (const auto& warning : warnings) warn(warning);
  if (!checkpoint) {
    write_dictionary();
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
  require_own_data(restored, folder_->path().string());
  write_dictionary();
  load_state(run_.state(), checkpoint->file, origin);
  state_ = restored;
  if (average_) {
    average_->load(checkpoint->file, state_.swa_models, origin);
  } else {
    state_.swa_models = 0;  // a fork may leave its parent's averages behind
  }
  if (!config_.fork.run.empty() && state_.step <= config_.fork.step) state_.evaluation_missing = false;  // the parent's
  checkpoint_step_ = state_.step;
  folder_->truncate_to(state_.step, !state_.evaluation_missing);
  const auto recorded = folder_->widths();
  if (!recorded.empty()) widths_ = recorded.back();
  open_tensorboard();
  last_checkpoint_ = "the last checkpoint is that of step " + std::to_string(state_.step);
  listener_.on_start("resumed at step " + std::to_string(state_.step) + " of " + std::to_string(config_.train.steps));
}

void Training::write_dictionary() {
  if (dataset_.text != nullptr) folder_->write_dictionary(dictionary_text(*dataset_.text));
}

void Training::steps() {
  const std::int64_t first = state_.step, last = config_.train.steps;
  meter_.expect(last - first);
  if (state_.evaluation_missing) look(true);
  bool started = false;  // the step of this round, by the one before
  for (std::int64_t step = first; step < last; ++step) {
    if (!started && stop_wanted(step - first)) {
      if (state_.step != checkpoint_step_) write_checkpoint();
      return;
    }
    const auto begun = TrainingClock::now();
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
    meter_.add(seconds_since(begun));
    record(step, result);
    look(false);
    if (unreadable) save_and_rethrow(unreadable);
  }
}

void Training::start(std::int64_t step) {
  try {
    run_.start(step);
  } catch (const DataError&) {
    save_and_rethrow(std::current_exception());
  }
}

void Training::look(bool missing) {
  const std::int64_t done = state_.step;
  const bool evaluation = missing || due(done, config_.train.evaluate_every);
  std::vector<NamedTensor> averages_before;
  Measured measured;
  if (evaluation) {
    if (averages(done)) averages_before = average_->save();
    try {
      if (averages(done)) average_->add(run_.state(), done);
      measured = measure();
    } catch (const DataError& error) {
      save_before_evaluation(error, averages_before);
    }
  }
  if (missing || looked_at(done)) {
    digest_ = digest_state(run_.state());
    const DigestRecord record{done, digest_.root, digest_.tensors};
    missing ? folder_->record_digests_of(record) : folder_->append(record);
  }
  const bool best = evaluation && evaluate(measured);
  if (best || missing || due(done, config_.train.checkpoint_every)) write_checkpoint();
}

namespace {

/// The run was saved, and how it goes on.
std::string saved_text(std::int64_t step) {
  return ". The run is saved at step " + std::to_string(step) +
         ", and the same command goes on when the file is again as it was when the run began. If it was broken then "
         "already, mend it and start again with --restart: it is another set";
}

}  // namespace

void Training::save_before_evaluation(const DataError& error, const std::vector<NamedTensor>& averages) {
  if (!state_.evaluation_missing) {
    const StateDigest digest = digest_state(run_.state());
    folder_->append(DigestRecord{state_.step, digest.root, digest.tensors});
    state_.evaluation_missing = true;
    write_checkpoint(averages);
  }
  throw DataError(error.what() + saved_text(state_.step) + ". The evaluation of that step comes first then");
}

void Training::save_and_rethrow(const std::exception_ptr& error) {
  if (state_.step != checkpoint_step_) write_checkpoint();
  try {
    std::rethrow_exception(error);
  } catch (const DataError& reason) {
    throw DataError(reason.what() + saved_text(state_.step));
  }
}

}  // namespace bitcycle
