// SPDX-License-Identifier: Apache-2.0
#include "cli/cost_input.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <filesystem>
#include <stdexcept>

#include "cli/console.h"
#include "cli/format.h"
#include "cli/inputs.h"
#include "cli/precision_text.h"
#include "cli/unreached_note.h"
#include "cli/unreached_points.h"
#include "cost_models/csv.h"
#include "cost_models/onnx/onnx_layers.h"
#include "cost_models/schedule_report.h"
#include "nn/models/model.h"
#include "nn/models/recurrent_uses.h"
#include "nn/train/cost_options.h"
#include "nn/train/recorded_widths.h"

namespace bitcycle::cli {
namespace {

namespace fs = std::filesystem;

/// A config whose schedule is asked about.
struct Scheduled {
  std::string name;
  Config config;
  std::optional<fs::path> run;
  bool has_batch = true;        // false: nobody said how large a batch is
  std::string origin;           // where the schedule stands
  bool text_has_batch = false;  // --precision ...,batch=N
};

/// The text as keys, before those of --set.
PrecisionText parsed(const CommandLine& line, const std::string& text) {
  if (!is_printable(text)) line.fail("--precision holds control characters");
  try {
    return parse_precision(text);
  } catch (const std::invalid_argument& error) {
    line.fail(std::string("--precision ") + error.what());
  }
}

bool sets(const CommandLine& line, const std::string& key) {
  const auto overrides = line.overrides();
  return std::any_of(overrides.begin(), overrides.end(), [&](const auto& item) { return item.key == key; });
}

/// A key that both --precision and --set give has two values.
void refuse_contradictions(const CommandLine& line, const PrecisionText& precision, const std::string& text) {
  for (const auto& key : precision.keys) {
    if (!sets(line, key.key)) continue;
    const bool by_batch = key.key == "train.batch" && line.has("batch");
    line.fail("--precision " + text + " and " + (by_batch ? "--batch" : "--set " + key.key) +
              " contradict each other: both say what " + key.key + " is; leave one of them out");
  }
}

/// The config; what is wrong with a key that the text stands for is said of --precision, not of a --set.
template <typename Make>
Config config_of_text(const CommandLine& line, const std::string& text, const PrecisionText& precision, Make make) {
  try {
    return make();
  } catch (const std::exception& error) {
    const std::string message = error.what();
    for (const auto& key : precision.keys) {
      const std::string at = "--set " + key.key + "=" + key.value;
      if (message.starts_with(at)) line.fail("--precision " + text + message.substr(at.size()));
    }
    throw;
  }
}

/// The schedule of --precision, on nothing: for a file of layers, or for the schedule alone.
Scheduled scheduled_by_text(const CommandLine& line, const std::string& text) {
  const PrecisionText precision = parsed(line, text);
  refuse_contradictions(line, precision, text);
  auto keys = precision.keys;
  if (!precision.has_steps && !sets(line, "train.steps")) {
    if (!precision.is_constant) line.fail("--precision " + text + ": how many steps? Add ,steps=N");
    keys.push_back({"train.steps", "1"});
  }
  for (auto& item : line.overrides()) keys.push_back(std::move(item));
  Scheduled scheduled{
      text, config_of_text(line, text, precision, [&] { return parse_config("", "--precision " + text, keys); }),
      std::nullopt, true, "--precision " + text};
  scheduled.text_has_batch = precision.has_batch;
  scheduled.has_batch = precision.has_batch || sets(line, "train.batch");
  return scheduled;
}

/// A config with --precision in place of its own widths.
Scheduled scheduled_by_text(const CommandLine& line, const std::string& text, const std::string& path) {
  const PrecisionText precision = parsed(line, text);
  refuse_contradictions(line, precision, text);
  std::vector<ConfigOverride> keys = precision.keys;
  for (auto& item : line.overrides()) keys.push_back(std::move(item));
  if (fs::is_directory(path)) {
    require_exists((fs::path(path) / "config.yaml").string());
    line.fail("--precision would change what the recorded run '" + path +
              "' is; give its config: " + (fs::path(path) / "config.yaml").string());
  }
  require_exists(path);
  const Config config = config_of_text(line, text, precision, [&] { return load_config(path, keys); });
  return {config.name + ", " + text, config, std::nullopt, true, path};
}

/// A run is what it was: keys that would make another one of it are refused.
void refuse_changes(const CommandLine& line, const std::string& run) {
  for (const auto& item : line.overrides()) {
    if (item.key.starts_with("cost.")) continue;
    line.fail("--set " + item.key + "=" + item.value + " would change what the recorded run '" + run +
              "' is; to price another run, set it for the config: " + (fs::path(run) / "config.yaml").string());
  }
}

Scheduled scheduled_by_path(const CommandLine& line, const std::string& path) {
  if (fs::is_directory(path)) refuse_changes(line, path);
  const ConfigInput input = read_config_or_run(path, line);
  return {input.config.name, input.config, input.run, true, path};
}

bool has_extension(const std::string& path, const std::string& extension) {
  std::string own = fs::path(path).extension().string();
  std::transform(own.begin(), own.end(), own.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return own == extension;
}

/// --dim NAME=SIZE.
OnnxSizes open_axes(const CommandLine& line) {
  OnnxSizes sizes;
  for (const auto& text : line.texts("dim")) {
    const auto equals = text.rfind('=');
    const std::string number = equals == std::string::npos ? "" : text.substr(equals + 1);
    std::int64_t size = 0;
    const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), size);
    if (equals == std::string::npos || equals == 0 || error != std::errc() || end != number.data() + number.size() ||
        size < 1 || size > 1000000000) {
      line.fail("--dim " + text + ": NAME=SIZE is needed, SIZE from 1 to 1,000,000,000, e.g. --dim sequence=128");
    }
    if (!sizes.emplace(text.substr(0, equals), size).second) {
      line.fail("--dim gives '" + text.substr(0, equals) + "' two sizes; leave one of them out");
    }
  }
  return sizes;
}

/// A file of layers has no network, data and optimiser: keys of these mean nothing.
void refuse_meaningless_keys(const CommandLine& line, const std::string& layers) {
  for (const auto& item : line.overrides()) {
    if (item.key.starts_with("precision.") || item.key == "train.steps" || item.key == "train.batch") continue;
    line.fail("--set " + item.key + "=" + item.value + " has no effect on the layers of '" + layers +
              "'; keys that have are precision.*, train.steps and train.batch");
  }
}

std::string sample_of(const Config& config) {
  switch (model_reads(config.model.name)) {
    case Reads::kStreams: return "word";
    case Reads::kSequences: return "sequence";
    default: return "image";
  }
}

/// Elementwise operations of docs/numerics.md, 9; clipping reads gradients once more, for their norm.
UpdateWork update_work(const OptimizerConfig& optimizer) {
  const double clips = optimizer.clip > 0.0 ? 1.0 : 0.0;
  if (optimizer.name == "adamw") return {11.0 + 2.0 * clips, 4.0 + clips, 3.0, 2.0};
  if (optimizer.name == "nag") return {4.0 + 2.0 * clips, 3.0 + clips, 2.0, 1.0};
  if (clips > 0.0) return {3.0, 3.0, 1.0, 0.0};
  return {};
}

CostInput put_together(const CommandLine& line, const Scheduled& scheduled, const Workload& workload,
                       const Topology* topology) {
  const Config& config = scheduled.config;
  for (const auto& text : unreached_points(config)) Console(false, false).warning(text);
  CostInput input{scheduled.name,
                  workload,
                  PrecisionPlan(precision_spec(config), config.train.steps),
                  config.train.steps,
                  config.train.steps,
                  !scheduled.has_batch  ? 1
                  : topology == nullptr ? priced_samples_of_step(config)
                                        : config.train.batch,
                  false,
                  topology != nullptr,
                  line.has("inference"),
                  bitops_options(config),
                  {},
                  {},
                  update_work(config.optimizer),
                  topology == nullptr ? sample_of(config) : "sample",
                  config.train.time_steps};
  if (topology == nullptr && workload.model == config.model.name) input.uses = recurrent_uses(config);
  if (scheduled.run && topology == nullptr) {
    input.steps = priced_steps({config, scheduled.run});
    const RunFolder folder = RunFolder::existing(*scheduled.run);
    input.plan = PrecisionPlan(recorded_precision(folder, config, input.steps), config.train.steps);
  }
  if (topology != nullptr) {
    input.name = topology->name + ", " + scheduled.name;
    input.notes = topology->notes;
    if (topology->has_batch) {
      const bool all = std::all_of(topology->layers.begin(), topology->layers.end(),
                                   [](const TopologyLayer& layer) { return layer.has_batch; });
      if (all && scheduled.text_has_batch) {
        line.fail(scheduled.origin + ": its batch contradicts " + topology->name +
                  ", which gives every layer its batch; leave one of them out");
      }
      if (all && sets(line, "train.batch")) {
        line.fail(std::string(line.has("batch") ? "--batch" : "--set train.batch") + " contradicts " + topology->name +
                  ", which gives every layer its batch; leave one of them out");
      }
      Topology filled = *topology;
      filled.fill_batches(input.batch);
      input.workload = filled.workload();
      input.whole_batches = true;
      input.batch = 1;
    }
    if (topology->has_bits) {
      line.fail("the columns lhs_bits and rhs_bits of " + topology->name +
                " contradict a schedule, which gives every layer its widths; leave them out, or set layers apart with "
                "--set precision.layers=[{match: NAME, forward: W, gradient: W}]");
    }
    for (const auto& operation : input.workload.matrix) {
      double samples = static_cast<double>(input.batch), macs = static_cast<double>(operation.shape.macs());
      if (samples * macs > 9007199254740992.0) {
        throw std::runtime_error("layer '" + operation.layer + "' of " + topology->name + " with a batch of " +
                                 std::to_string(input.batch) +
                                 " has more than 2^53 multiply-accumulates a step; sizes this large cannot be counted");
      }
    }
  }
  input.bitops.batch = input.batch;
  try {
    require_matching_patterns(input.plan, workload);
  } catch (const std::invalid_argument& error) {
    throw std::invalid_argument((sets(line, "precision.layers") ? "--set " : scheduled.origin + ": ") + error.what());
  }
  if (input.inference) input.workload = inference_only(input.workload);
  const auto& operations = input.workload.matrix;
  if (std::none_of(operations.begin(), operations.end(), [](const MatrixOperation& operation) {
        return operation.has(Pass::kForward) || operation.has(Pass::kError) || operation.has(Pass::kWeightGradient);
      })) {
    line.fail("nothing is left to price: with --inference none of the layers of " + workload.model + " has a pass");
  }
  return input;
}

}  // namespace

