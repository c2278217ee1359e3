// SPDX-License-Identifier: Apache-2.0
#include "nn/run/network_programs.h"

#include <algorithm>

#include "nn/builder/image_layers.h"
#include "nn/builder/language_sizes.h"
#include "nn/data/dataset.h"
#include "nn/models/model.h"
#include "nn/run/text_batches.h"

namespace bitcycle {
namespace {

/// The wider of two integer widths; an integer one where the other is float32.
BitWidth wider_integer(BitWidth a, BitWidth b) {
  if (a.is_float32() || b.is_float32()) return a.is_float32() ? b : a;
  return a.bits() >= b.bits() ? a : b;
}

bool is_streamed(const Config& config) { return config.data.name == "imagefolder"; }

}  // namespace

std::int64_t evaluation_batch_of(const Config& config) {
  if (is_language_model(config.model.name)) return config.evaluation.streams;
  return config.train.evaluation_batch > 0 ? config.train.evaluation_batch : config.train.batch;
}

LayerWidths widest_of(const PrecisionPlan& plan, const std::string& layer) {
  LayerWidths widest = plan.own_max(layer);
  for (const auto& [widths, steps] : plan.histogram(layer, 0, plan.steps())) {
    widest = {wider_integer(widest.forward, widths.forward), wider_integer(widest.gradient, widths.gradient)};
  }
  return widest;
}

builder::Options builder_options(const Config& config, std::int64_t batch) {
  builder::Options options;
  options.batch = batch;
  options.seed = config.train.seed;
  options.image_size = image_size_of(config);
  builder::choose_layers(config, options);
  options.language = builder::language_sizes(config);
  const PrecisionConfig& precision = config.precision;
  options.quantisation = {precision.stochastic, precision.zero_on_grid, precision.error_weights,
                          precision.error_grid_bits, precision.min_scale};
  return options;
}

builder::Options evaluation_options(const Config& config) {
  builder::Options options = builder_options(config, evaluation_batch_of(config));
  options.training = false;
  options.language.time_steps = evaluation_time_steps(config);
  return options;
}

builder::StoredImages stored_training_images(const Config& config, std::int64_t count) {
  if (is_streamed(config)) {
    const std::int64_t images = kStreamedBatches * config.train.batch;
    return {kTrainingSet, images, images, false};
  }
  return {kTrainingSet, std::max<std::int64_t>(1, count), kStepsOfIndices * config.train.batch, config.data.augment};
}
builder::StoredImages stored_test_images(const Config& config, std::int64_t count) {
  if (is_streamed(config)) {
    const std::int64_t images = evaluation_batch_of(config);
    return {kTestSet, images, images, false};
  }
  return {kTestSet, std::max<std::int64_t>(1, count), evaluation_batch_of(config), false};
}

std::unique_ptr<builder::NetworkProgram> write_training_step(const Config& config, const PrecisionPlan& plan,
                                                             const WidthsOf& widths_at_step,
                                                             const std::optional<builder::StoredImages>& images,
                                                             const StepOptions& step) {
  builder::Options options = builder_options(config, config.train.batch);
  options.backward = step.backward;
  if (step.time_steps > 0) options.language.time_steps = step.time_steps;
  options.widest = [&](const std::string& layer) {
    const LayerWidths now = widths_at_step(layer), widest = widest_of(plan, layer);
    return LayerWidths{now.forward.is_float32() ? now.forward : widest.forward,
                       now.gradient.is_float32() ? now.gradient : widest.gradient};
  };
  const OptimizerConfig& optimizer = config.optimizer;
  if (optimizer.name == "adamw") {
    options.adamw = AdamwRule{optimizer.beta1, optimizer.beta2, optimizer.eps, optimizer.weight_decay, optimizer.clip};
  } else if (optimizer.name == "nag") {
    options.nag = NagRule{optimizer.momentum, optimizer.weight_decay, optimizer.clip};
  } else {
    options.sgd = builder::Options::Sgd{static_cast<float>(config.optimizer.momentum),
                                        static_cast<float>(config.optimizer.weight_decay), config.optimizer.clip,
                                        is_plateau(config.learning_rate)};
  }
  options.stored_images = images;
  return write_model(config.model.name, config.model.classes, options);
}

void set_widths(StepInputs& inputs, const builder::NetworkProgram& network, const std::vector<LayerWidths>& widths) {
  for (std::size_t i = 0; i < widths.size(); ++i) {
    const auto& layer = network.layers[i];
    if (layer.forward) inputs.set(layer.forward, widths[i].forward);
    if (layer.gradient) inputs.set(layer.gradient, widths[i].gradient);
  }
}

std::unique_ptr<builder::NetworkProgram> training_program(const Config& config, bool stored_images) {
  const PrecisionPlan plan(precision_spec(config), config.train.steps);
  std::optional<builder::StoredImages> images;
  if (stored_images && !is_language_model(config.model.name))
    images = stored_training_images(config, image_counts(config.data).train);
  return write_training_step(
      config, plan, [&](const std::string& layer) { return plan.at(0, layer); }, images);
}

std::unique_ptr<builder::NetworkProgram> evaluation_program(const Config& config, bool stored_images) {
  const PrecisionPlan plan(precision_spec(config), config.train.steps);
  builder::Options options = evaluation_options(config);
  options.widest = [&](const std::string& layer) { return plan.own_max(layer); };
  if (stored_images && !is_language_model(config.model.name))
    options.stored_images = stored_test_images(config, image_counts(config.data).test);
  return write_model(config.model.name, config.model.classes, options);
}

}  // namespace bitcycle
