// SPDX-License-Identifier: Apache-2.0
#include "nn/train/trainer.h"

#include "nn/run/initial_state.h"
#include "nn/train/finished_run.h"
#include "nn/train/fork.h"
#include "nn/train/training.h"

namespace bitcycle {
namespace {

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
  training.require_start(options.run, options.restart);
  if (options.restart) {
    const auto kept = RunFolder::set_aside(options.run);
    if (!kept.empty()) listener.on_start("the earlier run is kept as " + kept.string());
  }
  RunFolder folder = RunFolder::open(options.run, config);
  return training(folder);
}

}  // namespace bitcycle