bool is_layers_file(const std::string& path) { return has_extension(path, ".csv") || has_extension(path, ".onnx"); }

Topology read_layers(const CommandLine& line, const std::string& path) {
  require_exists(path);
  const OnnxSizes sizes = open_axes(line);
  if (has_extension(path, ".onnx")) return read_onnx(path, sizes);
  if (!sizes.empty()) line.fail("--dim is for the open axes of an ONNX model, and '" + path + "' is none");
  return read_topology(path);
}

void print_warnings(const Topology& topology, const std::string& path) {
  Console console(false, false);
  for (const auto& text : topology.warnings) console.warning(path + ": " + text);
}

std::vector<OptionSpec> schedule_options() {
  return {
      {"schedule", "CONFIG",
       "the schedule of this config (or run folder), for your own layers; default: none, each layer is priced once"},
      {"precision", "TEXT",
       "a schedule written as one word, e.g. static-8 or cyclic_cosine:3-8/8,cycles=32,steps=64000; default: the "
       "schedule of CONFIG"},
      {"inference", "", "the forward pass alone"},
      {"batch", "N", "samples a step; the same as --set train.batch=N; default: that of CONFIG, of own layers 1"},
      {"dim", "NAME=SIZE",
       "the size of an axis that an ONNX model leaves open, e.g. sequence=128; default: none; may be repeated"}};
}

