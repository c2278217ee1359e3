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
#include "nn/train/language_case.h"
#include "nn/train/step_comparison.h"
#include "sim/schedule/schedule.h"

namespace bitcycle {
namespace {

constexpr double kTolerance = 1e-3;
constexpr std::int64_t kMost = 1 << 20;

void read_optimizer(const CaseFile& optimizer, builder::Options& options) {
  if (optimizer.text("name") == "adamw") {
    optimizer.only_keys({"name", "lr", "betas", "eps", "weight_decay"});
    const auto betas = optimizer.list_of_numbers("betas");
    if (betas.size() != 2) optimizer.fail("betas are not two numbers");
    options.adamw = AdamwRule{betas[0], betas[1], optimizer.number("eps"), optimizer.number("weight_decay"), 0.0};
    return;
  }
  optimizer.only_keys({"name", "lr", "momentum", "weight_decay", "clip"});
  if (optimizer.text("name") != "sgd" || optimizer.number("momentum") != 0.0 ||
      optimizer.number("weight_decay") != 0.0) {
    optimizer.fail("the optimizer is neither adamw nor plain SGD: sgd, momentum 0, weight_decay 0");
  }
  options.sgd = builder::Options::Sgd{};
  options.sgd->clip = optimizer.number("clip");
  if (!(options.sgd->clip > 0.0)) optimizer.fail("clip is not above 0");
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
  void set_step(std::int64_t step) { inputs_.set(network_->step, static_cast<std::uint32_t>(step)); }
  void set_widths(BitWidth forward, BitWidth gradient) {
    for (const auto& layer : network_->layers) {
      inputs_.set(layer.forward, forward);
      inputs_.set(layer.gradient, gradient);
    }
  }
  StepResult step(const std::int32_t* words, const std::int32_t* labels) {
    inputs_.point(network_->tokens, words);
    inputs_.point(network_->labels, labels);
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
  file.only_keys(language_keys(
      file, {"bits", "grad_bits", "gradient_rounding", "gradients_where_min_scale_binds", "loss", "loss_tolerance",
             "gradient_norm_total", "absolute_tolerance", "relative_gradient_change_under_1e7_weight_noise"}));
  std::vector<std::string> needed{"init.safetensors", "tokens.npy", "gradients.safetensors",
                                  "after_forward.safetensors"};
  std::vector<std::string> carried;
  if (carries_state(file)) carried = {"hidden", "cell"};
  for (const auto& name : carried) needed.push_back(name + ".npy");
  file.need_files(needed);
  builder::Options options = language_options(file, file.text("gradient_rounding"));
  const BitWidth bits = case_width(file, "bits"), gradient_bits = case_width(file, "grad_bits");
  options.widest = [&](const std::string&) { return LayerWidths{bits, gradient_bits}; };
  LanguageReplay replay(file, options, device);
  const CaseTokens tokens(file, options, 1);
  for (const auto& name : carried) replay.write(name, read_carried(file, options, name));
  const TensorFile gradients = read_safetensors(file.folder() / "gradients.safetensors");
  const TensorFile statistics = read_safetensors(file.folder() / "after_forward.safetensors");
  if (paths.out_dir) make_folder(*paths.out_dir);
  replay.set_widths(bits, gradient_bits);
  const StepResult result = replay.step(tokens.words(0), tokens.labels(0));

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
    const std::vector<float> logits = replay.logits();  // of an adaptive softmax: the head's
    const std::int64_t classes = static_cast<std::int64_t>(logits.size()) / rows;
    write_npy(*paths.out_dir / "logits.npy", make_npy<float>({rows, classes}, logits));
  }
  return report;
}

ReplayReport replay_language_trajectory(const CaseFile& file, const ReplayPaths& paths, Device& device) {
  file.only_keys(language_keys(file, {"steps", "precision", "optimizer", "data", "trajectory"}));
  const CaseFile precision = file.object("precision"), optimizer = file.object("optimizer");
  precision.only_keys({"min", "max", "cycles", "gradient_bits", "gradient_rounding"});
  std::vector<std::string> needed{"init.safetensors", "tokens.npy"};
  if (carries_state(file)) needed.push_back("first_update.safetensors");
  file.need_files(needed);
  builder::Options options = language_options(file, precision.text("gradient_rounding"));
  const std::int64_t steps = file.integer("steps", 1, kMost);
  const BitWidth min = case_width(precision, "min"), max = case_width(precision, "max"),
                 gradient_bits = case_width(precision, "gradient_bits");
  const auto schedule = make_schedule({"cyclic_cosine", min, max, precision.integer("cycles", 1, steps), steps});
  read_optimizer(optimizer, options);
  options.widest = [&](const std::string&) { return LayerWidths{max, gradient_bits}; };
  const auto recorded = file.list("trajectory");
  if (static_cast<std::int64_t>(recorded.size()) != steps) {
    file.fail("steps is " + std::to_string(steps) + ", trajectory has " + std::to_string(recorded.size()));
  }
  LanguageReplay replay(file, options, device);
  const CaseTokens tokens(file, options, steps);
  // A step of AdamW moves by the gradient's sign, which is noise where the gradient is: nothing to compare.
  TensorFile update;
  if (carries_state(file)) update = read_safetensors(file.folder() / "first_update.safetensors");
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
    replay.set_step(step);
    const double loss = replay.step(tokens.words(step), tokens.labels(step)).loss;
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
    if (step != 0 || update.tensors.empty()) continue;
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
