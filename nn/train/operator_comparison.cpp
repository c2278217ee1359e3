// SPDX-License-Identifier: Apache-2.0
#include "nn/train/operator_comparison.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>

namespace bitcycle {
namespace {

/// Largest |computed - recorded|, over the largest |recorded| where `relative` and that is not 0.
double largest_deviation(const std::vector<double>& recorded, const std::vector<double>& computed, bool relative) {
  double deviation = 0.0, magnitude = 0.0;
  for (std::size_t e = 0; e < recorded.size(); ++e) {
    const double difference = std::fabs(computed[e] - recorded[e]);
    // A NaN in either is a deviation that no tolerance meets.
    deviation = difference <= deviation ? deviation : (std::isnan(difference) ? INFINITY : difference);
    magnitude = std::max(magnitude, std::fabs(recorded[e]));
  }
  return relative && magnitude > 0.0 ? deviation / magnitude : deviation;
}

}  // namespace

ReplayLine compare_array(const std::filesystem::path& folder, const RecordedArray& recorded, const NpyArray& computed,
                         const std::string& name, double tolerance) {
  if (recorded.array.shape != computed.shape) {
    throw std::runtime_error((folder / (recorded.name + ".npy")).string() + ": shape " + recorded.array.shape_text() +
                             "; the operands make " + computed.shape_text());
  }
  ReplayLine line;
  line.name = name;
  line.tolerance = tolerance;
  const std::vector<double> a = recorded.array.as_doubles();
  const std::vector<double> b = computed.as_doubles();
  line.deviation = largest_deviation(a, b, !recorded.exact);
  line.ok = line.deviation <= tolerance;
  if (recorded.exact) {
    std::size_t different = 0;
    for (std::size_t e = 0; e < a.size(); ++e) different += a[e] != b[e] || std::signbit(a[e]) != std::signbit(b[e]);
    line.ok = different == 0;
    line.note = line.ok ? "equal bits" : std::to_string(different) + " of " + std::to_string(a.size()) + " differ";
  }
  return line;
}

}  // namespace bitcycle
