// SPDX-License-Identifier: Apache-2.0
#include "nn/run/program_run.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "nn/io/safetensors.h"
#include "nn/models/model.h"
#include "nn/run/findings.h"
#include "nn/train/learning_rate.h"
#include "nn/train/trainer.h"
#include "sim/ops/mean_loss.h"

namespace bitcycle {
namespace {

/// The widest of a layer's widths, those of all steps and the largest of its schedules. A layer's operand is float32 in
/// every step or in none.
LayerWidths widest_of(const PrecisionPlan& plan, const std::string& layer) {
  const auto wider = [&](BitWidth a, BitWidth b) {
    if (a.is_float32() != b.is_float32()) {
      throw std::invalid_argument("precision of " + layer + ": some steps are float32 and others are not; a layer is " +
                                  "one or the other for the whole run");
    }
    return a.is_integer() && b.bits() > a.bits() ? b : a;
  };
  LayerWidths widest = plan.max(layer);
  for (const auto& [widths, steps] : plan.histogram(layer, 0, plan.steps())) {
    widest = {wider(widest.forward, widths.forward), wider(widest.gradient, widths.gradient)};
  }
  return widest;
}

builder::Options options_of(const Config& config, std::int64_t batch) {
  builder::Options options;
  options.batch = batch;
  options.seed = config.train.seed;
  const PrecisionConfig& precision = config.precision;
  options.quantisation = {precision.stochastic, precision.zero_on_grid, precision.error_weights,
                          precision.error_grid_bits, precision.min_scale};
  return options;
}

void check_images(const builder::NetworkProgram& network, const Dataset& dataset) {
  for (const ImageSet* set : {&dataset.train, &dataset.test}) {
    if (set->height != network.image_h || set->width != network.image_w || set->channels != network.image_c) {
      throw std::invalid_argument("images of " + dataset.name + " are " + std::to_string(set->height) + "x" +
                                  std::to_string(set->width) + "x" + std::to_string(set->channels) + ", " +
                                  network.program.name() + " takes " + std::to_string(network.image_h) + "x" +
                                  std::to_string(network.image_w) + "x" + std::to_string(network.image_c));
    }
    const auto outside = std::find_if(set->labels.begin(), set->labels.end(),
                                      [&](std::int32_t label) { return label < 0 || label >= network.classes; });
    if (outside != set->labels.end()) {
      throw std::invalid_argument(dataset.name + " holds label " + std::to_string(*outside) + ", model.classes is " +
                                  std::to_string(network.classes));
    }
  }
}

void set_widths(StepInputs& inputs, const builder::NetworkProgram& network, const std::vector<LayerWidths>& widths) {
  for (std::size_t i = 0; i < widths.size(); ++i) {
    const auto& layer = network.layers[i];
    const auto set = [&](Tensor tensor, BitWidth width) {
      if (static_cast<bool>(tensor) != width.is_integer()) {
        throw std::invalid_argument("a width of " + width.text() + " for " + layer.name +
                                    ", whose program was made for " + (tensor ? "integers" : "float32"));
      }
      if (tensor) inputs.set(tensor, width);
    };
    set(layer.forward, widths[i].forward);
    if (network.step) set(layer.gradient, widths[i].gradient);
  }
}

}  // namespace

std::unique_ptr<builder::NetworkProgram> training_program(const Config& config) {
  const PrecisionPlan plan(precision_spec(config), config.train.steps);
  builder::Options options = options_of(config, config.train.batch);
  options.widest = [&plan](const std::string& layer) { return widest_of(plan, layer); };
  options.sgd = builder::Options::Sgd{static_cast<float>(config.optimizer.momentum),
                                      static_cast<float>(config.optimizer.weight_decay)};
  return write_model(config.model.name, config.model.classes, options);
}

std::unique_ptr<builder::NetworkProgram> evaluation_program(
    const Config& config, const std::function<LayerWidths(const std::string& layer)>& widest) {
  const std::int64_t batch = config.train.evaluation_batch > 0 ? config.train.evaluation_batch : config.train.batch;
  builder::Options options = options_of(config, batch);
  options.training = false;
  options.widest = widest;
  return write_model(config.model.name, config.model.classes, options);
}

std::unique_ptr<builder::NetworkProgram> evaluation_program(const Config& config) {
  const PrecisionPlan plan(precision_spec(config), config.train.steps);
  return evaluation_program(config, [&plan](const std::string& layer) { return widest_of(plan, layer); });
}

std::vector<Tensor> ProgramRun::kept_tensors(const builder::NetworkProgram& network,
                                             const std::vector<std::string>& kept) {
  std::vector<Tensor> tensors;
  for (const std::string& name : kept) {
    tensors.push_back(network.program.find(name));
    if (!tensors.back()) throw std::invalid_argument("the program has no tensor '" + name + "'");
  }
  return tensors;
}

ProgramRun::ProgramRun(const Config& config, const Dataset& dataset, Device& device,
                       const std::vector<std::string>& kept)
    : config_(config),
      dataset_(dataset),
      plan_(precision_spec(config), config.train.steps),
      loader_(dataset, config.train.batch, config.train.seed, config.data.augment, config.data.shuffle),
      training_network_(training_program(config)),
      evaluation_network_(evaluation_program(config)),
      state_(device.make_state(training_network_->program)),
      training_(device.compile(training_network_->program, {state_, kept_tensors(*training_network_, kept)})),
      evaluation_(device.compile(evaluation_network_->program, {state_, {}})),
      state_arenas_(*training_network_, state_, training_.get()),
      evaluation_inputs_(evaluation_network_->program),
      started_{Started(training_network_->program), Started(training_network_->program)} {
  check_images(*training_network_, dataset);
  std::vector<std::string> layers;
  for (const auto& layer : training_network_->layers) layers.push_back(layer.name);
  if (const auto unmatched = plan_.unmatched(layers); !unmatched.empty()) {
    throw std::invalid_argument("precision.layers: the pattern '" + unmatched.front() + "' matches no layer of " +
                                config.model.name + "; its layers are conv1, " + layers[1] + ", ... " + layers.back());
  }
  for (Started& started : started_) {
    started.x.resize(static_cast<std::size_t>(training_network_->program.spec(training_network_->images).size()));
    started.labels.resize(static_cast<std::size_t>(config.train.batch));
  }
}

std::vector<LayerWidths> ProgramRun::widths_at(std::int64_t step) const {
  std::vector<LayerWidths> widths;
  for (const auto& layer : training_network_->layers) widths.push_back(plan_.at(step, layer.name));
  return widths;
}

std::vector<LayerWidths> ProgramRun::max_widths() const {
  std::vector<LayerWidths> widths;
  for (const auto& layer : training_network_->layers) widths.push_back(plan_.max(layer.name));
  return widths;
}

void ProgramRun::start(std::int64_t step) {
  if (starts_ - finishes_ == started_.size()) throw std::logic_error("a third step was started");
  Started& started = started_[starts_ % started_.size()];
  const builder::NetworkProgram& network = *training_network_;
  started.step = step;
  set_widths(started.inputs, network, widths_at(step));
  started.inputs.set(network.step, static_cast<std::uint32_t>(step));
  started.inputs.set(network.rate, learning_rate_at(config_.learning_rate, step));
  loader_.training_batch(step, started.x.data(), started.labels.data());
  started.inputs.point(network.images, started.x.data());
  started.inputs.point(network.labels, started.labels.data());
  started.ticket = training_->start(started.inputs);
  ++starts_;  // a step that could not be started is none to finish
}

StepResult ProgramRun::finish() {
  if (finishes_ == starts_) throw std::logic_error("no step was started");
  const Started& started = started_[finishes_++ % started_.size()];
  const Report& report = training_->finish(started.ticket);
  StepResult result = findings_of(*training_network_, report);
  if (!result.non_finite.empty()) {
    throw NonFiniteError("step " + std::to_string(started.step) + ": " + result.non_finite + " is not finite (loss " +
                         std::to_string(result.loss) + ", learning rate " +
                         std::to_string(learning_rate_at(config_.learning_rate, started.step)) + ")");
  }
  return result;
}

EvaluationResult ProgramRun::evaluate(std::int64_t steps_done, const std::vector<LayerWidths>& widths) {
  if (steps_done < 1) {
    throw std::runtime_error(
        "an evaluation needs the running ranges and statistics that training leaves, and no step was trained yet");
  }
  const builder::NetworkProgram& network = *evaluation_network_;
  const std::int64_t batch = network.program.batch();
  std::vector<float> x(static_cast<std::size_t>(network.program.spec(network.images).size()));
  std::vector<std::int32_t> labels(static_cast<std::size_t>(batch));
  set_widths(evaluation_inputs_, network, widths);
  evaluation_inputs_.point(network.images, x.data());
  evaluation_inputs_.point(network.labels, labels.data());
  EvaluationResult result;
  std::int64_t correct = 0;
  std::vector<float> losses;
  for (std::int64_t first = 0; first < dataset_.test.count; first += batch) {
    const std::int64_t count = std::min(batch, dataset_.test.count - first);
    loader_.test_batch(first, count, x.data(), labels.data());
    evaluation_inputs_.set_samples(count);
    const Report& report = evaluation_->run(evaluation_inputs_);
    correct += report.at<LossRecord>(network.loss)->correct;
    const auto* of_samples = report.at<float>(network.losses);
    losses.insert(losses.end(), of_samples, of_samples + count);
  }
  result.images = dataset_.test.count;
  result.loss = mean_loss(losses);
  if (result.images > 0) result.accuracy = 100.0 * static_cast<double>(correct) / static_cast<double>(result.images);
  return result;
}

void set_initial_state(ProgramRun& run, const Config& config) {
  initialise(run.state(), config.train.seed);
  if (config.model.initial_weights.empty()) return;
  with_initial_weights_digest(config);
  load_weights(run.state(), read_safetensors(config.model.initial_weights), config.model.initial_weights);
}

}  // namespace bitcycle
