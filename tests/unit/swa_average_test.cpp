// SPDX-License-Identifier: Apache-2.0
// Averages and statistics of stochastic weight averaging against a recorded case.
#include "nn/run/swa_average.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "nn/io/npy.h"
#include "tests/golden/source_paths.h"

namespace bitcycle {
namespace {

NpyArray recorded(const std::string& name) {
  return read_npy(test::golden_path("/averaging/swa_average/" + name + ".npy"));
}
template <typename T>
std::vector<T> values_of(const std::string& name) {
  return recorded(name).values<T>();
}

/// Largest difference over the largest recorded value.
double deviation(const std::vector<float>& actual, const std::vector<double>& expected) {
  double largest = 0.0, difference = 0.0;
  EXPECT_EQ(actual.size(), expected.size());
  for (std::size_t i = 0; i < expected.size(); ++i) {
    largest = std::max(largest, std::abs(expected[i]));
    difference = std::max(difference, std::abs(static_cast<double>(actual[i]) - expected[i]));
  }
  return difference / largest;
}

TEST(SwaAverage, IsTheRecordedMeanOfPoints) {
  const auto points = values_of<float>("points");
  const auto expected = values_of<double>("average");
  std::vector<float> average(expected.size());
  for (std::size_t k = 0; k * average.size() < points.size(); ++k) {
    for (std::size_t i = 0; i < average.size(); ++i) {
      average[i] = swa_average(average[i], points[k * average.size() + i], static_cast<std::int64_t>(k));
    }
  }
  EXPECT_LE(deviation(average, expected), 1e-6);
}

TEST(SwaAverage, StatisticsAreTheRecordedMeansOverBatches) {
  const auto sizes = values_of<std::int64_t>("batch_sizes");
  const auto means = values_of<float>("batch_means"), variances = values_of<float>("batch_variances");
  const std::size_t channels = means.size() / sizes.size();
  SwaStatistics mean(channels, 0.0), variance(channels, 1.0);
  for (std::size_t k = 0; k < sizes.size(); ++k) {
    mean.add(means.data() + k * channels, 1.0, sizes[k]);
    variance.add(variances.data() + k * channels, 1.0, sizes[k]);
  }
  EXPECT_LE(deviation(mean.values(), values_of<double>("running_mean")), 1e-6);
  EXPECT_LE(deviation(variance.values(), values_of<double>("running_var")), 1e-6);
}

}  // namespace
}  // namespace bitcycle
