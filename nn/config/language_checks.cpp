// SPDX-License-Identifier: Apache-2.0
#include "nn/config/language_checks.h"

#include <algorithm>
#include <functional>
#include <utility>

#include "nn/config/config_error.h"
#include "nn/config/config_values.h"
#include "nn/data/corpus.h"
#include "nn/models/model.h"

namespace bitcycle {
namespace {

void check_bands(const ModelConfig& model) {
  const auto& cutoffs = model.cutoffs;
  std::string list;
  for (const std::int64_t cutoff : cutoffs) list += (list.empty() ? "" : ", ") + std::to_string(cutoff);
  if (cutoffs.empty() || std::adjacent_find(cutoffs.begin(), cutoffs.end(), std::greater_equal<>()) != cutoffs.end() ||
      cutoffs.back() >= model.vocabulary) {
    throw ConfigError("model.cutoffs is [" + list + "], and model.vocabulary " + std::to_string(model.vocabulary) +
                      ": " + model.name + " needs at least one cutoff, each above the one before and all below the " +
                      "vocabulary");
  }
  std::int64_t divisor = 1;
  for (std::size_t i = 0; i < cutoffs.size() && divisor <= model.embedding; ++i) divisor *= model.band_factor;
  if (model.embedding % divisor != 0) {
    throw ConfigError("model.embedding is " + std::to_string(model.embedding) + ", model.band_factor " +
                      std::to_string(model.band_factor) + ", and there are " + std::to_string(cutoffs.size() + 1) +
                      " bands: it must be a multiple of the factor to the power of " + std::to_string(cutoffs.size()));
  }
}

}  // namespace

void check_language(const Config& config) {
  const OptimizerConfig& optimizer = config.optimizer;
  const Reads reads = model_reads(config.model.name);
  if (optimizer.name != "sgd" && reads == Reads::kImages) {
    throw ConfigError("optimizer.name is " + optimizer.name + ", which trains language models; set it to sgd");
  }
  if (optimizer.name != "sgd" && config.learning_rate.schedule == "plateau") {
    throw ConfigError("learning_rate.schedule is plateau, which goes with optimizer.name sgd, and that is " +
                      optimizer.name);
  }
  if (optimizer.name == "adamw" && !(optimizer.beta1 < 1.0 && optimizer.beta2 < 1.0)) {
    throw ConfigError("optimizer.beta1 is " + write_real(optimizer.beta1) + " and optimizer.beta2 " +
                      write_real(optimizer.beta2) + ": both must be below 1");
  }
  if (optimizer.name == "sgd" && optimizer.clip > 0.0 && (optimizer.momentum != 0.0 || optimizer.weight_decay != 0.0)) {
    throw ConfigError("optimizer.clip is " + write_real(optimizer.clip) + ", optimizer.momentum " +
                      write_real(optimizer.momentum) + " and optimizer.weight_decay " +
                      write_real(optimizer.weight_decay) +
                      ": clipped gradients go with neither; set both to 0, or optimizer.clip to 0");
  }
  for (const auto& [key, share] : {std::pair{"model.dropout", config.model.dropout},
                                   {"model.attention_dropout", config.model.attention_dropout},
                                   {"model.activation_dropout", config.model.activation_dropout},
                                   {"model.head_dropout", config.model.head_dropout}}) {
    if (share >= 1.0) throw ConfigError(std::string(key) + " is 1: nothing would be left; it must be below 1");
  }
  if (config.model.dropout > 0.0 && reads == Reads::kImages) {
    throw ConfigError("model.dropout is " + write_real(config.model.dropout) + ": " + config.model.name +
                      " reads images and drops no values; set it to 0");
  }
  if (reads == Reads::kSequences && config.model.embedding % (2 * config.model.heads) != 0) {
    throw ConfigError("model.embedding is " + std::to_string(config.model.embedding) + ", and model.heads " +
                      std::to_string(config.model.heads) + ": model.embedding must be a multiple of " +
                      std::to_string(2 * config.model.heads) + ", twice the heads; change either");
  }
  if (has_bands(config.model.name)) check_bands(config.model);
  if ((reads != Reads::kImages) != is_text(config.data.name)) {
    throw ConfigError("model.name is " + config.model.name + ", which reads " +
                      (reads == Reads::kImages ? "images" : "texts") + ", and data.name is " + config.data.name + ": " +
                      (reads == Reads::kImages ? "set it to synthetic, cifar10, cifar100 or imagefolder"
                                               : "set it to ptb, wikitext or text"));
  }
  if (reads == Reads::kImages) return;
  for (const auto& [key, choice] : {std::pair{"model.first_layer", &config.model.first_layer},
                                    std::pair{"model.projections", &config.model.projections}}) {
    if (*choice == "published") continue;
    throw ConfigError(std::string(key) + " is " + *choice + ": " + config.model.name +
                      " reads texts and has no such layer; leave the key out");
  }
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
