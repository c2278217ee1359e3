// SPDX-License-Identifier: Apache-2.0
#include "nn/run/text_batches.h"

#include "nn/models/model.h"

namespace bitcycle {
namespace {

TokenLayout training_layout(const Config& config, const Corpus& corpus) {
  return {model_reads(config.model.name),
          config.train.batch,
          config.train.time_steps,
          config.train.seed,
          config.data.shuffle,
          corpus.end_of_line};
}

TokenLayout evaluation_layout(const Config& config, const Corpus& corpus) {
  TokenLayout layout = training_layout(config, corpus);
  layout.batch = config.evaluation.streams;
  layout.time_steps = evaluation_time_steps(config);
  return layout;
}

}  // namespace

TextBatches::TextBatches(const Config& config, const Corpus& corpus)
    : training_(corpus.train, training_layout(config, corpus)),
      validation_(corpus.validation, evaluation_layout(config, corpus), config.evaluation.context),
      test_(corpus.test, evaluation_layout(config, corpus), config.evaluation.context) {}

std::int64_t evaluation_time_steps(const Config& config) { return config.train.time_steps + config.evaluation.context; }

}  // namespace bitcycle
