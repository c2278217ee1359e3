// SPDX-License-Identifier: Apache-2.0
// NetworkRun on texts: the words of a step, the state that steps carry, perplexity's losses, and the falls of the
// learning rate that follow from them.
#include <algorithm>
#include <stdexcept>

#include "nn/run/network_run.h"
#include "nn/train/learning_rate.h"
#include "sim/ops/mean_loss.h"

namespace bitcycle {

void NetworkRun::clear_carried(const builder::NetworkProgram& network) {
  for (const auto& name : network.carried) {
    const std::vector<float> zeros(static_cast<std::size_t>(network.program.spec(network.program.find(name)).size()));
    state_->write(name, zeros.data());
  }
}

void NetworkRun::give_words(Started& started, StepInputs& inputs) {
  const builder::NetworkProgram& network = *started.training->network;
  if (text_->training().begins_epoch(started.batch)) clear_carried(network);
  text_->training().training(started.batch, started.tokens.data(), started.labels.data());
  inputs.point(network.tokens, started.tokens.data());
  inputs.point(network.labels, started.labels.data());
}

EvaluationResult NetworkRun::evaluate_text(TextPart part, std::int64_t steps_done,
                                           const std::vector<LayerWidths>& widths) {
  if (!text_) throw std::logic_error("the run reads no text");
  if (steps_done < 1) {
    throw std::runtime_error(
        "an evaluation needs the running ranges that training leaves, and no step was trained yet");
  }
  Evaluation& evaluation = evaluation_of(widths);
  const builder::NetworkProgram& network = *evaluation.network;
  const EvaluationBatches& batches = text_->evaluation(part);
  StepInputs& inputs = *evaluation.inputs;
  const auto rows = static_cast<std::size_t>(network.program.spec(network.tokens).size());
  std::vector<std::int32_t> tokens(rows), labels(rows);
  std::vector<std::uint8_t> counts(rows);
  inputs.point(network.tokens, tokens.data());
  inputs.point(network.labels, labels.data());
  set_widths(inputs, network, widths);
  clear_carried(network);
  std::vector<float> losses;
  losses.reserve(static_cast<std::size_t>(batches.words()));
  for (std::int64_t number = 0; number < batches.batches(); ++number) {
    batches.batch(number, tokens.data(), labels.data(), counts.data());
    const Report& report = evaluation.executable->run(inputs);
    const auto* of_rows = report.at<float>(network.losses);
    for (std::size_t row = 0; row < rows; ++row) {
      if (counts[row] != 0) losses.push_back(of_rows[row]);
    }
  }
  EvaluationResult result;
  result.loss = mean_loss(losses);
  result.images = batches.words();
  return result;
}

double NetworkRun::epochs_before(std::int64_t step) const {
  if (!text_) return static_cast<double>(step * config_.train.batch) / static_cast<double>(dataset_.train.count);
  return static_cast<double>(step) / static_cast<double>(text_->training().steps_per_epoch());
}

std::int64_t NetworkRun::falls() {
  if (!is_plateau(config_.learning_rate) || purpose_ != Purpose::kTraining) return 0;
  float plateau[2] = {0.0F, 0.0F};
  state_->read(builder::kPlateauState, plateau);
  return static_cast<std::int64_t>(plateau[1]);
}

void NetworkRun::note_validation(double loss) {
  if (!is_plateau(config_.learning_rate)) return;
  float plateau[2] = {0.0F, 0.0F};  // the lowest loss so far, the falls
  state_->read(builder::kPlateauState, plateau);
  const auto now = static_cast<float>(loss);
  if (plateau[0] == 0.0F || now < plateau[0]) {
    plateau[0] = now;
  } else {
    plateau[1] += 1.0F;
  }
  state_->write(builder::kPlateauState, plateau);
}

double NetworkRun::validation_loss(std::int64_t steps_done, const std::vector<LayerWidths>& widths) {
  return text_ ? evaluate_text(TextPart::kValidation, steps_done, widths).loss : evaluate(steps_done, widths).loss;
}

void NetworkRun::move_plateau(std::int64_t steps_done) {
  if (!is_plateau(config_.learning_rate)) return;
  if (steps_done % config_.train.evaluate_every != 0 && steps_done != config_.train.steps) return;
  note_validation(
      validation_loss(steps_done, config_.evaluation.width == "max" ? max_widths_ : widths_at(steps_done - 1)));
}

}  // namespace bitcycle
