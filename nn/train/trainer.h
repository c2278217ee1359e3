// SPDX-License-Identifier: Apache-2.0
// Trainer: runs a config to its end, from wherever its run folder stands, and reports to a listener.
#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "nn/config/config.h"
#include "nn/run/findings.h"
#include "nn/train/run_folder.h"
#include "sim/device/device.h"
#include "sim/number/digest.h"

namespace bitcycle {

/// What a progress line shows.
struct Progress {
  std::int64_t step = 0, steps = 0;  // steps done
  int forward_bits = 0, gradient_bits = 0;
  double loss = 0.0;
  double train_accuracy = 0.0;       // percent of the last log_every batches
  std::optional<double> perplexity;  // of a text, in place of the accuracy
  double images_per_second = 0.0;    // or words of a text
  double seconds_left = 0.0;
};

class TrainListener {
 public:
  virtual ~TrainListener() = default;
  virtual void on_start(const std::string& text) = 0;  // one line each: model, data, library, resumed at
  virtual void on_warning(const std::string& text) = 0;
  virtual void on_step(const Progress& progress) = 0;
  /// `best`: the highest accuracy so far in percent, or the lowest validation loss of a text.
  virtual void on_evaluation(const EvaluationRecord& record, double best) = 0;
};

struct TrainOptions {
  std::filesystem::path run;
  bool restart = false;
  bool profile = false;                     // fills TrainSummary::profile; stops after profile_steps
  std::int64_t stop_after = 0;              // steps in this call; 0: to the end
  std::optional<Digest128> expect;          // checked by the caller; here only for the record
  const std::atomic<bool>* stop = nullptr;  // set by Ctrl-C: finish the step, save, return
};

/// What a summary of a training on a text has in place of accuracies: mean losses, whose perplexities it names.
struct TextSummary {
  TextLosses last;                                // of the last evaluation
  double test = 0.0;                              // the same
  double best_validation = 0.0, best_test = 0.0;  // the lowest validation loss, and the test loss of that evaluation
};

struct TrainSummary {
  std::filesystem::path run;
  std::int64_t step = 0, steps = 0;  // done, of
  bool finished = false;
  bool was_finished = false;                             // nothing was left to do
  double test_accuracy = 0.0, best_test_accuracy = 0.0;  // percent
  double test_accuracy_max_width = 0.0;
  std::optional<TextSummary> text;
  std::int64_t best_step = 0;
  std::int64_t swa_models = 0;  // averaged; 0: none
  double swa_accuracy = 0.0, best_swa_accuracy = 0.0;
  double paper_gbitops = 0.0, executed_gbitops = 0.0;
  double static_paper_gbitops = 0.0;  // the same steps, static at the maximum width
  double saving_percent = 0.0;
  Digest128 digest;
  double images_per_second = 0.0;       // or words; median over the steps after the first five of this call
  double seconds = 0.0;                 // of this call
  std::size_t device_memory_bytes = 0;  // of a device with memory of its own
  std::vector<ProfileEntry> profile;
  std::vector<std::string> warnings;           // of the data and of damaged checkpoints, kept in the run's summary
  std::map<std::string, std::string> records;  // of a recorded summary: checksums of the files of records, by name
};

/// Throws NonFiniteError (with step and tensor; the last checkpoint is whole), and what the reading of
/// data, weights and run folder throws.
TrainSummary train(const Config& config, Device& device, const TrainOptions& options, TrainListener& listener);

/// The summary's JSON object, keys of stable names: run, steps, test_accuracy, best_test_accuracy, ...
std::string summary_json(const TrainSummary& summary);
/// Throws std::runtime_error with what is wrong.
TrainSummary parse_summary(const std::string& json);

struct EvaluateOptions {
  std::string checkpoint = "newest";  // newest, best, a step, a path
  std::optional<BitWidth> width;      // default: the run's maximum
  bool averaged = false;              // the averaged parameters in place of the training's
};
struct EvaluateResult {
  std::int64_t step = 0;
  BitWidth width;
  double test_accuracy = 0.0, test_loss = 0.0;
  std::int64_t images = 0;                // or words of the test text
  std::optional<double> validation_loss;  // of a text, which has no accuracy
  std::int64_t validation_words = 0;
  std::vector<std::string> warnings;  // another checkpoint than was asked for, damaged records, a width of no step
};
EvaluateResult evaluate_run(const std::filesystem::path& run, Device& device, const EvaluateOptions& options,
                            const std::vector<ConfigOverride>& overrides = {});

}  // namespace bitcycle
