// SPDX-License-Identifier: Apache-2.0
// The built-in images and the batches made of any set.
#include "nn/data/dataset.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <set>

#include "nn/data/synthetic.h"
#include "nn/data/whole_batch.h"
#include "sim/number/digest.h"

namespace bitcycle {
namespace {

TEST(Synthetic, IsTheSameSetEverywhere) {
  const ImageSet set = draw_synthetic(200, false);
  EXPECT_EQ(to_text(digest_of(set.pixels.data(), set.pixels.size())), "c12bd94f5cf7cd2c6d6b2e17100d7184");
  const ImageSet test = draw_synthetic(200, true);
  EXPECT_NE(set.pixels, test.pixels);
  EXPECT_EQ(set.labels, test.labels) << "both go through the classes in turn";
}

TEST(Synthetic, NoPixelsMeanDependsOnTheClass) {
  const ImageSet set = draw_synthetic(4000, false);
  double mean[10] = {};
  for (std::size_t i = 0; i < 4000; ++i) {
    for (std::size_t p = 0; p < 3072; ++p) mean[set.labels[i]] += set.pixels[i * 3072 + p];
  }
  for (double& m : mean) m /= 400.0 * 3072.0;
  for (const double m : mean) EXPECT_NEAR(m, 127.5, 6.0);
}

/// Softmax regression on the pixels, by plain gradient descent: what a model without layers can do.
TEST(Synthetic, ALinearModelStaysBelowSixtyPercent) {
  Dataset dataset;
  dataset.train = draw_synthetic(3000, false);
  dataset.test = draw_synthetic(1000, true);
  dataset.mean = {0.5F, 0.5F, 0.5F};
  dataset.deviation = {0.2F, 0.2F, 0.2F};
  BatchLoader loader(dataset, 100, 1, false, true);
  std::vector<float> x(100 * 3072), w(10 * 3072);
  std::vector<std::int32_t> labels(100);
  const auto score = [&](const float* image, std::size_t label) {
    float sum = 0.0F;
    for (std::size_t e = 0; e < 3072; ++e) sum += w[label * 3072 + e] * image[e];
    return sum;
  };
  for (int step = 0; step < 300; ++step) {  // ten epochs
    loader.training_batch(step, x.data(), labels.data());
    for (std::size_t i = 0; i < 100; ++i) {
      const float* image = x.data() + i * 3072;
      float p[10], largest = -1e30F, sum = 0.0F;
      for (std::size_t k = 0; k < 10; ++k) largest = std::max(largest, p[k] = score(image, k));
      for (float& v : p) sum += v = std::exp(v - largest);
      for (std::size_t k = 0; k < 10; ++k) {
        const float gradient = p[k] / sum - (labels[i] == static_cast<std::int32_t>(k) ? 1.0F : 0.0F);
        for (std::size_t e = 0; e < 3072; ++e) w[k * 3072 + e] -= 2e-4F * gradient * image[e];
      }
    }
  }
  int correct[2] = {0, 0};
  for (int set = 0; set < 2; ++set) {
    for (std::int64_t first = 0; first < 1000; first += 100) {
      if (set == 0) {
        loader.training_batch(first / 100, x.data(), labels.data());
      } else {
        loader.test_batch(first, 100, x.data(), labels.data());
      }
      for (std::size_t i = 0; i < 100; ++i) {
        std::size_t best = 0;
        for (std::size_t k = 1; k < 10; ++k) {
          if (score(x.data() + i * 3072, k) > score(x.data() + i * 3072, best)) best = k;
        }
        correct[set] += labels[i] == static_cast<std::int32_t>(best) ? 1 : 0;
      }
    }
  }
  EXPECT_GT(correct[0], 200) << "of 1000: the regression itself learns its training images";
  EXPECT_LT(correct[1], 600) << "of 1000";
  RecordProperty("linear_test_accuracy_of_1000", correct[1]);
  std::printf("linear model: %.1f %% of training, %.1f %% of test images\n", correct[0] / 10.0, correct[1] / 10.0);
}

TEST(BatchLoader, IsAPureFunctionOfTheStepAndSeesEveryImageOnceAnEpoch) {
  Dataset dataset;
  dataset.train = draw_synthetic(70, false);
  for (std::size_t i = 0; i < 70; ++i) dataset.train.labels[i] = static_cast<std::int32_t>(i);
  dataset.test = draw_synthetic(10, true);
  BatchLoader forward(dataset, 32, 5, true, true), backward(dataset, 32, 5, true, true);
  std::vector<float> x(32 * 3072), y(32 * 3072);
  std::vector<std::int32_t> labels(32), again(32);
  std::vector<std::vector<float>> seen;
  std::multiset<std::int32_t> epoch;
  for (int step = 0; step < 35; ++step) {  // 35 * 32 = 16 epochs of 70
    forward.training_batch(step, x.data(), labels.data());
    seen.push_back(x);
    for (const auto label : labels) epoch.insert(label);
  }
  for (int label = 0; label < 70; ++label) EXPECT_EQ(epoch.count(label), 16U);
  for (int step = 34; step >= 0; --step) {
    backward.training_batch(step, y.data(), again.data());
    EXPECT_EQ(y, seen[static_cast<std::size_t>(step)]) << step;
  }
  EXPECT_EQ(forward.epoch_of(0), 0);
  EXPECT_EQ(forward.epoch_of(3), 1);
}

TEST(WholeBatch, ABatchLargerThanTheTrainingSetIsRefusedByName) {
  Dataset dataset;
  dataset.name = "few";
  dataset.train = draw_synthetic(10, false);
  EXPECT_NO_THROW(require_whole_batch(dataset, 10));
  try {
    require_whole_batch(dataset, 11);
    FAIL() << "a batch that holds an image twice";
  } catch (const std::invalid_argument& error) {
    EXPECT_STREQ(error.what(),
                 "train.batch is 11, but the training set 'few' has 10 images; a batch may not hold an image twice: "
                 "give train.batch 10 or less");
  }
}

TEST(BatchLoader, NormalisesAndLeavesTestImagesAsTheyAre) {
  Dataset dataset;
  dataset.train = draw_synthetic(10, false);
  dataset.test = draw_synthetic(10, true);
  dataset.mean = {0.5F, 0.25F, 0.125F};
  dataset.deviation = {0.5F, 0.25F, 1.0F};
  const BatchLoader loader(dataset, 4, 1, true, true);
  std::vector<float> x(2 * 3072);
  std::vector<std::int32_t> labels(2);
  loader.test_batch(7, 2, x.data(), labels.data());
  EXPECT_EQ(labels, (std::vector<std::int32_t>{7, 8}));
  for (std::size_t e = 0; e < x.size(); ++e) {
    const float unit = static_cast<float>(dataset.test.pixels[7 * 3072 + e]) / 255.0F;
    EXPECT_EQ(x[e], (unit - dataset.mean[e % 3]) / dataset.deviation[e % 3]);
  }
}

TEST(Cifar, RealFilesAreReadAndKnown) {
  const char* folder = std::getenv("BITCYCLE_DATA");
  if (folder == nullptr || !std::filesystem::exists(std::filesystem::path(folder) / "cifar-10-batches-bin")) {
    GTEST_SKIP() << "no real data: set BITCYCLE_DATA to a folder with cifar-10-batches-bin";
  }
  const Dataset dataset = load_dataset({.name = "cifar10", .path = folder}, 10);
  EXPECT_EQ(dataset.train.count, 50000);
  EXPECT_EQ(dataset.test.count, 10000);
  for (const auto& warning : dataset.warnings) EXPECT_NE(warning.find("test_batch"), std::string::npos) << warning;
}

}  // namespace
}  // namespace bitcycle
