// SPDX-License-Identifier: Apache-2.0
#include "nn/train/step_comparison.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "nn/io/npy.h"

namespace bitcycle {
namespace {

constexpr double kLossTolerance = 1e-3;
constexpr const char* kAbsolute = "of the difference itself";
constexpr std::int64_t kMostSamples = 1 << 30;

/// |a - b| in the L2 norm.
double l2(const std::vector<float>& a, const std::vector<float>& b) {
  double sum = 0.0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const double d = static_cast<double>(a[i]) - static_cast<double>(b[i]);
    sum += d * d;
  }
  return std::sqrt(sum);
}

std::string decimal(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.6f", value);
  return text;
}

}  // namespace

double relative_l2(const std::vector<float>& a, const std::vector<float>& b) {
  const double norm = l2(b, std::vector<float>(b.size()));
  return norm > 0.0 ? l2(a, b) / norm : l2(a, b);
}

double relative_to_maximum(const std::vector<float>& a, const std::vector<float>& b) {
  double difference = 0.0, largest = 0.0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    difference = std::max(difference, std::fabs(static_cast<double>(a[i]) - static_cast<double>(b[i])));
    largest = std::max(largest, std::fabs(static_cast<double>(b[i])));
  }
  return largest > 0.0 ? difference / largest : difference;
}

ReplayLine compare_loss(const CaseFile& file, double computed) {
  const double recorded = file.number("loss");
  ReplayLine loss;
  loss.name = "loss";
  loss.deviation = std::fabs(computed - recorded);
  const auto tolerance = file.tolerance("loss_tolerance", kLossTolerance);
  loss.checked = tolerance.has_value();
  loss.tolerance = tolerance.value_or(0.0);
  loss.ok = loss.deviation <= loss.tolerance || !loss.checked;
  loss.note = decimal(computed) + ", recorded " + decimal(recorded);
  return loss;
}

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

Sampling::Sampling(const CaseFile& file, const std::vector<NamedTensor>& computed) {
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

std::vector<NamedTensor> Sampling::samples(const std::vector<NamedTensor>& computed) const {
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

void Sampling::compare_norms(const TensorFile& recorded, ReplayReport& report, std::size_t line) const {
  for (const auto& tensor : recorded.tensors) {
    ReplayLine& of = report.lines.at(line++);
    const auto deviation = norm_deviation_.find(tensor.name);
    if (deviation == norm_deviation_.end() || !of.checked || of.tolerance <= 0.0 || of.note == kAbsolute) continue;
    of.deviation = std::max(of.deviation, deviation->second);
    of.ok = of.deviation <= of.tolerance;
  }
}

void write_tensors(const std::filesystem::path& folder, const std::string& prefix,
                   const std::vector<NamedTensor>& tensors) {
  for (const auto& tensor : tensors) {
    if (tensor.name.find('/') != std::string::npos) continue;  // momenta: zero before the first update
    write_npy(folder / (prefix + tensor.name + ".npy"), make_npy<float>(tensor.shape, tensor.data));
  }
}

}  // namespace bitcycle
