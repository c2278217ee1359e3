// SPDX-License-Identifier: Apache-2.0
// bitcycle eval: accuracy or perplexity of a run's checkpoint, at any width.
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "cli/command_line.h"
#include "cli/console.h"
#include "cli/exit_code.h"
#include "cli/format.h"
#include "cli/inputs.h"
#include "cli/verbs.h"
#include "cost_models/bitops_report.h"
#include "nn/train/perplexity.h"
#include "nn/train/trainer.h"

namespace bitcycle::cli {
namespace {

int print_perplexity(Console& console, const std::string& run, const EvaluateResult& result) {
  const double validation = perplexity(*result.validation_loss), test = perplexity(result.test_loss);
  console.json({{"run", run},
                {"step", result.step},
                {"bits", width_json(result.width)},
                {"validation_perplexity", validation},
                {"validation_loss", *result.validation_loss},
                {"validation_words", result.validation_words},
                {"test_perplexity", test},
                {"test_loss", result.test_loss},
                {"test_words", result.images},
                {"warnings", result.warnings}});
  console.result() << run << ", step " << grouped(result.step) << ", " << result.width.text()
                   << (result.width.is_float32() ? "" : " bits") << ": validation perplexity " << fixed(validation, 2)
                   << " (" << grouped(result.validation_words) << " words), test perplexity " << fixed(test, 2) << " ("
                   << grouped(result.images) << " words)\n";
  return kSuccess;
}

}  // namespace

int run_eval(const std::vector<std::string>& arguments) {
  std::vector<OptionSpec> options{
      {"bits", "B", "2 to 32, or float32; default: the largest width that the run's own schedule names"},
      {"swa", "", "the averaged parameters (swa.start) in place of the training's"},
      {"checkpoint", "WHICH", "newest, best, a step, or a file; default: newest"},
      {"set", "KEY=VALUE", "changes a key, e.g. data.path where the images have moved; may be repeated"}};
  for (auto& option : execution_options()) options.push_back(option);
  options.push_back(json_option());
  CommandLine line({"eval", "RUN",
                    "Evaluates a checkpoint of the run folder RUN on the test images, or on validation and test text.",
                    "bitcycle eval runs/quickstart --bits 4 --checkpoint best"},
                   options);
  if (!line.parse(arguments)) return kSuccess;
  line.require_positional(1);
  Console console(line.json(), false);

  EvaluateOptions evaluate;
  evaluate.checkpoint = line.text("checkpoint", "newest");
  evaluate.averaged = line.has("swa");
  if (line.has("bits")) {
    try {
      evaluate.width = BitWidth::parse(line.text("bits"));
    } catch (const std::exception& error) {
      line.fail("--bits: " + std::string(error.what()));
    }
  }
  const std::string run = line.positional()[0];
  const ConfigInput input = read_run_folder(run, line);
  const auto device = make_device(input.config.execution, line);
  const EvaluateResult result = evaluate_run(run, *device, evaluate, line.overrides());
  for (const auto& text : result.warnings) console.warning(text);

  if (result.validation_loss) return print_perplexity(console, run, result);
  console.json({{"run", run},
                {"step", result.step},
                {"bits", width_json(result.width)},
                {"test_accuracy", result.test_accuracy},
                {"test_loss", result.test_loss},
                {"images", result.images},
                {"swa", evaluate.averaged},
                {"warnings", result.warnings}});
  console.result() << run << ", step " << grouped(result.step) << ", " << result.width.text()
                   << (result.width.is_float32() ? "" : " bits")
                   << (evaluate.averaged ? ", averaged weights (SWA)" : "") << ": test accuracy "
                   << fixed(result.test_accuracy, 2) << " %, loss " << fixed(result.test_loss, 4) << " ("
                   << grouped(result.images) << " images)\n";
  return kSuccess;
}

}  // namespace bitcycle::cli
