// SPDX-License-Identifier: Apache-2.0
#include "nn/train/network_run.h"

#include <algorithm>
#include <cstdio>
#include <stdexcept>

#include "nn/io/atomic_file.h"
#include "nn/io/free_memory.h"
#include "nn/io/safetensors.h"
#include "nn/models/model.h"
#include "nn/models/state.h"
#include "nn/train/learning_rate.h"
#include "nn/train/trainer.h"
#include "sim/number/digest.h"
#include "sim/ops/mean_loss.h"
#include "sim/workload.h"

namespace bitcycle {
namespace {

/// The wider of two widths as containers go: float32 and 32 bits need the same.
BitWidth wider(BitWidth a, BitWidth b) { return bytes_of(a.container()) >= bytes_of(b.container()) ? a : b; }

void check_images(const Network& network, const Dataset& dataset) {
  const Value& input = network.input();
  for (const ImageSet* set : {&dataset.train, &dataset.test}) {
    if (set->height != input.h || set->width != input.w || set->channels != input.c) {
      throw std::invalid_argument("images of " + dataset.name + " are " + std::to_string(set->height) + "x" +
                                  std::to_string(set->width) + "x" + std::to_string(set->channels) + ", " +
                                  network.model() + " takes " + std::to_string(input.h) + "x" +
                                  std::to_string(input.w) + "x" + std::to_string(input.c));
    }
    const auto outside = std::find_if(set->labels.begin(), set->labels.end(),
                                      [&](std::int32_t label) { return label < 0 || label >= network.classes(); });
    if (outside != set->labels.end()) {
      throw std::invalid_argument(dataset.name + " holds label " + std::to_string(*outside) + ", model.classes is " +
                                  std::to_string(network.classes()));
    }
  }
}

std::string gibibytes(std::uint64_t bytes) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f GiB", static_cast<double>(bytes) * 0x1p-30);
  return text;
}

/// Bytes that a step of so many images keeps at least, whatever the layers' memory shares: of every convolution the
/// codes of its input and its output in binary32; the images on the host and the device; and the largest tensor and its
/// gradient between two layers.
std::uint64_t least_memory(const Network& network, std::int64_t batch, const std::vector<LayerWidths>& widest) {
  const Value& images = network.input();
  std::uint64_t an_image = 2 * sizeof(float) * static_cast<std::uint64_t>(images.elements(1)), largest = 0;
  std::size_t layer = 0;
  for (const MatrixOperation& operation : network.describe().matrix) {
    const auto outputs = static_cast<std::uint64_t>(operation.shape.output_size()) * sizeof(float);
    largest = std::max(largest, outputs);
    if (!operation.quantised || layer == widest.size()) continue;
    an_image += outputs + static_cast<std::uint64_t>(operation.shape.input_size()) *
                              bytes_of(widest[layer++].forward.container());
  }
  return static_cast<std::uint64_t>(batch) * (an_image + 2 * largest);
}

/// Throws where that is more than there is: the system would end the process without a word.
void check_memory(const Network& network, std::int64_t batch, const std::vector<LayerWidths>& widest) {
  const std::uint64_t needed = least_memory(network, batch, widest);
  const auto free = free_memory();
  if (!free || needed <= *free) return;
  const std::int64_t fits = batch * static_cast<std::int64_t>(*free >> 20) / static_cast<std::int64_t>(needed >> 20);
  throw std::runtime_error(network.model() + " at " + std::to_string(batch) + " images at a time needs at least " +
                           gibibytes(needed) + " of memory, and " + gibibytes(*free) + " are free: lower " +
                           "train.batch, or train.evaluation_batch where that is the larger one, to fewer than " +
                           std::to_string(fits + 1));
}

}  // namespace

