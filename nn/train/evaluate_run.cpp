// SPDX-License-Identifier: Apache-2.0
// Evaluating a run's checkpoint, at any width.
#include <stdexcept>

#include "nn/data/dataset.h"
#include "nn/models/state.h"
#include "nn/run/averaged_network.h"
#include "nn/run/network_run.h"
#include "nn/train/run_damage.h"
#include "nn/train/trainer.h"
#include "nn/train/unreached_width.h"

namespace bitcycle {

EvaluateResult evaluate_run(const std::filesystem::path& run, Device& device, const EvaluateOptions& options,
                            const std::vector<ConfigOverride>& overrides) {
  const RunFolder folder = RunFolder::existing(run);
  Config config = folder.config();
  if (!overrides.empty()) config = parse_config(config_yaml(config), (run / "config.yaml").string(), overrides);
  EvaluateResult result;
  const Checkpoint checkpoint = folder.read_checkpoint(options.checkpoint, result.warnings);
  for (auto& text : damage_of_records(folder)) result.warnings.push_back(std::move(text));
  const Dataset dataset = load_dataset(config);
  NetworkRun network(config, dataset, device);
  const std::string origin = run.string() + ", checkpoint '" + options.checkpoint + "'";
  if (options.averaged) {
    load_averaged(network.state(), checkpoint.file, origin);
  } else {
    load_state(network.state(), checkpoint.file, origin);
  }
  if (!options.width) {
    std::vector<std::string> layers;
    for (const auto& layer : network.network().layers) layers.push_back(layer.name);
    for (auto& text : unreached_width(network.plan(), layers, checkpoint.step)) {
      result.warnings.push_back(std::move(text));
    }
  }
  const auto widths = options.width ? network.widths_of(*options.width) : network.max_widths();
  const bool text = dataset.text != nullptr;
  const EvaluationResult evaluation = text ? network.evaluate_text(TextPart::kTest, checkpoint.step, widths)
                                           : network.evaluate(checkpoint.step, widths);
  if (text) {
    const EvaluationResult validation = network.evaluate_text(TextPart::kValidation, checkpoint.step, widths);
    result.validation_loss = validation.loss;
    result.validation_words = validation.images;
  }
  result.step = checkpoint.step;
  result.width = options.width.value_or(network.plan().own_max().forward);
  result.test_accuracy = evaluation.accuracy;
  result.test_loss = evaluation.loss;
  result.images = evaluation.images;
  return result;
}

}  // namespace bitcycle
