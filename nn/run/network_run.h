// SPDX-License-Identifier: Apache-2.0
// NetworkRun: a config's network on a device, with its widths, data and optimiser: one training step, or one
// evaluation, at a time. Both are programs over one state. What a step does depends on the state before it, the config
// and the step's number alone.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "nn/builder/builder.h"
#include "nn/config/config.h"
#include "nn/data/dataset.h"
#include "nn/run/findings.h"
#include "nn/run/network_programs.h"
#include "nn/run/network_state.h"
#include "nn/run/streamed_batches.h"
#include "nn/run/text_batches.h"
#include "sim/device/device.h"
#include "sim/schedule/precision_plan.h"

namespace bitcycle {

struct EvaluationResult {
  double loss = 0.0;        // mean
  double accuracy = 0.0;    // percent; of images
  std::int64_t images = 0;  // or words that were predicted
};

class NetworkRun {
 public:
  /// What its training steps are for: to train; or to move running statistics and ranges, with the parameters as they
  /// are.
  enum class Purpose : std::uint8_t { kTraining, kStatistics };

  /// Throws std::invalid_argument: images or classes that do not fit the model, a pattern of precision.layers that no
  /// layer matches; std::runtime_error: more memory than there is. `dataset` and `device` must live on. `kept`: names
  /// of tensors of the training step that read() is to find.
  NetworkRun(const Config& config, const Dataset& dataset, Device& device, const std::vector<std::string>& kept = {},
             Purpose purpose = Purpose::kTraining);
  ~NetworkRun();
  NetworkRun(const NetworkRun&) = delete;
  NetworkRun& operator=(const NetworkRun&) = delete;

  /// The program of the first training step.
  const builder::NetworkProgram& network() const { return *training_.front()->network; }
  /// That of a training step.
  const builder::NetworkProgram& network_of(std::int64_t step);
  NetworkState& state() { return *network_state_; }
  State& device_state() { return *state_; }
  const PrecisionPlan& plan() const { return plan_; }
  std::int64_t epoch_of(std::int64_t step) const {
    return text_ ? text_->training().epoch_of(step) : loader_->epoch_of(step);
  }
  /// Images, or words, of the steps before this one, and of all of a training's set.
  std::int64_t samples_before(std::int64_t step) const {
    return text_ ? text_->training().words_before(step) : step * config_.train.batch;
  }
  double epochs_before(std::int64_t step) const;

  /// Begins a training step. Where the device runs behind, the next one may be started before this one is finished.
  void start(std::int64_t step) { start(step, step); }
  /// The same over another batch than that of the step.
  void start(std::int64_t step, std::int64_t batch);
  /// Batches 0 .. batches - 1 are asked for again, their augmentation drawn for epochs from this one on.
  void begin_pass(std::uint32_t first_epoch, std::int64_t batches);
  /// What the oldest step that was started found. Throws NonFiniteError naming step and tensor; the state is then not
  /// to be used any more. Where it is the gradients that are not finite, the parameters are still those before the
  /// step.
  StepResult finish();
  StepResult step(std::int64_t step) {
    start(step);
    return finish();
  }
  /// The same kernel by kernel (Executable::advance); nothing is there to finish.
  Executable& begin(std::int64_t step);
  /// A kept tensor of the last step that was started.
  void read(const std::string& tensor, void* host);

  /// Widths of every quantised layer at a step; the largest of the run; the same width everywhere.
  std::vector<LayerWidths> widths_at(std::int64_t step) const;
  const std::vector<LayerWidths>& max_widths() const { return max_widths_; }
  std::vector<LayerWidths> widths_of(BitWidth forward) const;
  /// The whole test set, at any widths. Throws std::runtime_error before the first training step: there are no
  /// statistics yet. `logits`, if given, gets those of every image, (images, classes).
  EvaluationResult evaluate(std::int64_t steps_done, const std::vector<LayerWidths>& widths,
                            std::vector<float>* logits = nullptr);
  /// The loss of every word of a text. Throws as evaluate() does.
  EvaluationResult evaluate_text(TextPart part, std::int64_t steps_done, const std::vector<LayerWidths>& widths);
  /// Falls of the learning rate so far; 0 where it is not `plateau`.
  std::int64_t falls();
  /// An evaluation's validation loss (of images: test loss), from which the falls follow; state of the training.
  void note_validation(double loss);
  /// The same for a training that is computed again: evaluates where the training did.
  void move_plateau(std::int64_t steps_done);

