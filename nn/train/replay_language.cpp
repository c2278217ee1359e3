// SPDX-License-Identifier: Apache-2.0
#include "nn/train/replay_language.h"

#include <cmath>
#include <cstdio>
#include <map>
#include <stdexcept>

#include "nn/io/atomic_file.h"
#include "nn/io/npy.h"
#include "nn/io/safetensors.h"
#include "nn/models/model.h"
#include "nn/models/state.h"
#include "nn/run/findings.h"
#include "nn/run/network_state.h"
#include "nn/train/step_comparison.h"
#include "sim/schedule/schedule.h"

namespace bitcycle {
namespace {

constexpr double kTolerance = 1e-3;
constexpr std::int64_t kMost = 1 << 20;
/// Keys of both kinds of cases.
const std::vector<std::string> kModelKeys{
    "kind",    "model", "vocabulary",     "embedding",     "hidden",    "layers",    "time_steps", "batch",
    "dropout", "bias",  "gradient_group", "error_weights", "min_scale", "tolerance", "comment",    "error_grid_bits"};

std::vector<std::string> with_model_keys(std::vector<std::string> keys) {
  keys.insert(keys.end(), kModelKeys.begin(), kModelKeys.end());
  return keys;
}

builder::Bias bias_of(const CaseFile& file) {
  const std::string bias = file.text("bias");
  if (bias == "float32") return builder::Bias::kFloat32;
  if (bias == "quantised") return builder::Bias::kQuantised;
  file.fail("bias is '" + bias + "': float32 or quantised");
}

BitWidth width_of(const CaseFile& file, const std::string& key) {
  return BitWidth::integer(static_cast<int>(file.integer(key, BitWidth::kMinBits, BitWidth::kMaxBits)));
}

builder::Options options_of(const CaseFile& file, const std::string& rounding) {
  builder::Options options;
  options.batch = file.integer("batch", 1, kMost);
  builder::LanguageSizes& sizes = options.language;
  sizes.vocabulary = file.integer("vocabulary", 2, kMost);
  sizes.embedding = file.integer("embedding", 1, kMost);
  sizes.hidden = file.integer("hidden", 1, kMost);
  sizes.layers = file.integer("layers", 1, 64);
  sizes.time_steps = file.integer("time_steps", 1, kMost);
  sizes.bias = bias_of(file);
  if (file.number("dropout") != 0.0) file.fail("dropout is not 0: a step with dropout cannot be replayed");
  if (const std::string group = file.text("gradient_group"); group != "tensor") {
    file.fail("gradient_group is '" + group + "'; gradients have one range a tensor");
  }
  if (rounding != "nearest")
    file.fail("gradient_rounding is '" + rounding + "'; a step can be replayed with 'nearest'");
  options.quantisation.stochastic = false;
  const std::string error_weights = file.text("error_weights");
  if (error_weights != "shared" && error_weights != "requantised") {
    file.fail("error_weights is '" + error_weights + "': shared or requantised");
  }
  options.quantisation.error_weights = error_weights == "shared" ? ErrorWeights::kShared : ErrorWeights::kRequantised;
  const std::int64_t grid_bits = file.optional_integer("error_grid_bits").value_or(16);
  if (grid_bits != 16 && grid_bits != 24) {
    file.fail("error_grid_bits is " + std::to_string(grid_bits) + "; the grids have 16 or 24 bits");
  }
  options.quantisation.error_grid_bits = static_cast<int>(grid_bits);
  options.quantisation.min_scale.narrow = static_cast<float>(file.number("min_scale"));
  return options;
}

/// tokens.npy: (rows + 1, batch).
std::vector<std::int32_t> read_tokens(const CaseFile& file, const builder::Options& options, std::int64_t rows) {
  const NpyArray array = read_npy(file.folder() / "tokens.npy");
  NpyArray wanted;
  wanted.shape = {rows + 1, options.batch};
  if (array.shape != wanted.shape) {
    file.fail("tokens.npy is " + array.shape_text() + ", the case needs " + wanted.shape_text());
  }
  std::vector<std::int32_t> tokens;
  for (const double value : array.as_doubles()) {
    if (value < 0.0 || value >= static_cast<double>(options.language.vocabulary) || value != std::floor(value)) {
      file.fail("tokens.npy holds " + std::to_string(value) + ", which is none of " +
                std::to_string(options.language.vocabulary) + " words");
    }
    tokens.push_back(static_cast<std::int32_t>(value));
  }
  return tokens;
}

/// hidden.npy or cell.npy: what the step begins with.
std::vector<float> read_carried(const CaseFile& file, const builder::Options& options, const std::string& name) {
  const NpyArray array = read_npy(file.folder() / (name + ".npy"));
  NpyArray wanted;
  wanted.shape = {options.batch, options.language.hidden};
  if (array.shape != wanted.shape || array.type != NpyType::kFloat32) {
    file.fail(name + ".npy is " + npy_descr(array.type) + " of shape " + array.shape_text() +
              ", the case needs <f4 of " + wanted.shape_text());
  }
  return array.values<float>();
}

/// The model on a device, with the case's weights.
class LanguageReplay {
 public:
  LanguageReplay(const CaseFile& file, const builder::Options& options, Device& device)
      : network_(write_language_model(file.text("model"), options)),
        memory_(device.make_state(network_->program)),
        executable_(device.compile(network_->program, {memory_, kept()})),
        state_(*network_, memory_,
               [this](std::size_t number, float* host) { executable_->read(network_->gradients[number], host); }),
        inputs_(network_->program) {
    initialise(state_, 0);
    const auto init = file.folder() / "init.safetensors";
    load_weights(state_, read_safetensors(init), init.string());
    inputs_.set(network_->step, std::uint32_t{0});
  }

