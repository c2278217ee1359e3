// SPDX-License-Identifier: Apache-2.0
#include "cli/idle_settings.h"

#include "cli/format.h"
#include "nn/models/model.h"

namespace bitcycle::cli {
namespace {

/// Keys of a model's sizes that were set and that this model does not read.
std::vector<std::string> idle_model_keys(const Config& config) {
  const ModelConfig& model = config.model;
  const ModelConfig usual;
  const Reads reads = model_reads(model.name);
  const bool sequences = reads == Reads::kSequences, streams = reads == Reads::kStreams, bands = has_bands(model.name);
  const bool text = sequences || streams;
  const struct {
    const char* key;
    bool is_read, is_usual;
  } keys[] = {
      {"layers", text, model.layers == usual.layers},
      {"hidden", streams, model.hidden == usual.hidden},
      {"embedding", text, model.embedding == usual.embedding},
      {"ffn", sequences, model.ffn == usual.ffn},
      {"heads", sequences, model.heads == usual.heads},
      {"vocabulary", text, model.vocabulary == usual.vocabulary},
      {"cutoffs", bands, model.cutoffs == usual.cutoffs},
      {"band_factor", bands, model.band_factor == usual.band_factor},
      {"head_dropout", bands, model.head_dropout == usual.head_dropout},
      {"attention_dropout", sequences, model.attention_dropout == usual.attention_dropout},
      {"activation_dropout", sequences, model.activation_dropout == usual.activation_dropout},
  };
  std::vector<std::string> sentences;
  for (const auto& [key, is_read, is_usual] : keys) {
    if (is_read || is_usual) continue;
    sentences.push_back(std::string("model.") + key + " has no effect: " + model.name + " does not read it");
  }
  return sentences;
}

}  // namespace

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
  if (config.data.name != "imagefolder" && config.data.workers != DataConfig().workers) {
    sentences.push_back("data.workers has no effect: " + config.data.name +
                        " lies in memory, and the training's own threads prepare its batches");
  }
  for (const auto& text : idle_model_keys(config)) sentences.push_back(text);
  return sentences;
}

}  // namespace bitcycle::cli
