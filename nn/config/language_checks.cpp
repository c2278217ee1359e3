// SPDX-License-Identifier: Apache-2.0
#include "nn/config/language_checks.h"

#include "nn/config/config_error.h"
#include "nn/config/config_values.h"
#include "nn/data/corpus.h"
#include "nn/models/model.h"

namespace bitcycle {

void check_language(const Config& config) {
  const OptimizerConfig& optimizer = config.optimizer;
  if (optimizer.clip > 0.0 && (optimizer.momentum != 0.0 || optimizer.weight_decay != 0.0)) {
    throw ConfigError("optimizer.clip is " + write_real(optimizer.clip) + ", optimizer.momentum " +
                      write_real(optimizer.momentum) + " and optimizer.weight_decay " +
                      write_real(optimizer.weight_decay) +
                      ": clipped gradients go with neither; set both to 0, or optimizer.clip to 0");
  }
  if (config.model.dropout >= 1.0) {
    throw ConfigError("model.dropout is 1: nothing would be left; it must be below 1");
  }
  if (config.model.dropout > 0.0) {
    throw ConfigError("model.dropout is " + write_real(config.model.dropout) + ": " + config.model.name +
                      " cannot drop values yet; set it to 0");
  }
  const Reads reads = model_reads(config.model.name);
  if ((reads != Reads::kImages) != is_text(config.data.name)) {
    throw ConfigError("model.name is " + config.model.name + ", which reads " +
                      (reads == Reads::kImages ? "images" : "texts") + ", and data.name is " + config.data.name + ": " +
                      (reads == Reads::kImages ? "set it to synthetic, cifar10, cifar100 or imagefolder"
                                               : "set it to ptb, wikitext or text"));
  }
  if (reads == Reads::kImages) return;
  if (config.swa.start > 0) {
    throw ConfigError("swa.start is " + std::to_string(config.swa.start) +
                      ": weights of language models are not averaged; set it to 0");
  }
  if (reads == Reads::kStreams && config.evaluation.context > 0) {
    throw ConfigError("eval.context is " + std::to_string(config.evaluation.context) + ", and " + config.model.name +
                      " carries its state through the whole text: set it to 0");
  }
}

}  // namespace bitcycle
