// SPDX-License-Identifier: Apache-2.0
// Short trainings of resnet8 on the generated images, and the libraries that this machine has.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "nn/config/config.h"
#include "nn/data/dataset.h"
#include "nn/models/state.h"
#include "nn/run/initial_state.h"
#include "nn/run/network_run.h"
#include "sim/device/kernel_device.h"

namespace bitcycle::test {

inline Config short_config(std::int64_t steps, std::int64_t batch = 4) {
  Config config;
  config.name = "short";
  config.model.name = "resnet8";
  config.data.train_images = 64;
  config.data.test_images = 20;
  config.train.steps = steps;
  config.train.batch = batch;
  config.train.seed = 5;
  config.train.evaluate_every = 4;
  config.train.checkpoint_every = 3;
  config.train.log_every = 1;
  config.digest.every = 1;
  config.precision.forward = {"cyclic_cosine", BitWidth::integer(3), BitWidth::integer(8), 2, steps};
  config.precision.gradient = {"constant", BitWidth::integer(8), BitWidth::integer(8), 1, steps};
  config.optimizer.lr = 0.05;
  config.learning_rate.lr = config.optimizer.lr;
  config.learning_rate.steps = steps;
  return config;
}

/// The same for devices on which an image takes long: as few test images as show a batch that is not full.
inline Config device_config(std::int64_t steps, std::int64_t batch = 4) {
  Config config = short_config(steps, batch);
  config.data.test_images = batch + 1;
  return config;
}

/// What a training leaves: the digest of its state and its losses.
struct Outcome {
  StateDigest digest;
  std::vector<double> losses;
  double test_accuracy = 0.0, test_loss = 0.0;
};

inline Outcome train_steps(const Config& config, Device& device) {
  const Dataset dataset = load_dataset(config.data, config.model.classes);
  NetworkRun run(config, dataset, device);
  set_initial_state(run, config);
  Outcome outcome;
  for (std::int64_t step = 0; step < config.train.steps; ++step) outcome.losses.push_back(run.step(step).loss);
  outcome.digest = digest_state(run.state());
  const EvaluationResult evaluation = run.evaluate(config.train.steps, run.max_widths());
  outcome.test_accuracy = evaluation.accuracy;
  outcome.test_loss = evaluation.loss;
  return outcome;
}

/// Names the first tensor that differs.
inline ::testing::AssertionResult same_outcome(const Outcome& expected, const Outcome& actual) {
  for (std::size_t i = 0; i < expected.losses.size(); ++i) {
    if (expected.losses[i] != actual.losses[i]) {
      return ::testing::AssertionFailure()
             << "the loss of step " << i << ": " << expected.losses[i] << " and " << actual.losses[i];
    }
  }
  for (std::size_t i = 0; i < expected.digest.tensors.size(); ++i) {
    if (expected.digest.tensors[i] != actual.digest.tensors[i]) {
      return ::testing::AssertionFailure() << expected.digest.tensors[i].first << " differs";
    }
  }
  if (expected.test_accuracy != actual.test_accuracy || expected.test_loss != actual.test_loss) {
    return ::testing::AssertionFailure() << "the evaluation differs: loss " << expected.test_loss << " and "
                                         << actual.test_loss;
  }
  return ::testing::AssertionSuccess();
}

inline std::vector<Isa> available_isas() { return machine_isas(); }

}  // namespace bitcycle::test
