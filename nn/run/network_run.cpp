// SPDX-License-Identifier: Apache-2.0
#include "nn/run/network_run.h"

#include <algorithm>
#include <cstdio>
#include <stdexcept>

#include "nn/io/free_memory.h"
#include "nn/models/model.h"
#include "nn/train/learning_rate.h"

namespace bitcycle {
namespace {

void check_images(const builder::NetworkProgram& network, const Dataset& dataset) {
  for (const ImageSet* set : {&dataset.train, &dataset.test}) {
    if (set->height != network.image_h || set->width != network.image_w || set->channels != network.image_c) {
      const bool sized = dataset.source != nullptr && network.image_h == network.image_w;
      throw std::invalid_argument("images of " + dataset.name + " are " + std::to_string(set->height) + "x" +
                                  std::to_string(set->width) + "x" + std::to_string(set->channels) + ", " +
                                  network.program.name() + " takes " + std::to_string(network.image_h) + "x" +
                                  std::to_string(network.image_w) + "x" + std::to_string(network.image_c) +
                                  (sized ? ": set data.image_size to " + std::to_string(network.image_h)
                                         : ": choose another model.name for these images, or another data.name"));
    }
    const auto outside = std::find_if(set->labels.begin(), set->labels.end(),
                                      [&](std::int32_t label) { return label < 0 || label >= network.classes; });
    if (outside != set->labels.end()) {
      throw std::invalid_argument(dataset.name + " holds label " + std::to_string(*outside) + ", model.classes is " +
                                  std::to_string(network.classes));
    }
  }
}

std::string gibibytes(std::uint64_t bytes) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f GiB", static_cast<double>(bytes) * 0x1p-30);
  return text;
}

/// No more blocks are evaluated together than the longer of the two texts has: results do not depend on their number.
Config with_few_streams(Config config, const Dataset& dataset) {
  if (!dataset.text || model_reads(config.model.name) != Reads::kSequences) return config;
  const auto words = static_cast<std::int64_t>(std::max(dataset.text->validation.size(), dataset.text->test.size()));
  const std::int64_t blocks =
      std::max<std::int64_t>(1, (words + config.train.time_steps - 1) / config.train.time_steps);
  config.evaluation.streams = std::min(config.evaluation.streams, blocks);
  return config;
}

std::size_t state_bytes(const Program& program) { return plan_side_by_side(program, Lifetime::kState).bytes; }

}  // namespace

NetworkRun::NetworkRun(const Config& config, const Dataset& dataset, Device& device,
                       const std::vector<std::string>& kept, Purpose purpose)
    : config_(with_few_streams(config, dataset)),
      purpose_(purpose),
      dataset_(dataset),
      device_(device),
      plan_(precision_spec(config), config.train.steps),
      evaluation_batch_(evaluation_batch_of(config_)) {
  if (dataset.text) {
    text_.emplace(config_, *dataset.text);
  } else {
    loader_.emplace(dataset, config.train.batch, config.train.seed, config.data.augment, config.data.shuffle);
  }
  write_training_programs();
  if (!text_) check_images(network(), dataset);
  for (const auto& layer : network().layers) {
    layers_.push_back(layer.name);
    max_widths_.push_back(plan_.own_max(layer.name));
  }
  if (!plan_.unmatched(layers_).empty()) require_matching_patterns(plan_, model_workload(config));
  std::vector<BitWidth> widest;
  for (std::size_t i = 0; i < layers_.size(); ++i) {
    const BitWidth max = max_widths_[i].forward;
    widest.push_back(max.is_float32() ? max : widest_of(plan_, layers_[i]).forward);
  }
  evaluations_.push_back(write_evaluation(widest));
  check_memory(*evaluations_.front());
  std::vector<const Program*> programs;
  for (const auto& training : training_) programs.push_back(&training->network->program);
  programs.push_back(&evaluations_.front()->network->program);
  try {
    state_ = device.make_state(programs);
    for (const auto& training : training_) {
      std::vector<Tensor> tensors;
      for (const std::string& name : kept) {
        tensors.push_back(training->network->program.find(name));
        if (!tensors.back()) throw std::invalid_argument("the program has no tensor '" + name + "'");
      }
      training->executable = device.compile(training->network->program, {state_, tensors});
      for (std::size_t i = 0; i < batches_on_their_way(); ++i) {
        training->inputs[i] = std::make_unique<StepInputs>(training->network->program);
      }
    }
    compile(*evaluations_.front());
  } catch (const std::runtime_error& error) {
    throw std::runtime_error("memory of " + config.model.name + " at " +
                             std::to_string(std::max(config.train.batch, evaluation_batch_)) +
                             (text_ ? " streams or sequences: " : " images: ") + error.what());
  }
  network_state_ = std::make_unique<NetworkState>(network(), state_);
  if (dataset.source != nullptr) streamed_.emplace(config_, dataset_, *loader_, evaluation_batch_);
  if (text_) {
    const auto rows = static_cast<std::size_t>(network().program.spec(network().tokens).size());
    for (Started& started : started_) {
      started.tokens.resize(rows);
      started.labels.resize(rows);
    }
    return;
  }
  if (device.keeps_images()) {
    if (streamed_) {
      prepare_streamed_images();
    } else {
      write_images();
    }
    return;
  }
  images_.resize(static_cast<std::size_t>(network().program.spec(network().images).size()));
  for (Started& started : started_) {
    started.labels.resize(static_cast<std::size_t>(config.train.batch));
  }
}