 private:
  /// Training steps with the same float32 operands.
  struct Training {
    std::vector<FloatOperands> floats;
    std::int64_t time_steps = 0;  // of texts
    std::unique_ptr<builder::NetworkProgram> network;
    std::unique_ptr<Executable> executable;
    std::array<std::unique_ptr<StepInputs>, 2> inputs;  // of steps that are on their way
  };
  /// Evaluations with forward widths up to `widest`, float32 in the same layers.
  struct Evaluation {
    std::vector<BitWidth> widest;
    std::unique_ptr<builder::NetworkProgram> network;
    std::unique_ptr<Executable> executable;
    std::unique_ptr<StepInputs> inputs;
  };
  /// A step that was started and is not finished.
  struct Started {
    std::int64_t step = 0, batch = 0;
    std::vector<LayerWidths> widths;
    Training* training = nullptr;
    StepHandle handle;
    float rate = 0.0F;
    std::vector<std::int32_t> tokens, labels;
  };

  /// Programs of all training steps, not compiled yet.
  void write_training_programs();
  void check_memory(const Evaluation& evaluation) const;
  void write_images();
  /// Memory of the device for two batches of a streamed set, each of which a step uses.
  void prepare_streamed_images();
  void upload_batch(const char* set, std::int64_t slot, std::int64_t images, const std::uint8_t* pixels,
                    const std::int32_t* labels);
  Training& training_of(std::int64_t batch, const std::vector<LayerWidths>& widths);
  Evaluation& evaluation_of(const std::vector<LayerWidths>& widths);
  std::unique_ptr<Evaluation> write_evaluation(const std::vector<BitWidth>& widest) const;
  void compile(Evaluation& evaluation);
  /// The inputs of a step, in the buffer of the next one that is started.
  StepInputs& give_inputs(std::int64_t step, std::int64_t batch);
  void give_training_batch(Started& started);
  void give_words(Started& started, StepInputs& inputs);
  void clear_carried(const builder::NetworkProgram& network);
  double validation_loss(std::int64_t steps_done, const std::vector<LayerWidths>& widths);
  /// All indices of a set; those behind a batch are not looked at.
  void write_indices(const char* set);
  void fill_widths(std::int64_t step, std::vector<LayerWidths>& widths) const;

  const Config config_;
  const Purpose purpose_;
  const Dataset& dataset_;
  Device& device_;
  PrecisionPlan plan_;
  std::optional<BatchLoader> loader_;        // of images
  std::optional<TextBatches> text_;          // of a text
  std::optional<StreamedBatches> streamed_;  // of a set that does not lie in memory
  std::int64_t evaluation_batch_;
  std::vector<std::unique_ptr<Training>> training_;
  std::vector<std::unique_ptr<Evaluation>> evaluations_;
  std::vector<std::string> layers_;
  std::vector<LayerWidths> max_widths_;
  std::shared_ptr<State> state_;
  std::unique_ptr<NetworkState> network_state_;

  /// A device that keeps no images is given a batch and has done the step when it returns.
  std::size_t batches_on_their_way() const { return device_.keeps_images() || text_ ? started_.size() : 1; }

  std::array<Started, 2> started_;
  std::vector<float> images_;  // a batch on the host, where the device keeps no images
  std::size_t starts_ = 0, finishes_ = 0;
  std::vector<ImageIndex> indices_;
  std::int64_t first_step_of_indices_ = 0, end_of_indices_ = 0;  // steps whose indices are on the device
};

}  // namespace bitcycle
