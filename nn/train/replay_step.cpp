// SPDX-License-Identifier: Apache-2.0
#include <stdexcept>

#include "nn/io/atomic_file.h"
#include "nn/io/layout.h"
#include "nn/io/npy.h"
#include "nn/io/safetensors.h"
#include "nn/models/model.h"
#include "nn/models/state.h"
#include "nn/run/findings.h"
#include "nn/run/network_state.h"
#include "nn/train/generated_weights.h"
#include "nn/train/replay_network.h"
#include "nn/train/step_comparison.h"

namespace bitcycle {
namespace {

constexpr double kStatisticTolerance = 1e-3;
constexpr std::int64_t kMostImages = 1 << 16, kMostClasses = 1 << 16, kMostPixels = 1 << 12;

std::vector<std::int32_t> read_labels(const CaseFile& file, std::int64_t batch, std::int64_t classes) {
  const NpyArray array = read_npy(file.folder() / "labels.npy");
  const auto values = array.values<std::int64_t>();
  if (static_cast<std::int64_t>(values.size()) != batch) {
    file.fail("labels.npy holds " + std::to_string(values.size()) + " labels, batch is " + std::to_string(batch));
  }
  std::vector<std::int32_t> labels;
  for (const auto value : values) {
    if (value < 0 || value >= classes) file.fail("labels.npy holds label " + std::to_string(value));
    labels.push_back(static_cast<std::int32_t>(value));
  }
  return labels;
}

std::vector<float> read_images(const CaseFile& file, const builder::NetworkProgram& network, std::int64_t batch) {
  const NpyArray array = read_npy(file.folder() / "x.npy");
  const std::int64_t c = network.image_c, h = network.image_h, w = network.image_w;
  if (array.shape != std::vector<std::int64_t>{batch, c, h, w}) {
    file.fail("x.npy is " + array.shape_text() + ", the case needs (" + std::to_string(batch) + ", " +
              std::to_string(c) + ", " + std::to_string(h) + ", " + std::to_string(w) + ")");
  }
  return channels_last(array.values<float>(), c, h * w);
}

}  // namespace

ReplayReport replay_step(const CaseFile& file, const ReplayPaths& paths, Device& device) {
  file.only_keys({"kind",
                  "model",
                  "classes",
                  "batch",
                  "bits",
                  "grad_bits",
                  "gradient_rounding",
                  "error_weights",
                  "error_grid_bits",
                  "loss",
                  "loss_tolerance",
                  "tolerance",
                  "absolute_tolerance",
                  "comment",
                  "relative_gradient_change_under_1e7_weight_noise",
                  "gradient_norm_total",
                  "gradients_where_min_scale_binds",
                  "input",
                  "min_scale",
                  "gradients",
                  "sample",
                  "gradient_norm",
                  "init"});
  const auto width = [&](const char* key) {
    return BitWidth::integer(static_cast<int>(file.integer(key, BitWidth::kMinBits, BitWidth::kMaxBits)));
  };
  const std::int64_t batch = file.integer("batch", 1, kMostImages);
  const std::int64_t classes = file.integer("classes", 1, kMostClasses);
  const BitWidth bits = width("bits");
  const BitWidth gradient_bits = width("grad_bits");
  const std::string rounding = file.text("gradient_rounding");
  const std::string error_weights = file.text("error_weights");
  if (rounding != "nearest")
    file.fail("gradient_rounding is '" + rounding + "'; a step can be replayed with 'nearest'");
  if (error_weights != "shared" && error_weights != "requantised") {
    file.fail("error_weights is '" + error_weights + "': shared or requantised");
  }

  const std::int64_t grid_bits = file.optional_integer("error_grid_bits").value_or(16);
  if (grid_bits != 16 && grid_bits != 24) {
    file.fail("error_grid_bits is " + std::to_string(grid_bits) + "; the grids have 16 or 24 bits");
  }
  const bool generated = file.has("init");
  std::vector<std::string> needed{"x.npy", "labels.npy", "gradients.safetensors", "after_forward.safetensors"};
  if (!generated) needed.insert(needed.begin(), "init.safetensors");
  file.need_files(needed);

  builder::Options options;
  options.batch = batch;
  options.widest = [&](const std::string&) { return LayerWidths{bits, gradient_bits}; };
  options.quantisation.stochastic = false;
  options.quantisation.error_weights = error_weights == "shared" ? ErrorWeights::kShared : ErrorWeights::kRequantised;
  options.quantisation.error_grid_bits = static_cast<int>(grid_bits);
  if (file.has("min_scale")) options.quantisation.min_scale.narrow = static_cast<float>(file.number("min_scale"));
  if (file.has("input")) {
    const auto input = file.integers("input");
    if (input.size() != 3 || input[1] < 1 || input[1] > kMostPixels)
      file.fail("input is not [channels, height, width]");
    options.image_size = input[1];
  }
  const auto network = write_model(file.text("model"), classes, options);
  std::vector<Tensor> kept = network->gradients;
  kept.push_back(network->logits);
  const auto memory = device.make_state(network->program);
  const auto executable = device.compile(network->program, {memory, kept});
  NetworkState state(*network, memory,
                     [&](std::size_t number, float* host) { executable->read(network->gradients[number], host); });
  const auto init = file.folder() / "init.safetensors";
  initialise(state, 0);
  load_weights(state, generated ? generated_weights(file) : read_safetensors(init),
               generated ? file.folder().string() : init.string());
  const auto labels = read_labels(file, batch, classes);
  const auto x = read_images(file, *network, batch);
  const TensorFile gradients = read_safetensors(file.folder() / "gradients.safetensors");
  const TensorFile statistics = read_safetensors(file.folder() / "after_forward.safetensors");

  if (paths.out_dir) make_folder(*paths.out_dir);

  StepInputs inputs(network->program);
  inputs.point(network->images, x.data());
  inputs.point(network->labels, labels.data());
  inputs.set(network->step, std::uint32_t{0});
  for (const auto& layer : network->layers) {
    inputs.set(layer.forward, bits);
    inputs.set(layer.gradient, gradient_bits);
  }
  const StepResult result = findings_of(*network, executable->run(inputs));
  if (!result.non_finite.empty()) throw std::runtime_error("replayed step: " + result.non_finite + " is not finite");

  ReplayReport report;
  report.kind = "step";
  report.gradient_rounding = "to nearest, as the case says";
  report.lines.push_back(compare_loss(file, result.loss));
  const bool wide = bits.bits() >= 16 && gradient_bits.bits() >= 16;
  const auto computed = save_gradients(state);
  const Sampling sampling(file, computed);
  const auto saved = save_state(state);
  const std::size_t first = report.lines.size();
  compare(file, gradients, sampling.samples(computed), "gradient of ", relative_l2, wide ? 3e-2 : 2e-1, report);
  sampling.compare_norms(gradients, report, first);
  compare(file, statistics, saved, "", relative_to_maximum, kStatisticTolerance, report);

  if (paths.out_dir) {
    write_tensors(*paths.out_dir, "gradient.", computed);
    write_tensors(*paths.out_dir, "", saved);
    std::vector<float> logits(static_cast<std::size_t>(batch * classes));
    executable->read(network->logits, logits.data());
    write_npy(*paths.out_dir / "logits.npy", make_npy<float>({batch, classes}, logits));
  }
  return report;
}

}  // namespace bitcycle