/// A step that was started and is not looked at any more, because an earlier one failed, still has to arrive.
NetworkRun::~NetworkRun() {
  for (; finishes_ != starts_; ++finishes_) {
    try {
      const Started& started = started_[finishes_ % started_.size()];
      started.training->executable->finish(started.handle);
    } catch (const std::exception&) {
      // The failure that ended the run has been reported.
    }
  }
}

void NetworkRun::write_training_programs() {
  std::optional<builder::StoredImages> images;
  if (device_.keeps_images() && !text_) images = stored_training_images(config_, dataset_.train.count);
  // The last step of an epoch over streams may be shorter.
  std::vector<std::int64_t> lengths{text_ ? config_.train.time_steps : 0};
  if (text_ && text_->training().short_time_steps() > 0) lengths.push_back(text_->training().short_time_steps());
  const auto write = [&](std::int64_t step) {
    for (const std::int64_t time_steps : lengths) {
      auto training = std::make_unique<Training>();
      training->time_steps = time_steps;
      training->network =
          write_training_step(config_, plan_, [&](const std::string& layer) { return plan_.at(step, layer); }, images,
                              {purpose_ == Purpose::kTraining, time_steps});
      for (const auto& layer : training->network->layers) {
        training->floats.push_back(float_operands(plan_.at(step, layer.name)));
      }
      training_.push_back(std::move(training));
    }
  };
  write(0);
  const auto& layers = network().layers;
  const bool mixed = std::any_of(layers.begin(), layers.end(), [&](const auto& layer) {
    const auto histogram = plan_.histogram(layer.name, 0, plan_.steps());
    return std::any_of(histogram.begin(), histogram.end(), [&](const auto& entry) {
      return !(float_operands(entry.first) == float_operands(histogram.begin()->first));
    });
  });
  if (!mixed) return;
  for (std::int64_t step = 1; step < plan_.steps(); ++step) {
    std::vector<FloatOperands> floats;
    for (const auto& layer : training_.front()->network->layers) {
      floats.push_back(float_operands(plan_.at(step, layer.name)));
    }
    const bool known = std::any_of(training_.begin(), training_.end(),
                                   [&](const auto& training) { return training->floats == floats; });
    if (!known) write(step);
  }
}

