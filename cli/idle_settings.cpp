// SPDX-License-Identifier: Apache-2.0
#include "cli/idle_settings.h"

#include "cli/format.h"

namespace bitcycle::cli {

std::vector<std::string> idle_settings(const Config& config) {
  std::vector<std::string> sentences;
  const std::int64_t steps = config.train.steps;
  const SwaConfig& swa = config.swa;
  const std::int64_t first = (swa.start + swa.freq - 1) / swa.freq * swa.freq;
  if (swa.start > 0 && first > steps) {
    sentences.push_back("swa.start is " + grouped(swa.start) + " and swa.freq " + grouped(swa.freq) +
                        ": the first average would be made after step " + grouped(first) + ", and the run has " +
                        grouped(steps) + " steps, so no weights are averaged");
  }
  if (swa.start == 0 && swa.freq != SwaConfig().freq) {
    sentences.push_back("swa.freq is " + grouped(swa.freq) +
                        " and has no effect: swa.start is 0, so no weights are averaged");
  }
  const LearningRateSpec& rate = config.learning_rate;
  const LearningRateSpec usual;
  const auto without_warm_up = [&](const char* key, bool is_usual) {
    if (rate.warm_up || is_usual) return;
    sentences.push_back(std::string("learning_rate.") + key +
                        " has no effect: learning_rate.warm_up is false, so the run has no warm-up");
  };
  without_warm_up("warm_up_steps", rate.warm_up_steps == usual.warm_up_steps);
  without_warm_up("warm_up_lr", rate.warm_up_lr == usual.warm_up_lr);
  if (rate.warm_up && rate.warm_up_steps == 0) {
    sentences.emplace_back("learning_rate.warm_up has no effect: learning_rate.warm_up_steps is 0");
  }
  if (rate.warm_up && rate.warm_up_steps >= steps) {
    sentences.push_back("learning_rate.warm_up_steps is " + grouped(rate.warm_up_steps) + " and the run has " +
                        grouped(steps) + " steps: all of them are the warm-up, and learning_rate.schedule '" +
                        rate.schedule + "' never begins");
  }
  return sentences;
}

}  // namespace bitcycle::cli
