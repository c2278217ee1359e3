// SPDX-License-Identifier: Apache-2.0
// The built-in images and the batches made of any set.
#include "nn/data/dataset.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <set>

#include "nn/data/synthetic.h"
#include "sim/number/digest.h"

namespace bitcycle {
namespace {

TEST(Synthetic, IsTheSameSetEverywhere) {
  const ImageSet set = draw_synthetic(200, false);
  EXPECT_EQ(to_text(digest_of(set.pixels.data(), set.pixels.size())), "@synthetic@");
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
  const Dataset dataset = load_dataset({"cifar10", folder}, 10);
  EXPECT_EQ(dataset.train.count, 50000);
  EXPECT_EQ(dataset.test.count, 10000);
  for (const auto& warning : dataset.warnings) EXPECT_NE(warning.find("test_batch"), std::string::npos) << warning;
}

}  // namespace
}  // namespace bitcycle