/// Throws where a step needs more than there is: the system would end the process without a word.
void NetworkRun::check_memory(const Evaluation& evaluation) const {
  if (device_.keeps_images()) return;  // its own memory; it says so itself
  const auto free = free_memory();
  if (!free) return;
  // Tensors of a step grow with the batch; programs of a run share them. The images are on the host as well.
  std::uint64_t step = device_.step_bytes(evaluation.network->program, {});
  for (const auto& training : training_) {
    step = std::max<std::uint64_t>(step, device_.step_bytes(training->network->program, {}));
  }
  const std::int64_t batch = std::max(config_.train.batch, evaluation_batch_);
  const auto image = static_cast<std::uint64_t>(network().image_h * network().image_w * network().image_c);  // text: 0
  step += 3 * sizeof(float) * image * static_cast<std::uint64_t>(batch);
  const std::uint64_t state = state_bytes(network().program), needed = step + state;
  if (needed <= *free) return;
  const std::uint64_t for_steps = *free > state ? *free - state : 0;
  const std::int64_t fits =
      batch * static_cast<std::int64_t>(for_steps >> 20) / static_cast<std::int64_t>((step >> 20) + 1);
  const bool of_training = config_.train.batch >= evaluation_batch_;
  const std::string key = of_training ? "train.batch" : text_ ? "eval.streams" : "train.evaluation_batch";
  const std::string longest = of_training ? "train.time_steps" : "eval.context or train.time_steps";
  throw std::runtime_error(
      config_.model.name + " at " + std::to_string(batch) + (text_ ? " streams or sequences" : " images") +
      " at a time needs at least " + gibibytes(needed) + " of memory, and " + gibibytes(*free) + " are free: " +
      (fits >= 1 ? "lower " + key + " to " + std::to_string(fits) + " or less" + (text_ ? ", or " + longest : "")
       : text_   ? "lower " + longest + ", or the sizes of the model"
                 : "even one image at a time is too much; take a smaller model or smaller images"));
}

void NetworkRun::write_images() {
  for (const ImageSet* set : {&dataset_.train, &dataset_.test}) {
    const std::string name = set == &dataset_.train ? kTrainingSet : kTestSet;
    if (set->count == 0) continue;
    state_->write(name + " pixels", set->pixels.data());
    state_->write(name + " labels", set->labels.data());
  }
  state_->write("pixel values", loader_->table().data());
  indices_.resize(static_cast<std::size_t>(std::max(evaluation_batch_, kStepsOfIndices * config_.train.batch)));
}

void NetworkRun::prepare_streamed_images() {
  state_->write("pixel values", loader_->table().data());
  indices_.resize(static_cast<std::size_t>(std::max(evaluation_batch_, kStreamedBatches * config_.train.batch)));
  for (std::size_t i = 0; i < indices_.size(); ++i) indices_[i] = {static_cast<std::uint32_t>(i), 0};
  write_indices(kTrainingSet);
  write_indices(kTestSet);
  for (Started& started : started_) started.labels.resize(static_cast<std::size_t>(config_.train.batch));
}

void NetworkRun::upload_batch(const char* set, std::int64_t slot, std::int64_t images, const std::uint8_t* pixels,
                              const std::int32_t* labels) {
  const std::int64_t batch = set == kTrainingSet ? config_.train.batch : evaluation_batch_;
  const auto upload = [&](const char* what, std::int64_t bytes, const void* from) {
    state_->upload(std::string(set) + what, static_cast<std::size_t>(slot * batch * bytes), from,
                   static_cast<std::size_t>(images * bytes));
  };
  upload(" pixels", streamed_->image_bytes(), pixels);
  upload(" labels", sizeof(std::int32_t), labels);
}

std::vector<LayerWidths> NetworkRun::widths_of(BitWidth forward) const {
  auto widths = max_widths_;
  for (auto& layer : widths) layer.forward = forward;
  return widths;
}

void NetworkRun::fill_widths(std::int64_t step, std::vector<LayerWidths>& widths) const {
  widths.resize(layers_.size());
  if (config_.precision.layers.empty()) {
    std::fill(widths.begin(), widths.end(), plan_.at(step));
    return;
  }
  for (std::size_t i = 0; i < layers_.size(); ++i) widths[i] = plan_.at(step, layers_[i]);
}

std::vector<LayerWidths> NetworkRun::widths_at(std::int64_t step) const {
  std::vector<LayerWidths> widths;
  fill_widths(step, widths);
  return widths;
}

NetworkRun::Training& NetworkRun::training_of(std::int64_t batch, const std::vector<LayerWidths>& widths) {
  const std::int64_t time_steps = text_ ? text_->training().time_steps_of(batch) : 0;
  for (const auto& training : training_) {
    if (training->time_steps != time_steps) continue;
    const auto fits = [](const FloatOperands& floats, const LayerWidths& at) { return floats == float_operands(at); };
    if (std::equal(training->floats.begin(), training->floats.end(), widths.begin(), fits)) return *training;
  }
  throw std::logic_error("no program was written for these widths");
}

void NetworkRun::write_indices(const char* set) { state_->write(std::string(set) + " indices", indices_.data()); }

