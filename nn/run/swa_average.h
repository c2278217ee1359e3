// SPDX-License-Identifier: Apache-2.0
// The sums of stochastic weight averaging (docs/numerics.md, 9.2): each in binary64, rounded to binary32 once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace bitcycle {

/// The mean of `models` points that `average` is, with one more: average (1 - q) + point q, q = 1/(models + 1).
inline float swa_average(float average, float point, std::int64_t models) {
  const double share = 1.0 / static_cast<double>(models + 1);
  return static_cast<float>(static_cast<double>(average) * (1.0 - share) + static_cast<double>(point) * share);
}

/// Running statistics as a mean of those of batches, weighted by their samples: running (1 - m) + batch m with
/// m = samples / (samples so far + samples).
class SwaStatistics {
 public:
  SwaStatistics(std::size_t size, double initial) : running_(size, initial) {}
  /// Statistics are `values` times `scale`.
  void add(const float* values, double scale, std::int64_t samples) {
    seen_ += samples;
    const double m = static_cast<double>(samples) / static_cast<double>(seen_);
    for (std::size_t i = 0; i < running_.size(); ++i) {
      running_[i] = running_[i] * (1.0 - m) + static_cast<double>(values[i]) * scale * m;
    }
  }
  std::vector<float> values() const {
    std::vector<float> result;
    for (const double value : running_) result.push_back(static_cast<float>(value));
    return result;
  }

 private:
  std::vector<double> running_;
  std::int64_t seen_ = 0;
};

}  // namespace bitcycle