NetworkRun::NetworkRun(const Config& config, const Dataset& dataset, Backend& backend, std::optional<BitWidth> also)
    : config_(config),
      dataset_(dataset),
      backend_(backend),
      network_(make_model(config.model.name, config.model.classes)),
      plan_(precision_spec(config), config.train.steps),
      loader_(dataset, config.train.batch, config.train.seed, config.data.augment, config.data.shuffle),
      evaluation_batch_(config.train.evaluation_batch > 0 ? config.train.evaluation_batch : config.train.batch) {
  check_images(*network_, dataset);
  const auto& layers = network_->convolutions();
  require_matching_patterns(plan_, layers, config.model.name);
  std::vector<LayerWidths> widest(layers.size());
  for (std::size_t i = 0; i < layers.size(); ++i) {
    widest[i] = plan_.max(layers[i]);
    max_widths_.push_back(widest[i]);
    for (const auto& [widths, steps] : plan_.histogram(layers[i], 0, config.train.steps)) {
      widest[i] = {wider(widest[i].forward, widths.forward), wider(widest[i].gradient, widths.gradient)};
    }
    if (also) widest[i].forward = wider(widest[i].forward, *also);
  }
  for (Started& started : started_) started.widths.resize(layers.size());
  const std::int64_t batch = std::max(config.train.batch, evaluation_batch_);
  if (!backend.keeps_images()) check_memory(*network_, batch, widest);
  try {
    network_->allocate(backend, batch, widest);
  } catch (const std::runtime_error& error) {
    throw std::runtime_error("memory of " + config.model.name + " at " + std::to_string(batch) +
                             " images: " + error.what());
  }
  if (backend.keeps_images()) {
    const auto upload = [&](const void* data, std::size_t bytes) {
      Buffer buffer(backend, bytes);
      if (bytes != 0) backend.to_device(buffer.as<void>(), data, bytes);
      return buffer;
    };
    for (const ImageSet* set : {&dataset.train, &dataset.test}) {
      DeviceImages& images = set == &dataset.train ? train_images_ : test_images_;
      images.pixels = upload(set->pixels.data(), set->pixels.size());
      images.labels = upload(set->labels.data(), set->labels.size() * sizeof(std::int32_t));
    }
    pixel_values_ = upload(loader_.table().data(), sizeof loader_.table());
    places_.resize(static_cast<std::size_t>(std::max(batch, kStepsOfPlaces * config.train.batch)));
    device_places_ = Buffer(backend, places_.size() * sizeof(ImagePlace));
    return;
  }
  x_.resize(static_cast<std::size_t>(network_->input().elements(batch)));
  labels_.resize(static_cast<std::size_t>(batch));
}

void NetworkRun::upload_places(std::int64_t count) {
  backend_.to_device(device_places_.as<ImagePlace>(), places_.data(),
                     static_cast<std::size_t>(count) * sizeof(ImagePlace));
}

void NetworkRun::load_images(const DeviceImages& images, const ImageSet& set, std::int64_t first, std::int64_t count,
                             bool augment) {
  ImageBatch batch;
  batch.n = count;
  batch.h = set.height;
  batch.w = set.width;
  batch.pixels = images.pixels.as<std::uint8_t>();
  batch.set_labels = images.labels.as<std::int32_t>();
  batch.places = device_places_.as<ImagePlace>() + first;
  batch.table = pixel_values_.as<float>();
  batch.augment = augment;
  batch.seed = config_.train.seed;
  network_->load(batch);
}

void NetworkRun::load_training_batch(std::int64_t step) {
  if (backend_.keeps_images()) {
    const std::int64_t batch = config_.train.batch;
    if (step < first_step_of_places_ || step >= end_of_places_) {
      first_step_of_places_ = step;
      end_of_places_ = std::max(step + 1, std::min(step + kStepsOfPlaces, config_.train.steps));
      for (std::int64_t s = step; s < end_of_places_; ++s) {
        loader_.training_places(s, places_.data() + (s - step) * batch);
      }
      upload_places((end_of_places_ - step) * batch);
    }
    load_images(train_images_, dataset_.train, (step - first_step_of_places_) * batch, batch, config_.data.augment);
  } else {
    loader_.training_batch(step, x_.data(), labels_.data());
    network_->load(backend_, x_.data(), labels_.data(), config_.train.batch);
  }
}

void NetworkRun::load_test_batch(std::int64_t first, std::int64_t count) {
  if (backend_.keeps_images()) {
    for (std::int64_t i = 0; i < count; ++i)
      places_[static_cast<std::size_t>(i)] = {static_cast<std::uint32_t>(first + i), 0};
    end_of_places_ = 0;  // those of the training are lost
    upload_places(count);
    load_images(test_images_, dataset_.test, 0, count, false);
  } else {
    loader_.test_batch(first, count, x_.data(), labels_.data());
    network_->load(backend_, x_.data(), labels_.data(), count);
  }
}

StepContext NetworkRun::context(bool training, std::int64_t step, const std::vector<LayerWidths>& widths) const {
  StepContext context{backend_, training, step, config_.train.batch, config_.train.seed, widths.data(), {}};
  const PrecisionConfig& precision = config_.precision;
  context.quantisation = {precision.stochastic, precision.zero_on_grid, precision.error_weights,
                          precision.error_grid_bits, precision.min_scale};
  return context;
}

