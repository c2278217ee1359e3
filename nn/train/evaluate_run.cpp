// SPDX-License-Identifier: Apache-2.0
// Evaluating a run's checkpoint, at any width.
#include <stdexcept>

#include "nn/data/corpus.h"
#include "nn/data/dataset.h"
#include "nn/models/state.h"
#include "nn/run/averaged_network.h"
#include "nn/run/network_run.h"
#include "nn/train/progress_state.h"
#include "nn/train/run_damage.h"
#include "nn/train/trainer.h"
#include "nn/train/unreached_width.h"

namespace bitcycle {
namespace {

/// A word is a number of the dictionary: with another one a perplexity says nothing of the run. Other texts of the same
/// dictionary are a warning.
void require_own_words(const RunFolder& folder, const Checkpoint& checkpoint, const std::string& origin,
                       const Corpus& corpus, const Config& config, std::vector<std::string>& warnings) {
  if (from_metadata(checkpoint.file.metadata, origin).data_checksum == corpus.checksum) return;
  const std::string run = "'" + folder.path().string() + "'";
  const auto dictionary = folder.dictionary();
  if (dictionary && *dictionary == dictionary_text(corpus)) {
    warnings.push_back("the texts in '" + config.data.path + "' are not those that " + run +
                       " was trained on; the dictionary is the same");
    return;
  }
  throw std::runtime_error("the text in '" + config.data.path + "' is not that which " + run +
                           " was trained on, and its words have other numbers: restore it, or name the folder that has "
                           "it (--set data.path=FOLDER)");
}

}  // namespace

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
  if (dataset.text != nullptr) require_own_words(folder, checkpoint, origin, *dataset.text, config, result.warnings);
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
