// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <cstdio>
#include <stdexcept>

#include "nn/data/dataset.h"
#include "nn/io/atomic_file.h"
#include "nn/io/npy.h"
#include "nn/io/safetensors.h"
#include "nn/models/state.h"
#include "nn/run/network_run.h"
#include "nn/train/replay_network.h"

namespace bitcycle {
namespace {

constexpr double kFirstTolerance = 1e-3;
constexpr double kEarlyTolerance = 2e-2;
constexpr std::int64_t kCheckedSteps = 4;

Config trajectory_config(const CaseFile& file, const std::filesystem::path& data_dir) {
  const auto integer = [&](const std::string& key) { return file.integer(key, 1, 1 << 24); };
  Config config;
  config.name = "trajectory";
  config.model.name = file.text("model");
  config.model.classes = integer("classes");
  config.data.name = "cifar10";
  config.data.path = data_dir.string();
  config.data.augment = false;
  config.data.shuffle = false;
  config.train.steps = integer("steps");
  config.train.batch = integer("batch");
  const auto bits = [&](const std::string& key) {
    return BitWidth::integer(static_cast<int>(file.integer(key, BitWidth::kMinBits, BitWidth::kMaxBits)));
  };
  config.precision.forward = {"cyclic_cosine", bits("precision.min"), bits("precision.max"),
                              integer("precision.cycles"), config.train.steps};
  const BitWidth gradient = bits("precision.gradient_bits");
  config.precision.gradient = {"constant", gradient, gradient, 1, config.train.steps};
  const std::string rounding = file.text("precision.gradient_rounding");
  if (rounding != "nearest" && rounding != "stochastic") file.fail("precision.gradient_rounding is '" + rounding + "'");
  config.precision.stochastic = rounding == "stochastic";
  config.optimizer.lr = file.number("optimizer.lr");
  config.optimizer.momentum = file.number("optimizer.momentum");
  config.optimizer.weight_decay = file.number("optimizer.weight_decay");
  config.learning_rate = {};
  config.learning_rate.schedule = "constant";
  config.learning_rate.lr = config.optimizer.lr;
  config.learning_rate.steps = config.train.steps;
  return config;
}

std::string note(double loss, double recorded, BitWidth bits) {
  char text[96];
  std::snprintf(text, sizeof text, "loss %.6f, recorded %.6f, %s bits", loss, recorded, bits.text().c_str());
  return text;
}

}  // namespace

ReplayReport replay_trajectory(const CaseFile& file, const ReplayPaths& paths, Device& device) {
  file.only_keys(
      {"kind", "model", "classes", "batch", "steps", "precision", "optimizer", "data", "trajectory", "comment"});
  file.object("precision").only_keys({"min", "max", "cycles", "gradient_bits", "gradient_rounding"});
  file.object("optimizer").only_keys({"name", "lr", "momentum", "weight_decay"});
  if (!paths.data_dir) {
    file.fail("a trajectory trains on CIFAR-10, data_batch_1.bin: say with --data DIR where its binary files are");
  }
  const Config config = trajectory_config(file, *paths.data_dir);
  const auto recorded = file.list("trajectory");
  if (static_cast<std::int64_t>(recorded.size()) != config.train.steps) {
    file.fail("steps is " + std::to_string(config.train.steps) + ", trajectory has " + std::to_string(recorded.size()));
  }
  for (const auto& entry : recorded) {
    entry.only_keys({"step", "bits", "grad_bits", "loss", "loss_tolerance", "grad_norm_conv1", "grad_norm_fc"});
  }
  file.need_files({"init.safetensors"});
  const auto init = file.folder() / "init.safetensors";
  const TensorFile weights = read_safetensors(init);
  const Dataset dataset = load_dataset(config.data, config.model.classes);
  NetworkRun run(config, dataset, device);
  initialise(run.state(), config.train.seed);
  load_weights(run.state(), weights, init.string());

  if (paths.out_dir) make_folder(*paths.out_dir);

  ReplayReport report;
  report.kind = "trajectory";
  report.gradient_rounding = config.precision.stochastic ? "with noise of the generator (docs/numerics.md), seed " +
                                                               std::to_string(config.train.seed)
                                                         : "to nearest, as the case says";
  std::vector<double> losses;
  for (std::int64_t step = 0; step < config.train.steps; ++step) {
    const CaseFile& entry = recorded[static_cast<std::size_t>(step)];
    const BitWidth bits = run.plan().at(step).forward;
    const double expected = entry.number("loss");
    const double loss = run.step(step).loss;
    losses.push_back(loss);
    ReplayLine line;
    line.name = "step " + std::to_string(step);
    line.deviation = std::fabs(loss - expected);
    const double fallback = step == 0 ? kFirstTolerance : kEarlyTolerance;
    auto tolerance = entry.tolerance("loss_tolerance", fallback);
    if (step >= kCheckedSteps && !entry.has("loss_tolerance")) tolerance.reset();
    line.checked = tolerance.has_value();
    line.tolerance = tolerance.value_or(0.0);
    line.ok = line.deviation <= line.tolerance || !line.checked;
    line.note = note(loss, expected, bits);
    if (entry.integer("bits") != bits.bits()) {
      line.checked = true;
      line.ok = false;
      line.note += ", recorded " + std::to_string(entry.integer("bits")) + " bits";
    }
    report.lines.push_back(std::move(line));
  }
  if (paths.out_dir) {
    write_npy(*paths.out_dir / "loss.npy", make_npy<double>({config.train.steps}, losses));
    for (const auto& tensor : save_state(run.state())) {
      std::string name = tensor.name;
      for (auto& c : name) c = c == '/' ? '.' : c;
      write_npy(*paths.out_dir / (name + ".npy"), make_npy<float>(tensor.shape, tensor.data));
    }
  }
  return report;
}

}  // namespace bitcycle