CostInput read_cost_input(const CommandLine& line) {
  const std::string path = line.positional()[0];
  const bool has_schedule = line.has("schedule"), has_text = line.has("precision");
  if (has_schedule && has_text) line.fail("--schedule and --precision contradict each other; leave one of them out");
  if (line.texts("schedule").size() > 1 || line.texts("precision").size() > 1) {
    line.fail("only one schedule can be priced at a time; 'bitcycle schedule' compares several");
  }
  if (is_layers_file(path)) {
    const Topology topology = read_layers(line, path);
    refuse_meaningless_keys(line, path);
    print_warnings(topology, path);
    const Scheduled scheduled =
        has_text ? scheduled_by_text(line, line.text("precision")) : scheduled_by_path(line, line.text("schedule"));
    return put_together(line, scheduled, topology.workload(), &topology);
  }
  if (has_schedule) {
    line.fail("--schedule is for files of layers (.csv); '" + path +
              "' has a schedule of its own, and --precision replaces it");
  }
  if (line.has("dim")) line.fail("--dim is for the open axes of an ONNX model, and '" + path + "' is none");
  const Scheduled scheduled =
      has_text ? scheduled_by_text(line, line.text("precision"), path) : scheduled_by_path(line, path);
  return put_together(line, scheduled, model_workload(scheduled.config), nullptr);
}

