// SPDX-License-Identifier: Apache-2.0
// bitcycle train: trains a config, or what the paper's own command line describes, to its end.
#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <iterator>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "cli/command_line.h"
#include "cli/console.h"
#include "cli/cpt_command_line.h"
#include "cli/exit_code.h"
#include "cli/expected_digest.h"
#include "cli/format.h"
#include "cli/idle_settings.h"
#include "cli/inputs.h"
#include "cli/interrupt.h"
#include "cli/price.h"
#include "cli/progress.h"
#include "cli/shipped_files.h"
#include "cli/unreached_note.h"
#include "cli/unreached_points.h"
#include "cli/verbs.h"
#include "nn/io/atomic_file.h"
#include "nn/models/model.h"
#include "nn/train/perplexity.h"
#include "nn/train/trainer.h"
#include "report/report.h"

namespace bitcycle::cli {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t kProfileSteps = 20;

CommandLine make_command_line() {
  std::vector<OptionSpec> options{
      {"out", "DIR",
       "the run folder; default: runs/NAME, the config's name; runs/NAME-seedS where --set train.seed=S changes the "
       "config's seed"},
      set_option(),
      {"from", "RUN[:STEP]",
       "begins as a fork: with the checkpoint of another run at this step (default: its newest), its optimiser's "
       "state and its records so far"},
      {"tensorboard", "", "writes TensorBoard's event file into the run folder, too"},
      {"restart", "", "starts again from step 0; an earlier run is kept under another name"},
      {"expect", "DIGEST",
       "exit code 3 unless the run ends with this digest; default: that of expected_digests.json beside CONFIG, if "
       "there "
       "is one"},
      {"profile", "[N]", "runs N steps (default 20) in a temporary folder and shows the time of each operation"}};
  for (auto& option : execution_options()) options.push_back(option);
  options.push_back(quiet_option());
  options.push_back(json_option());
  return {
      {"train", "CONFIG",
       "Trains the network that CONFIG (YAML; docs/config.md lists every key) describes, and writes a run folder.\n"
       "The same command continues an unfinished run, and gives the same bits as a run that was not interrupted.\n"
       "Ctrl-C finishes the step and saves; a second Ctrl-C stops at once, without saving.\n"
       "With a larger train.steps a finished run continues in its folder; the steps that ran stay as they were.\n\n"
       "The options of the paper's own training script are accepted in place of CONFIG.",
       "bitcycle train configs/quickstart.yaml\n"
       "bitcycle train configs/quickstart.yaml --set precision.forward.max=6 --out runs/six-bits\n"
       "bitcycle train runs/quickstart/config.yaml --set precision.forward.max=6 --from runs/quickstart:384 --out six\n"
       "bitcycle train --save_folder ./logs --arch cifar100_resnet_74 --dataset cifar100 --datadir PATH \\\n"
       "    --is_cyclic_precision --cyclic_num_bits_schedule 3 8 --cyclic_num_grad_bits_schedule 8 8 \\\n"
       "    --num_cyclic_period 32"},
      std::move(options)};
}

/// What to train, from either kind of command line.
struct Task {
  Config config;
  fs::path run;
  std::optional<Digest128> expect;
  bool expect_is_given = false;  // by --expect
  std::vector<std::string> notes;
  std::map<std::string, std::string> options;  // of the paper's command line, by key
};

/// What is said of keys is said of the paper's options, too.
template <typename Act>
auto in_words_of_options(const std::map<std::string, std::string>& options, const Act& act) {
  try {
    return act();
  } catch (const fs::filesystem_error&) {
    throw;
  } catch (const std::invalid_argument& error) {
    if (options.empty()) throw;
    throw std::invalid_argument(with_option_names(error.what(), options));
  } catch (const std::runtime_error& error) {
    if (options.empty()) throw;
    throw std::runtime_error(with_option_names(error.what(), options));
  }
}

/// runs/NAME; runs/NAME-seedS where the command line gives another seed than the file does, so that the seeds of one
/// config do not meet in one folder.
fs::path default_run(const fs::path& file, const Config& config, std::vector<ConfigOverride> overrides) {
  // What comes through a pipe can be read once only.
  std::error_code ignored;
  const bool again = fs::is_regular_file(file, ignored);
  const bool given = std::erase_if(overrides, [](const auto& change) { return change.key == "train.seed"; }) > 0;
  const bool other_seed = given && !(again && load_config(file, overrides).train.seed == config.train.seed);
  return fs::path("runs") / (config.name + (other_seed ? "-seed" + std::to_string(config.train.seed) : ""));
}

Task read_task(const CommandLine& line, const SplitArguments& split) {
  Task task;
  if (split.paper.empty()) {
    line.require_positional(1);
    const fs::path file = line.positional()[0];
    task.config = read_config(file.string(), line);
    task.run = default_run(file, task.config, line.overrides());
    task.expect = expected_digest(file, task.config);
  } else {
    if (!line.positional().empty()) {
      line.fail("'" + line.positional()[0] + "' and options of the paper's script (--" + split.paper.begin()->first +
                ") do not go together; with a config file, keys are set by --set KEY=VALUE");
    }
    CptRun paper = map_cpt_arguments(split.paper);
    auto keys = paper.keys;
    for (auto& override : line.overrides()) keys.push_back(std::move(override));
    task.options = paper.options;
    task.config = in_words_of_options(task.options, [&] { return parse_config("", "command line", keys); });
    task.run = paper.run;
    task.notes = std::move(paper.notes);
  }
  if (line.has("out")) task.run = line.text("out");
  if (task.run.empty()) line.fail("--out is empty: the path of a folder is needed");
  if (line.has("expect")) {
    try {
      task.expect = parse_digest(line.text("expect"));
    } catch (const std::exception& error) {
      line.fail("--expect is '" + line.text("expect") + "': 32 hexadecimal digits are needed");
    }
    task.expect_is_given = true;
  }
  return task;
}

std::string percent(double value) { return fixed(value, 2) + " %"; }

/// What the savings of a summary are relative to.
struct StaticTraining {
  std::string widths;  // "static 8/8 bits"
  std::string note;    // where no step has these widths
};
StaticTraining static_training(const Config& config) {
  const PrecisionPlan plan(precision_spec(config), config.train.steps);
  const LayerWidths widths = plan.max();
  const auto text_of = [](const LayerWidths& pair) { return pair.forward.text() + "/" + pair.gradient.text(); };
  const auto layers = model_workload(config).quantised_layers();
  const bool float32 = widths.forward.is_float32() && widths.gradient.is_float32();
  const std::string text = float32 ? "float32" : "static " + text_of(widths) + " bits";
  if (std::any_of(layers.begin(), layers.end(), [&](const auto& layer) { return plan.max(layer) != widths; })) {
    return {text, "layers with a schedule of their own are compared with its largest widths"};
  }
  if (plan.own_max() != widths) {
    return {text, "steps 1 to " + grouped(config.fork.step) + " were taken over from '" + config.fork.run +
                      "' and count; this run's own schedules name at most " + text_of(plan.own_max()) + " bits"};
  }
  return {text, unreached_note(plan, layers, config.train.steps).value_or("")};
}

std::string averaged_text(const TrainSummary& summary) {
  if (summary.swa_models == 0) return "";
  return "  averaged weights  " + percent(summary.swa_accuracy) + ", best " + percent(summary.best_swa_accuracy) +
         ", the mean of those after " + grouped(summary.swa_models) +
         (summary.swa_models == 1 ? " step\n" : " steps\n");
}

void print_summary(std::ostream& out, const TrainSummary& summary, const Task& task) {
  // A fork's schedules of before count, too, so the config is that of the run folder.
  const Config recorded = RunFolder::existing(summary.run).config();
  const StaticTraining compared = static_training(recorded);
  const bool best_taken_over = summary.best_step <= recorded.fork.step && recorded.fork.step > 0;
  out << "\n"
      << summary.run.filename().string() << ": " << grouped(summary.step) << " of " << grouped(summary.steps)
      << " steps\n";
  const std::string at_best = std::string(task.config.evaluation.width == "max" ? " at the largest width" : "") +
                              " at step " + grouped(summary.best_step) + (best_taken_over ? " (taken over)" : "");
  if (summary.text) {
    const auto of = [](double loss) { return fixed(perplexity(loss), 2); };
    out << "  perplexity        validation " << of(summary.text->last.validation) << ", test " << of(summary.text->test)
        << "; at the largest width " << of(summary.text->last.validation_max_width) << " and "
        << of(summary.text->last.test_max_width) << "\n"
        << "  best              validation " << of(summary.text->best_validation) << ", test "
        << of(summary.text->best_test) << at_best << "\n";
  } else {
    out << "  test accuracy     " << percent(summary.test_accuracy) << ", best " << percent(summary.best_test_accuracy)
        << at_best << ", at the largest width " << percent(summary.test_accuracy_max_width) << "\n";
  }
  out << averaged_text(summary) << "  training cost     " << figures(summary.paper_gbitops) << " GBitOPs, "
      << percent(summary.saving_percent) << " less than " << compared.widths << " ("
      << figures(summary.static_paper_gbitops) << "), metric 'paper'\n"
      << "                    " << figures(summary.executed_gbitops) << " GBitOPs, metric 'executed'\n"
      << (compared.note.empty() ? "" : "                    " + compared.note + "\n") << "  digest            "
      << to_text(summary.digest) << "\n";
  if (task.expect && summary.finished) {
    out << "  expected          " << to_text(*task.expect)
        << (*task.expect == summary.digest ? "  equal" : "  DIFFERENT") << "\n";
  }
  if (summary.images_per_second > 0.0) {
    out << "  speed             " << grouped(summary.images_per_second, summary.images_per_second < 100 ? 1 : 0)
        << (summary.text ? " tokens/s, " : " images/s, ") << duration(summary.seconds) << "\n";
  }
  out << "  run folder        " << summary.run.string() << "\n";
  const auto report = summary.run / "report.html";
  if (std::filesystem::exists(report)) out << "  report            " << report.string() << "\n";
}

void print_profile(std::ostream& out, const TrainSummary& summary, const Config& config) {
  double total = 0.0;
  for (const auto& entry : summary.profile) total += entry.seconds;
  auto entries = summary.profile;
  std::sort(entries.begin(), entries.end(), [](const auto& a, const auto& b) { return a.seconds > b.seconds; });
  const auto steps = static_cast<double>(std::max<std::int64_t>(1, summary.step));
  out << "\n"
      << grouped(summary.step) << " steps of " << samples_of_step(config) << (summary.text ? " words, " : " images, ")
      << figures(summary.images_per_second) << (summary.text ? " tokens/s\n\n" : " images/s\n\n");
  Table table({"operation", "calls a step", "ms a step", "share", "GMAC/s", "GB/s"});
  for (const auto& entry : entries) {
    table.add(
        {entry.operation, figures(static_cast<double>(entry.calls) / steps), fixed(1e3 * entry.seconds / steps, 3),
         fixed(100.0 * entry.seconds / total, 1) + " %",
         entry.macs > 0 && entry.seconds > 0.0 ? figures(1e-9 * static_cast<double>(entry.macs) / entry.seconds) : "",
         entry.bytes > 0 && entry.seconds > 0.0 ? figures(1e-9 * static_cast<double>(entry.bytes) / entry.seconds)
                                                : ""});
  }
  table.print(out);
}

nlohmann::ordered_json summary_object(const TrainSummary& summary, const Task& task) {
  auto json = nlohmann::ordered_json::parse(summary_json(summary));
  if (task.expect && summary.finished) {
    json["expected_digest"] = to_text(*task.expect);
    json["digest_is_expected"] = *task.expect == summary.digest;
  }
  if (!summary.profile.empty()) {
    auto& profile = json["profile"] = nlohmann::ordered_json::array();
    for (const auto& entry : summary.profile) {
      nlohmann::ordered_json one{
          {"operation", entry.operation}, {"calls", entry.calls}, {"seconds", entry.seconds}, {"macs", entry.macs}};
      if (entry.bytes != 0) one["bytes"] = entry.bytes;  // on the CPU they are not counted
      profile.push_back(std::move(one));
    }
  }
  return json;
}

/// A folder that goes away with this object.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string pattern = (fs::temp_directory_path() / "bitcycle-profile-XXXXXX").string();
    if (mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("cannot make a temporary folder at " + pattern);
    path_ = pattern;
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

/// The run's own report. The run is whole without it: what goes wrong here is a warning.
void write_report(Console& console, const std::filesystem::path& run) {
  try {
    std::vector<Accelerator> accelerators;
    for (const auto& name : report_accelerators()) {
      accelerators.push_back(load_accelerator(accelerator_path(name, accelerators_folder())));
    }
    write_file_atomically(run / "report.html", report::report_html(report::report_data({run}, accelerators)));
  } catch (const std::exception& error) {
    console.warning(std::string("no report was written: ") + error.what());
  }
}

}  // namespace

int run_train(const std::vector<std::string>& arguments) {
  const SplitArguments split = split_cpt_arguments(arguments);
  CommandLine line = make_command_line();
  if (!split.paper.empty()) line.also_known(cpt_option_names());
  if (!line.parse(split.rest)) return kSuccess;
  Console console(line.json(), line.quiet());
  Task task = read_task(line, split);
  for (const auto& text : unreached_points(task.config)) console.warning(text);
  for (const auto& text : idle_settings(task.config)) console.warning(text);
  for (const auto& note : task.notes) console.notes() << "bitcycle: note: " << note << std::endl;

  TrainOptions options;
  options.restart = line.has("restart");
  options.expect = task.expect;
  std::optional<TemporaryFolder> temporary;
  if (line.has("profile")) {
    options.profile = true;
    options.stop_after = line.integer("profile", kProfileSteps, 1);
    // No evaluation, whose kernels would count among those of training: none is due before the last step.
    const std::int64_t steps = task.config.train.steps;
    if (steps > 1) options.stop_after = std::min(options.stop_after, steps - 1);
    task.config.train.evaluate_every = steps;
    task.config.swa = {};  // averages are made where evaluations are
    temporary.emplace();
    task.run = temporary->path() / "run";
  }
  options.run = task.run;

  const auto device = make_device(task.config.execution, line);
  InterruptGuard interrupt;
  options.stop = interrupt.stop();
  ProgressReport report(console, task.config);
  const TrainSummary summary =
      in_words_of_options(task.options, [&] { return train(task.config, *device, options, report); });
  report.clear();

  console.json(summary_object(summary, task));
  if (options.profile) {
    print_profile(console.result(), summary, task.config);
    if (interrupt.signal() != 0) return 128 + interrupt.signal();
    return kSuccess;
  }
  if (!summary.finished) {
    console.result()
        << "Stopped after step " << grouped(summary.step) << " of " << grouped(summary.steps) << "; saved in "
        << summary.run.string()
        << ".\nThe same command continues the run, and gives the same bits as a run that was not interrupted."
        << std::endl;
    return interrupt.signal() == 0 ? kInterrupted : 128 + interrupt.signal();
  }
  if (summary.was_finished) {
    console.notes() << "This run was finished already. --restart starts it again and keeps the old folder; --out DIR "
                       "starts another run."
                    << std::endl;
  }
  if (!summary.was_finished) write_report(console, summary.run);
  print_summary(console.result(), summary, task);
  if (task.expect && *task.expect != summary.digest) {
    throw MismatchError("the run's digest is " + to_text(summary.digest) + ", expected was " + to_text(*task.expect) +
                        (task.expect_is_given ? "" : " (expected_digests.json beside the config)"));
  }
  return kSuccess;
}

}  // namespace bitcycle::cli
