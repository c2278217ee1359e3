// SPDX-License-Identifier: Apache-2.0
// NetworkRun: a config's network on a backend, with its widths, data and optimiser: one training step, or one
// evaluation, at a time. What a step does depends on the state before it, the config and the step's number alone.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "nn/config/config.h"
#include "nn/data/dataset.h"
#include "nn/layers/network.h"
#include "sim/backend.h"
#include "sim/schedule/precision_plan.h"

namespace bitcycle {

struct EvaluationResult {
  double loss = 0.0;      // mean
  double accuracy = 0.0;  // percent
  std::int64_t images = 0;
};

class NetworkRun {
 public:
  /// Memory is made for the widths of the whole run, and for `also` where given. Throws std::invalid_argument: images
  /// or classes that do not fit the model, a pattern of precision.layers that no layer matches. `dataset` must live on.
  NetworkRun(const Config& config, const Dataset& dataset, Backend& backend, std::optional<BitWidth> also = {});

  ~NetworkRun();
  NetworkRun(const NetworkRun&) = delete;
  NetworkRun& operator=(const NetworkRun&) = delete;

  Network& network() { return *network_; }
  const PrecisionPlan& plan() const { return plan_; }
  std::int64_t epoch_of(std::int64_t step) const { return loader_.epoch_of(step); }

  /// Begins a training step. Where the backend runs behind, the next one may be started before this one is finished.
  void start(std::int64_t step);
  /// What the oldest step that was started found. Throws NonFiniteError naming step and tensor; the state is then not
  /// to be gone on with. Where it is the gradients that are not finite, the parameters are still those before the step.
  StepResult finish();
  StepResult step(std::int64_t step) {
    start(step);
    return finish();
  }

  /// Widths of every convolution at a step; the largest of the run; the same width everywhere.
  std::vector<LayerWidths> widths_at(std::int64_t step) const;
  const std::vector<LayerWidths>& max_widths() const { return max_widths_; }
  std::vector<LayerWidths> widths_of(BitWidth forward) const;
  /// The whole test set. Throws std::runtime_error before the first training step: there are no statistics yet.
  /// `logits`, if given, gets those of every image, (images, classes).
  EvaluationResult evaluate(std::int64_t steps_done, const std::vector<LayerWidths>& widths,
                            std::vector<float>* logits = nullptr);

 private:
  /// A set in device memory, where the backend keeps it.
  struct DeviceImages {
    Buffer pixels, labels;
  };
  void load_training_batch(std::int64_t step);
  void load_test_batch(std::int64_t first, std::int64_t count);
  void upload_places(std::int64_t count);
  /// The next pass is of the images at the places first.. on the device.
  void load_images(const DeviceImages& images, const ImageSet& set, std::int64_t first, std::int64_t count,
                   bool augment);
  StepContext context(bool training, std::int64_t step, const std::vector<LayerWidths>& widths) const;
  void fill_widths(std::int64_t step, std::vector<LayerWidths>& widths) const;

  const Config config_;
  const Dataset& dataset_;
  Backend& backend_;
  std::unique_ptr<Network> network_;
  PrecisionPlan plan_;
  BatchLoader loader_;
  std::int64_t evaluation_batch_;
  std::vector<LayerWidths> max_widths_;
  /// Steps that were started and not finished, in turns.
  struct Started {
    std::int64_t step = 0;
    std::vector<LayerWidths> widths;
  };
  std::array<Started, 2> started_;
  std::size_t starts_ = 0, finishes_ = 0;
  std::vector<float> x_;  // a batch on the host; empty where the backend keeps the images
  std::vector<std::int32_t> labels_;
  DeviceImages train_images_, test_images_;
  Buffer pixel_values_, device_places_;
  static constexpr std::int64_t kStepsOfPlaces = 64;  // uploaded at a time, so that most steps upload nothing
  std::vector<ImagePlace> places_;
  std::int64_t first_step_of_places_ = 0, end_of_places_ = 0;  // steps whose places are on the device
};

/// The config with model.initial_weights_digest filled in. Throws where the file cannot be read or has another digest.
Config with_initial_weights_digest(Config config);

/// Initial state: of model.initial_weights, or drawn from train.seed.
void set_initial_state(NetworkRun& run, const Config& config, Backend& backend);

}  // namespace bitcycle
