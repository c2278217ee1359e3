// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <map>
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

namespace bitcycle {
namespace {

constexpr double kLossTolerance = 1e-3;
constexpr double kStatisticTolerance = 1e-3;
constexpr const char* kAbsolute = "of the difference itself";
constexpr std::int64_t kMostImages = 1 << 16, kMostClasses = 1 << 16, kMostPixels = 1 << 12;

/// |a - b| in the L2 norm.
double l2(const std::vector<float>& a, const std::vector<float>& b) {
  double sum = 0.0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const double d = static_cast<double>(a[i]) - static_cast<double>(b[i]);
    sum += d * d;
  }
  return std::sqrt(sum);
}

/// |a - b| / |b| in the L2 norm, the magnitude itself where b is 0.
double relative_l2(const std::vector<float>& a, const std::vector<float>& b) {
  const double norm = l2(b, std::vector<float>(b.size()));
  return norm > 0.0 ? l2(a, b) / norm : l2(a, b);
}

/// max|a - b| / max|b|.
double relative_to_maximum(const std::vector<float>& a, const std::vector<float>& b) {
  double difference = 0.0, largest = 0.0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    difference = std::max(difference, std::fabs(static_cast<double>(a[i]) - static_cast<double>(b[i])));
    largest = std::max(largest, std::fabs(static_cast<double>(b[i])));
  }
  return largest > 0.0 ? difference / largest : difference;
}

std::string decimal(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.6f", value);
  return text;
}

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

using Deviation = double (*)(const std::vector<float>&, const std::vector<float>&);

/// One line a tensor of `recorded`; `prefix` and its name name the line. Where the case has a `tolerance` of the
/// tensor, it bounds the relative L2 error; where that is null, its `absolute_tolerance` bounds the error itself, if it
/// has one. Else `deviation` and `tolerance` decide.
void compare(const CaseFile& file, const TensorFile& recorded, const std::vector<NamedTensor>& computed,
             const std::string& prefix, Deviation deviation, double tolerance, ReplayReport& report) {
  std::map<std::string, const NamedTensor*> by_name;
  for (const auto& tensor : computed) by_name[tensor.name] = &tensor;
  const auto relative = file.tolerances("tolerance"), absolute = file.tolerances("absolute_tolerance");
  for (const auto& tensor : recorded.tensors) {
    const auto found = by_name.find(tensor.name);
    if (found == by_name.end()) file.fail("it records '" + tensor.name + "', which the model does not have");
    if (found->second->shape != tensor.shape) file.fail("it records '" + tensor.name + "' with another shape");
    ReplayLine line;
    line.name = prefix + tensor.name;
    Deviation measure = deviation;
    line.tolerance = tolerance;
    if (const auto given = relative.find(tensor.name); given != relative.end()) {
      const auto bound = absolute.find(tensor.name);
      const bool is_relative = given->second.has_value();
      measure = is_relative ? relative_l2 : l2;
      line.checked = is_relative || (bound != absolute.end() && bound->second);
      line.tolerance = is_relative ? *given->second : (line.checked ? *bound->second : 0.0);
      if (!is_relative && line.checked) line.note = kAbsolute;
    }
    line.deviation = measure(found->second->data, tensor.data);
    line.ok = line.deviation <= line.tolerance || !line.checked;
    report.lines.push_back(std::move(line));
  }
}

/// Gradients of large networks are recorded as some of their elements, and the norm of all.
class Sampling {
 public:
  Sampling(const CaseFile& file, const std::vector<NamedTensor>& computed) {
    if (!file.has("gradients")) return;
    if (file.text("gradients") != "sampled") file.fail("gradients is '" + file.text("gradients") + "'; sampled");
    size_ = file.integer("sample.size", 1, kMostSamples);
    step_ = file.integer("sample.step", 1, kMostSamples);
    const auto norms = file.numbers("gradient_norm");
    for (const auto& tensor : computed) {
      const auto recorded = norms.find(tensor.name);
      if (recorded == norms.end() || !(recorded->second > 0.0)) continue;
      const double norm = l2(tensor.data, std::vector<float>(tensor.data.size()));
      norm_deviation_[tensor.name] = std::fabs(norm - recorded->second) / recorded->second;
    }
  }
  /// Elements (i * step) mod n, i = 0 .. size-1, of tensors of more than `size`, as vectors.
  std::vector<NamedTensor> samples(const std::vector<NamedTensor>& computed) const {
    if (size_ == 0) return computed;
    std::vector<NamedTensor> samples;
    for (const auto& tensor : computed) {
      NamedTensor sample{tensor.name, {}, {}};
      const auto n = static_cast<std::int64_t>(tensor.data.size());
      for (std::int64_t i = 0; i < std::min(size_, n); ++i) {
        sample.data.push_back(tensor.data[static_cast<std::size_t>(n <= size_ ? i : i * step_ % n)]);
      }
      sample.shape = {static_cast<std::int64_t>(sample.data.size())};
      samples.push_back(std::move(sample));
    }
    return samples;
  }
  /// The norm of the whole gradient is as near as the samples are.
  void compare_norms(const TensorFile& recorded, ReplayReport& report, std::size_t line) const {
    for (const auto& tensor : recorded.tensors) {
      ReplayLine& of = report.lines.at(line++);
      const auto deviation = norm_deviation_.find(tensor.name);
      if (deviation == norm_deviation_.end() || !of.checked || of.tolerance <= 0.0 || of.note == kAbsolute) continue;
      of.deviation = std::max(of.deviation, deviation->second);
      of.ok = of.deviation <= of.tolerance;
    }
  }

 private:
  static constexpr std::int64_t kMostSamples = 1 << 30;
  std::int64_t size_ = 0, step_ = 1;
  std::map<std::string, double> norm_deviation_;
};

void write_tensors(const std::filesystem::path& folder, const std::string& prefix,
                   const std::vector<NamedTensor>& tensors) {
  for (const auto& tensor : tensors) {
    if (tensor.name.find('/') != std::string::npos) continue;  // momenta: zero before the first update
    write_npy(folder / (prefix + tensor.name + ".npy"), make_npy<float>(tensor.shape, tensor.data));
  }
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
  const double recorded_loss = file.number("loss");
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
  ReplayLine loss;
  loss.name = "loss";
  loss.deviation = std::fabs(result.loss - recorded_loss);
  const auto loss_tolerance = file.tolerance("loss_tolerance", kLossTolerance);
  loss.checked = loss_tolerance.has_value();
  loss.tolerance = loss_tolerance.value_or(0.0);
  loss.ok = loss.deviation <= loss.tolerance || !loss.checked;
  loss.note = decimal(result.loss) + ", recorded " + decimal(recorded_loss);
  report.lines.push_back(loss);
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
