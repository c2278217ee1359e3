// SPDX-License-Identifier: Apache-2.0
// Evaluating a run's checkpoint, at any width.
#include <stdexcept>

#include "nn/data/dataset.h"
#include "nn/models/state.h"
#include "nn/train/network_run.h"
#include "nn/train/run_damage.h"
#include "nn/train/trainer.h"

namespace bitcycle {

EvaluateResult evaluate_run(const std::filesystem::path& run, Backend& backend, const EvaluateOptions& options,
                            const std::vector<ConfigOverride>& overrides) {
  const RunFolder folder = RunFolder::existing(run);
  Config config = folder.config();
  if (!overrides.empty()) config = parse_config(config_yaml(config), (run / "config.yaml").string(), overrides);
  EvaluateResult result;
  const Checkpoint checkpoint = folder.read_checkpoint(options.checkpoint, result.warnings);
  for (auto& text : damage_of_records(folder)) result.warnings.push_back(std::move(text));
  const Dataset dataset = load_dataset(config.data, config.model.classes);
  NetworkRun network(config, dataset, backend, options.width);
  load_state(network.network(), backend, checkpoint.file, run.string() + ", checkpoint '" + options.checkpoint + "'");
  const auto widths = options.width ? network.widths_of(*options.width) : network.max_widths();
  const EvaluationResult evaluation = network.evaluate(checkpoint.step, widths);
  result.step = checkpoint.step;
  result.width = options.width.value_or(network.plan().max().forward);
  result.test_accuracy = evaluation.accuracy;
  result.test_loss = evaluation.loss;
  result.images = evaluation.images;
  return result;
}

}  // namespace bitcycle