void NetworkRun::give_training_batch(Started& started) {
  const builder::NetworkProgram& network = *started.training->network;
  StepInputs& inputs = *started.training->inputs[starts_ % batches_on_their_way()];
  if (text_) return give_words(started, inputs);
  const std::int64_t step = started.batch, batch = config_.train.batch;
  if (streamed_) {
    const std::uint8_t* pixels = streamed_->training(step, started.labels.data());
    if (device_.keeps_images()) {
      const auto slot = static_cast<std::int64_t>(starts_ % kStreamedBatches);
      upload_batch(kTrainingSet, slot, batch, pixels, started.labels.data());
      inputs.set(network.first_index, static_cast<std::uint32_t>(slot * batch));
      return;
    }
    loader_->normalise(pixels, batch * network.image_h * network.image_w, images_.data());
    inputs.point(network.images, images_.data());
    inputs.point(network.labels, started.labels.data());
    return;
  }
  if (!device_.keeps_images()) {
    loader_->training_batch(step, images_.data(), started.labels.data());
    inputs.point(network.images, images_.data());
    inputs.point(network.labels, started.labels.data());
    return;
  }
  if (step < first_step_of_indices_ || step >= end_of_indices_) {
    first_step_of_indices_ = step;
    end_of_indices_ = std::max(step + 1, std::min(step + kStepsOfIndices, config_.train.steps));
    for (std::int64_t s = step; s < end_of_indices_; ++s) {
      loader_->training_indices(s, indices_.data() + (s - step) * batch);
    }
    write_indices(kTrainingSet);
  }
  inputs.set(network.first_index, static_cast<std::uint32_t>((step - first_step_of_indices_) * batch));
}

StepInputs& NetworkRun::give_inputs(std::int64_t step, std::int64_t batch) {
  if (starts_ - finishes_ == started_.size()) throw std::logic_error("a third step was started");
  Started& started = started_[starts_ % started_.size()];
  started.step = step;
  started.batch = batch;
  fill_widths(step, started.widths);
  started.training = &training_of(batch, started.widths);
  const builder::NetworkProgram& network = *started.training->network;
  StepInputs& inputs = *started.training->inputs[starts_ % batches_on_their_way()];
  started.rate = learning_rate_at(config_.learning_rate, step, falls());
  set_widths(inputs, network, started.widths);
  inputs.set(network.step, static_cast<std::uint32_t>(step));
  inputs.set(network.rate, started.rate);
  give_training_batch(started);
  return inputs;
}

void NetworkRun::begin_pass(std::uint32_t first_epoch, std::int64_t batches) {
  loader_->set_first_epoch(first_epoch);
  end_of_indices_ = 0;
  if (streamed_) streamed_->restart(batches);
}

void NetworkRun::start(std::int64_t step, std::int64_t batch) {
  const StepInputs& inputs = give_inputs(step, batch);
  Started& started = started_[starts_ % started_.size()];
  started.handle = started.training->executable->start(inputs);
  ++starts_;  // only now: a step that fails while it is queued leaves nothing to finish
}

const builder::NetworkProgram& NetworkRun::network_of(std::int64_t step) {
  return *training_of(step, widths_at(step)).network;
}

Executable& NetworkRun::begin(std::int64_t step) {
  const StepInputs& inputs = give_inputs(step, step);
  Executable& executable = *started_[starts_ % started_.size()].training->executable;
  executable.begin(inputs);
  return executable;
}

StepResult NetworkRun::finish() {
  if (finishes_ == starts_) throw std::logic_error("no step was started");
  const Started& started = started_[finishes_++ % started_.size()];
  const Report& report = started.training->executable->finish(started.handle);
  StepResult result = findings_of(*started.training->network, report);
  result.rate = started.rate;
  if (!result.non_finite.empty()) {
    throw NonFiniteError("step " + std::to_string(started.step) + ": " + result.non_finite + " is not finite (loss " +
                         std::to_string(result.loss) + ", learning rate " + std::to_string(started.rate) + ")");
  }
  return result;
}

void NetworkRun::read(const std::string& tensor, void* host) {
  if (starts_ == 0) throw std::logic_error("no step was started");
  const Training& training = *started_[(starts_ - 1) % started_.size()].training;
  const Tensor found = training.network->program.find(tensor);
  if (!found) throw std::invalid_argument("the program has no tensor '" + tensor + "'");
  training.executable->read(found, host);
}

}  // namespace bitcycle
