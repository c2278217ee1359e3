// SPDX-License-Identifier: Apache-2.0
// NetworkRun's evaluations: a program for each class of widths, over the state that training left.
#include <algorithm>
#include <stdexcept>

#include "nn/models/model.h"
#include "nn/run/network_programs.h"
#include "nn/run/network_run.h"
#include "sim/ops/loss_record.h"
#include "sim/ops/mean_loss.h"

namespace bitcycle {

std::unique_ptr<NetworkRun::Evaluation> NetworkRun::write_evaluation(const std::vector<BitWidth>& widest) const {
  auto evaluation = std::make_unique<Evaluation>();
  evaluation->widest = widest;
  builder::Options options = evaluation_options(config_);
  options.widest = [&](const std::string& layer) {
    const auto at = static_cast<std::size_t>(std::find(layers_.begin(), layers_.end(), layer) - layers_.begin());
    return LayerWidths{widest[at], max_widths_[at].gradient};
  };
  if (device_.keeps_images() && !text_) options.stored_images = stored_test_images(config_, dataset_.test.count);
  evaluation->network = write_model(config_.model.name, config_.model.classes, options);
  return evaluation;
}

void NetworkRun::compile(Evaluation& evaluation) {
  evaluation.executable = device_.compile(evaluation.network->program, {state_, {evaluation.network->logits}});
  evaluation.inputs = std::make_unique<StepInputs>(evaluation.network->program);
}

NetworkRun::Evaluation& NetworkRun::evaluation_of(const std::vector<LayerWidths>& widths) {
  const auto fits = [](BitWidth widest, const LayerWidths& at) {
    return widest.is_float32() == at.forward.is_float32() &&
           (widest.is_float32() || bytes_of(at.forward.container()) <= bytes_of(widest.container()));
  };
  for (const auto& evaluation : evaluations_) {
    if (std::equal(evaluation->widest.begin(), evaluation->widest.end(), widths.begin(), fits)) return *evaluation;
  }
  std::vector<BitWidth> widest;
  for (const auto& layer : widths) widest.push_back(layer.forward);
  auto evaluation = write_evaluation(widest);
  compile(*evaluation);
  evaluations_.push_back(std::move(evaluation));
  return *evaluations_.back();
}

EvaluationResult NetworkRun::evaluate(std::int64_t steps_done, const std::vector<LayerWidths>& widths,
                                      std::vector<float>* logits) {
  if (steps_done < 1) {
    throw std::runtime_error(
        "an evaluation needs the running ranges and statistics that training leaves, and no step was trained yet");
  }
  Evaluation& evaluation = evaluation_of(widths);
  const builder::NetworkProgram& network = *evaluation.network;
  const std::int64_t batch = evaluation_batch_;
  StepInputs& inputs = *evaluation.inputs;
  std::vector<float> x;
  std::vector<std::int32_t> labels(static_cast<std::size_t>(batch));
  if (device_.keeps_images()) {
    end_of_indices_ = 0;  // the memory of the training's is used
    inputs.set(network.first_index, std::uint32_t{0});
  } else {
    x.resize(static_cast<std::size_t>(network.program.spec(network.images).size()));
    inputs.point(network.images, x.data());
    inputs.point(network.labels, labels.data());
  }
  set_widths(inputs, network, widths);
  EvaluationResult result;
  std::int64_t correct = 0;
  std::vector<float> losses;
  losses.reserve(static_cast<std::size_t>(dataset_.test.count));
  for (std::int64_t first = 0; first < dataset_.test.count; first += batch) {
    const std::int64_t count = std::min(batch, dataset_.test.count - first);
    if (streamed_) {
      const std::uint8_t* pixels = streamed_->test(first, count, labels.data());
      if (device_.keeps_images()) {
        upload_batch(kTestSet, 0, count, pixels, labels.data());
      } else {
        loader_->normalise(pixels, count * network.image_h * network.image_w, x.data());
      }
    } else if (device_.keeps_images()) {
      for (std::int64_t i = 0; i < count; ++i) {
        indices_[static_cast<std::size_t>(i)] = {static_cast<std::uint32_t>(first + i), 0};
      }
      write_indices(kTestSet);
    } else {
      loader_->test_batch(first, count, x.data(), labels.data());
    }
    inputs.set_samples(count);
    const Report& report = evaluation.executable->run(inputs);
    correct += report.at<LossRecord>(network.loss)->correct;
    const auto* of_samples = report.at<float>(network.losses);
    losses.insert(losses.end(), of_samples, of_samples + count);
    if (logits == nullptr) continue;
    const std::size_t before = logits->size();
    logits->resize(before + static_cast<std::size_t>(batch * network.classes));
    evaluation.executable->read(network.logits, logits->data() + before);
    logits->resize(before + static_cast<std::size_t>(count * network.classes));
  }
  if (streamed_) streamed_->end_test();
  result.images = dataset_.test.count;
  // On one grid over the whole set, so that the number does not depend on how many images went at a time.
  result.loss = mean_loss(losses);
  if (result.images > 0) result.accuracy = 100.0 * static_cast<double>(correct) / static_cast<double>(result.images);
  return result;
}

}  // namespace bitcycle