std::vector<CostInput> read_schedules(const CommandLine& line) {
  std::optional<Topology> topology;
  std::vector<std::string> paths;
  for (const auto& path : line.positional()) {
    if (!is_layers_file(path)) {
      paths.push_back(path);
    } else if (topology) {
      line.fail("only one file of layers can be priced at a time; remove '" + path + "'");
    } else {
      topology = read_layers(line, path);
      refuse_meaningless_keys(line, path);
      print_warnings(*topology, path);
    }
  }
  if (line.has("dim") && !topology) line.fail("--dim is for the open axes of an ONNX model, and there is none");
  const std::string first = paths.empty() ? "" : paths.front();
  for (const auto& path : line.texts("schedule")) paths.push_back(path);
  std::vector<CostInput> inputs;
  const auto add = [&](const Scheduled& scheduled, bool has_model) {
    const Workload workload = topology    ? topology->workload()
                              : has_model ? model_workload(scheduled.config)
                                          : any_workload();
    inputs.push_back(put_together(line, scheduled, workload, topology ? &*topology : nullptr));
    if (topology) inputs.back().name = scheduled.name;
  };
  for (const auto& path : paths) {
    Scheduled scheduled = scheduled_by_path(line, path);
    scheduled.run.reset();  // a schedule is shown to its end
    add(scheduled, true);
  }
  for (const auto& text : line.texts("precision")) {
    const bool on_config = !topology && !first.empty() && !fs::is_directory(first);
    add(on_config ? scheduled_by_text(line, text, first) : scheduled_by_text(line, text), on_config);
    if (!on_config && !topology && line.has("accelerator")) {
      line.fail("--accelerator needs layers: a CONFIG, or a file of layers (.csv)");
    }
  }
  if (inputs.empty()) {
    if (topology) line.fail("needs a schedule for these layers: a CONFIG, --schedule CONFIG or --precision TEXT");
    line.fail_for_want("needs a CONFIG, or --precision TEXT");
  }
  return inputs;
}

std::optional<std::string> unreached_note(const CostInput& input, const std::string& schedule) {
  return unreached_note(input.plan, input.workload.quantised_layers(), input.steps, schedule);
}

bool sets_layers_apart(const CostInput& input) {
  return groups_of_layers(input.plan, input.workload.quantised_layers()).size() > 1;
}

std::string heading(const CostInput& input) {
  std::string text = input.name + ": ";
  if (!input.is_layers_file) text += input.workload.model + ", ";
  if (input.steps < input.planned) {
    text += "the first " + grouped(input.steps) + " of " + counted(input.planned, "step");
  } else {
    text += counted(input.steps, "step");
  }
  if (!input.whole_batches) text += " of " + counted(input.batch, input.sample);
  if (input.sample == "sequence") text += " of " + counted(input.sequence, "word");
  return text + (input.inference ? ", forward pass alone" : "");
}

}  // namespace bitcycle::cli