  void write(const std::string& name, const std::vector<float>& values) { memory_->write(name, values.data()); }
  void set_rate(float rate) { inputs_.set(network_->rate, rate); }
  void set_widths(BitWidth forward, BitWidth gradient) {
    for (const auto& layer : network_->layers) {
      inputs_.set(layer.forward, forward);
      inputs_.set(layer.gradient, gradient);
    }
  }
  /// One step on rows of tokens, each a time step; the words that follow are one row on.
  StepResult step(const std::int32_t* tokens, std::int64_t batch) {
    inputs_.point(network_->tokens, tokens);
    inputs_.point(network_->labels, tokens + batch);
    const StepResult result = findings_of(*network_, executable_->run(inputs_));
    if (!result.non_finite.empty()) throw std::runtime_error("replayed step: " + result.non_finite + " is not finite");
    return result;
  }
  std::vector<float> logits() {
    std::vector<float> values(static_cast<std::size_t>(network_->program.spec(network_->logits).size()));
    executable_->read(network_->logits, values.data());
    return values;
  }
  NetworkState& state() { return state_; }

 private:
  std::vector<Tensor> kept() const {
    std::vector<Tensor> tensors = network_->gradients;
    tensors.push_back(network_->logits);
    return tensors;
  }
  std::unique_ptr<builder::NetworkProgram> network_;
  std::shared_ptr<State> memory_;
  std::unique_ptr<Executable> executable_;
  NetworkState state_;
  StepInputs inputs_;
};

}  // namespace

ReplayReport replay_language_step(const CaseFile& file, const ReplayPaths& paths, Device& device) {
  file.only_keys(with_model_keys({"bits", "grad_bits", "gradient_rounding", "gradients_where_min_scale_binds", "loss",
                                  "loss_tolerance", "gradient_norm_total", "absolute_tolerance",
                                  "relative_gradient_change_under_1e7_weight_noise"}));
  file.need_files({"init.safetensors", "tokens.npy", "hidden.npy", "cell.npy", "gradients.safetensors",
                   "after_forward.safetensors"});
  builder::Options options = options_of(file, file.text("gradient_rounding"));
  const BitWidth bits = width_of(file, "bits"), gradient_bits = width_of(file, "grad_bits");
  options.widest = [&](const std::string&) { return LayerWidths{bits, gradient_bits}; };
  LanguageReplay replay(file, options, device);
  const auto tokens = read_tokens(file, options, options.language.time_steps);
  for (const char* name : {"hidden", "cell"}) replay.write(name, read_carried(file, options, name));
  const TensorFile gradients = read_safetensors(file.folder() / "gradients.safetensors");
  const TensorFile statistics = read_safetensors(file.folder() / "after_forward.safetensors");
  if (paths.out_dir) make_folder(*paths.out_dir);
  replay.set_widths(bits, gradient_bits);
  const StepResult result = replay.step(tokens.data(), options.batch);

  ReplayReport report;
  report.kind = "step";
  report.gradient_rounding = "to nearest, as the case says";
  report.lines.push_back(compare_loss(file, result.loss));
  const auto computed = save_gradients(replay.state()), saved = save_state(replay.state());
  compare(file, gradients, computed, "gradient of ", relative_l2, kTolerance, report);
  compare(file, statistics, saved, "", relative_to_maximum, kTolerance, report);
  if (paths.out_dir) {
    write_tensors(*paths.out_dir, "gradient.", computed);
    write_tensors(*paths.out_dir, "", saved);
    const std::int64_t rows = options.language.time_steps * options.batch;
    write_npy(*paths.out_dir / "logits.npy", make_npy<float>({rows, options.language.vocabulary}, replay.logits()));
  }
  return report;
}

ReplayReport replay_language_trajectory(const CaseFile& file, const ReplayPaths& paths, Device& device) {
  file.only_keys(with_model_keys({"steps", "precision", "optimizer", "data", "trajectory"}));
  const CaseFile precision = file.object("precision"), optimizer = file.object("optimizer");
  precision.only_keys({"min", "max", "cycles", "gradient_bits", "gradient_rounding"});
  optimizer.only_keys({"name", "lr", "momentum", "weight_decay", "clip"});
  file.need_files({"init.safetensors", "tokens.npy", "first_update.safetensors"});
  builder::Options options = options_of(file, precision.text("gradient_rounding"));
  const std::int64_t steps = file.integer("steps", 1, kMost);
  const BitWidth min = width_of(precision, "min"), max = width_of(precision, "max"),
                 gradient_bits = width_of(precision, "gradient_bits");
  const auto schedule = make_schedule({"cyclic_cosine", min, max, precision.integer("cycles", 1, steps), steps});
  if (optimizer.text("name") != "sgd" || optimizer.number("momentum") != 0.0 ||
      optimizer.number("weight_decay") != 0.0) {
    file.fail("optimizer is not plain SGD: sgd, momentum 0, weight_decay 0");
  }
  options.sgd = builder::Options::Sgd{0.0F, 0.0F, optimizer.number("clip")};
  if (!(options.sgd->clip > 0.0)) file.fail("optimizer.clip is not above 0");
  options.widest = [&](const std::string&) { return LayerWidths{max, gradient_bits}; };
  const auto recorded = file.list("trajectory");
  if (static_cast<std::int64_t>(recorded.size()) != steps) {
    file.fail("steps is " + std::to_string(steps) + ", trajectory has " + std::to_string(recorded.size()));
  }
  LanguageReplay replay(file, options, device);
  const auto tokens = read_tokens(file, options, steps * options.language.time_steps);
  const TensorFile update = read_safetensors(file.folder() / "first_update.safetensors");
  if (paths.out_dir) make_folder(*paths.out_dir);
  replay.set_rate(static_cast<float>(optimizer.number("lr")));

  ReplayReport report;
  report.kind = "trajectory";
  report.gradient_rounding = "to nearest, as the case says";
  std::vector<double> losses;
  for (std::int64_t step = 0; step < steps; ++step) {
    const CaseFile& entry = recorded[static_cast<std::size_t>(step)];
    entry.only_keys({"step", "bits", "grad_bits", "loss", "loss_tolerance", "gradient_norm"});
    const BitWidth bits = schedule->at(step);
    std::map<std::string, std::vector<float>> before;
    if (step == 0) {
      for (auto& tensor : save_state(replay.state())) before[tensor.name] = std::move(tensor.data);
    }
    replay.set_widths(bits, gradient_bits);
    const double loss =
        replay.step(tokens.data() + step * options.language.time_steps * options.batch, options.batch).loss;
    losses.push_back(loss);
    ReplayLine line;
    line.name = "step " + std::to_string(step);
    const double expected = entry.number("loss");
    line.deviation = std::fabs(loss - expected);
    const auto tolerance = entry.tolerance("loss_tolerance", kTolerance);
    line.checked = tolerance.has_value();
    line.tolerance = tolerance.value_or(0.0);
    line.ok = line.deviation <= line.tolerance || !line.checked;
    char note[96];
    std::snprintf(note, sizeof note, "loss %.6f, recorded %.6f, %s bits", loss, expected, bits.text().c_str());
    line.note = note;
    if (entry.integer("bits") != bits.bits()) {
      line.checked = true;
      line.ok = false;
      line.note += ", recorded " + std::to_string(entry.integer("bits")) + " bits";
    }
    report.lines.push_back(std::move(line));
    if (step != 0) continue;
    std::vector<NamedTensor> changes;
    for (auto& tensor : save_state(replay.state())) {
      const auto& from = before.at(tensor.name);
      for (std::size_t e = 0; e < from.size(); ++e) tensor.data[e] -= from[e];
      changes.push_back(std::move(tensor));
    }
    compare(file, update, changes, "first update of ", relative_l2, kTolerance, report);
  }
  if (paths.out_dir) {
    write_npy(*paths.out_dir / "loss.npy", make_npy<double>({steps}, losses));
    write_tensors(*paths.out_dir, "", save_state(replay.state()));
  }
  return report;
}

}  // namespace bitcycle