void NetworkRun::fill_widths(std::int64_t step, std::vector<LayerWidths>& widths) const {
  const auto& layers = network_->convolutions();
  if (config_.precision.layers.empty()) {
    std::fill(widths.begin(), widths.end(), plan_.at(step));
    return;
  }
  for (std::size_t i = 0; i < layers.size(); ++i) widths[i] = plan_.at(step, layers[i]);
}

std::vector<LayerWidths> NetworkRun::widths_at(std::int64_t step) const {
  std::vector<LayerWidths> widths(network_->convolutions().size());
  fill_widths(step, widths);
  return widths;
}

std::vector<LayerWidths> NetworkRun::widths_of(BitWidth forward) const {
  auto widths = max_widths_;
  for (auto& layer : widths) layer.forward = forward;
  return widths;
}

/// A step that was started and is not looked at any more, because an earlier one failed, still has to arrive.
NetworkRun::~NetworkRun() {
  for (; finishes_ != starts_; ++finishes_) {
    try {
      backend_.finish_to_host();
    } catch (const std::exception&) {
      // The failure that ended the run has been reported.
    }
  }
}

void NetworkRun::start(std::int64_t step) {
  if (starts_ - finishes_ == started_.size()) throw std::logic_error("a third step was started");
  Started& started = started_[starts_ % started_.size()];
  started.step = step;
  fill_widths(step, started.widths);
  load_training_batch(step);
  network_->start_training(context(true, step, started.widths), {learning_rate_at(config_.learning_rate, step),
                                                                 static_cast<float>(config_.optimizer.momentum),
                                                                 static_cast<float>(config_.optimizer.weight_decay)});
  ++starts_;  // only now: a step that fails while it is queued leaves nothing to finish
}

StepResult NetworkRun::finish() {
  const Started& started = started_[finishes_++ % started_.size()];
  const std::int64_t step = started.step;
  StepResult result = network_->finish(context(true, step, started.widths));
  if (!result.non_finite.empty()) {
    throw NonFiniteError("step " + std::to_string(step) + ": " + result.non_finite + " is not finite (loss " +
                         std::to_string(result.loss) + ", learning rate " +
                         std::to_string(learning_rate_at(config_.learning_rate, step)) + ")");
  }
  return result;
}

EvaluationResult NetworkRun::evaluate(std::int64_t steps_done, const std::vector<LayerWidths>& widths,
                                      std::vector<float>* logits) {
  if (steps_done < 1) {
    throw std::runtime_error(
        "an evaluation needs the running ranges and statistics that training leaves, and no step was trained yet");
  }
  StepContext evaluation = context(false, steps_done, widths);
  network_->prepare_evaluation(evaluation);
  EvaluationResult result;
  std::int64_t correct = 0;
  std::vector<float> losses(static_cast<std::size_t>(dataset_.test.count));
  for (std::int64_t first = 0; first < dataset_.test.count; first += evaluation_batch_) {
    evaluation.batch = std::min(evaluation_batch_, dataset_.test.count - first);
    load_test_batch(first, evaluation.batch);
    correct += network_->evaluate(evaluation, losses.data() + first).correct;
    if (logits != nullptr) {
      const auto size = static_cast<std::size_t>(evaluation.batch * network_->classes());
      logits->resize(logits->size() + size);
      backend_.to_host(logits->data() + logits->size() - size, network_->logits(), size * sizeof(float));
    }
  }
  result.images = dataset_.test.count;
  // On one grid over the whole set, so that the number does not depend on how many images went at a time.
  result.loss = mean_loss(losses);
  if (result.images > 0) result.accuracy = 100.0 * static_cast<double>(correct) / static_cast<double>(result.images);
  return result;
}

Config with_initial_weights_digest(Config config) {
  const std::string& path = config.model.initial_weights;
  if (path.empty()) return config;
  const std::string bytes = read_file(path);
  const std::string digest = to_text(digest_of(bytes.data(), bytes.size()));
  std::string& expected = config.model.initial_weights_digest;
  if (!expected.empty() && expected != digest) {
    throw std::runtime_error("model.initial_weights: '" + path + "' has the digest " + digest + ", not " + expected +
                             " as model.initial_weights_digest says; the file has changed, or is another one");
  }
  expected = digest;
  return config;
}

void set_initial_state(NetworkRun& run, const Config& config, Backend& backend) {
  initialise(run.network(), backend, config.train.seed);
  if (config.model.initial_weights.empty()) return;
  with_initial_weights_digest(config);
  load_weights(run.network(), backend, read_safetensors(config.model.initial_weights), config.model.initial_weights);
}

}  // namespace bitcycle
