// SPDX-License-Identifier: Apache-2.0
// Image folders: which files count, how classes are numbered, what is refused; crops; batches that are made ahead.
#include "nn/data/image_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "nn/data/batch_stream.h"
#include "nn/data/crop.h"
#include "nn/data/dataset.h"
#include "nn/data/folder_source.h"
#include "sim/number/digest.h"
#include "tests/golden/photographs.h"
#include "tests/golden/temporary_folder.h"

namespace bitcycle {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string refusal(const fs::path& folder) {
  try {
    read_image_folder(folder);
  } catch (const std::runtime_error& error) {
    return error.what();
  }
  return "";
}

std::vector<std::string> names_of(const FolderIndex& index) {
  std::vector<std::string> names;
  for (std::int64_t i = 0; i < index.count(); ++i) names.push_back(index.name(i));
  return names;
}

TEST(ImageFolder, ClassesAndFilesAreSortedByName) {
  const test::TemporaryFolder folder;
  for (const char* part : {"train", "val"}) {
    for (const char* name : {"dog/b.JPEG", "dog/a.jpg", "Cat/2.jpeg", "Cat/10.jpg", "dog/sub/c.jpg"}) {
      test::write_bytes(folder.path() / part / name, "x");
    }
  }
  test::write_bytes(folder.path() / "train/dog/notes.txt", "x");
  test::write_bytes(folder.path() / "train/dog/.hidden.jpg", "x");
  const ImageFolder found = read_image_folder(folder.path());
  EXPECT_THAT(found.classes, ElementsAre("Cat", "dog"));
  EXPECT_THAT(names_of(found.train),
              ElementsAre("Cat/10.jpg", "Cat/2.jpeg", "dog/a.jpg", "dog/b.JPEG", "dog/sub/c.jpg"));
  EXPECT_THAT(found.train.labels(), ElementsAre(0, 0, 1, 1, 1));
  ASSERT_EQ(found.warnings.size(), 1U);
  EXPECT_THAT(found.warnings[0], HasSubstr("dog/.hidden.jpg, dog/notes.txt are left out"));
}

TEST(ImageFolder, KeepsImagesEvenlyOverTheList) {
  const test::TemporaryFolder folder;
  test::make_image_folder(folder.path(), 2, 6, 1);
  ImageFolder found = read_image_folder(folder.path());
  found.train.keep(4);
  EXPECT_THAT(found.train.labels(), ElementsAre(0, 0, 1, 1));
}

TEST(ImageFolder, TheDigestIsThatOfNamesAndSizes) {
  const test::TemporaryFolder folder;
  test::make_image_folder(folder.path());
  const std::string before = read_image_folder(folder.path()).train.digest();
  EXPECT_EQ(before, read_image_folder(folder.path()).train.digest());
  fs::rename(folder.path() / "train/a/0_cmyk.jpg", folder.path() / "train/a/0_c.jpg");
  EXPECT_NE(before, read_image_folder(folder.path()).train.digest());
}

TEST(ImageFolder, WhatCannotBeTrainedOnIsRefusedWithItsReason) {
  const auto made = [](auto change) {
    const test::TemporaryFolder folder;
    test::make_image_folder(folder.path());
    change(folder.path());
    return refusal(folder.path());
  };
  EXPECT_EQ(made([](const fs::path&) {}), "");
  EXPECT_THAT(made([](const fs::path& f) { fs::remove_all(f / "val"); }), HasSubstr("has no folder val/"));
  EXPECT_THAT(made([](const fs::path& f) { fs::remove_all(f / "val/b"); }),
              HasSubstr("val' lacks class folders that train/ has: b"));
  EXPECT_THAT(made([](const fs::path& f) { test::write_bytes(f / "val/z/1.jpg", "x"); }),
              HasSubstr("val' has class folders that train/ lacks: z"));
  EXPECT_THAT(made([](const fs::path& f) { fs::create_directories(f / "train/e"); }),
              HasSubstr("train' has class folders without a JPEG file: e"));
  EXPECT_THAT(made([](const fs::path& f) {
                fs::remove_all(f / "train/b");
                fs::remove_all(f / "val/b");
              }),
              HasSubstr("one class, 'a': a classifier needs at least 2"));
  EXPECT_THAT(made([](const fs::path& f) { test::write_bytes(f / "train/a/1.png", "x"); }),
              HasSubstr("pictures that are no JPEG files: a/1.png"));
  EXPECT_THAT(made([](const fs::path& f) {
                fs::remove_all(f / "val/a");
                fs::remove_all(f / "val/b");
                test::write_bytes(f / "val/1.jpg", "x");
              }),
              HasSubstr("holds 1 JPEG files and no class folders"));
  EXPECT_THAT(made([](const fs::path& f) { fs::create_directory_symlink(f / "train/a", f / "train/a/loop"); }),
              HasSubstr("a link to a folder above itself?"));
}

TEST(RandomResizedCrop, IsAFunctionOfSeedEpochAndImageAndFollowsItsRule) {
  std::set<std::pair<std::int64_t, std::int64_t>> shapes;
  int flips = 0;
  double area = 0.0;
  for (std::uint64_t image = 0; image < 500; ++image) {
    const CropPlan plan = random_resized_crop(375, 500, 224, 1, 3, image);
    EXPECT_EQ(plan.box, random_resized_crop(375, 500, 224, 1, 3, image).box);
    ASSERT_GE(plan.box.top, 0);
    ASSERT_LE(plan.box.top + plan.box.height, 375);
    ASSERT_LE(plan.box.left + plan.box.width, 500);
    const auto h = static_cast<double>(plan.box.height), w = static_cast<double>(plan.box.width);
    EXPECT_GT(w / h, 0.74);
    EXPECT_LT(w / h, 1.35);
    EXPECT_GT(h * w, 0.079 * 375 * 500);
    shapes.insert({plan.box.height, plan.box.width});
    flips += plan.flip ? 1 : 0;
    area += h * w / (375.0 * 500.0 * 500.0);
  }
  EXPECT_GT(shapes.size(), 450U);
  EXPECT_NEAR(flips, 250, 50);
  EXPECT_NEAR(area, 0.43, 0.04) << "large boxes fit less often";
  EXPECT_NE(random_resized_crop(375, 500, 224, 1, 3, 0).box, random_resized_crop(375, 500, 224, 1, 4, 0).box);
  EXPECT_NE(random_resized_crop(375, 500, 224, 1, 3, 0).box, random_resized_crop(375, 500, 224, 2, 3, 0).box);
}

/// No box of an allowed ratio fits into a strip: the largest one in the middle is taken.
TEST(RandomResizedCrop, TakesTheMiddleOfAStrip) {
  EXPECT_EQ(random_resized_crop(10, 1000, 224, 1, 0, 0).box, (PixelBox{0, 493, 10, 13}));
  EXPECT_EQ(random_resized_crop(1000, 10, 224, 1, 0, 0).box, (PixelBox{493, 0, 13, 10}));
}

class Streamed : public ::testing::Test {
 protected:
  Streamed() {
    test::make_image_folder(folder_.path(), 3, 7, 2);
    source_ = folder_source(read_image_folder(folder_.path()), 32, 40);
  }
  /// Digests of batches of 4, five in all, in an order.
  std::vector<std::string> batches(int workers, const std::vector<std::int64_t>& order) {
    const auto images_of = [](std::int64_t number, std::vector<ImageIndex>& images) {
      if (number >= 5) return;
      for (std::uint32_t i = 0; i < 4; ++i) {
        images.push_back({static_cast<std::uint32_t>(number) * 4 + i, static_cast<std::uint32_t>(number)});
      }
    };
    BatchStream stream(*source_, {true, 7}, ImagePart::kTrain, images_of, 4, 32 * 32 * 3, workers, 2);
    EXPECT_EQ(stream.bytes(), 3 * 4 * 32 * 32 * 3);
    std::vector<std::string> digests(5);
    for (const std::int64_t number : order) {
      digests[static_cast<std::size_t>(number)] = to_text(digest_of(stream.get(number), 4 * 32 * 32 * 3));
    }
    return digests;
  }
  const test::TemporaryFolder folder_;
  std::shared_ptr<const ImageSource> source_;
};

TEST_F(Streamed, BatchesDoNotDependOnWorkersOrOrder) {
  const auto expected = batches(1, {0, 1, 2, 3, 4});
  EXPECT_EQ(std::set<std::string>(expected.begin(), expected.end()).size(), 5U);
  for (const int workers : {2, 5}) {
    EXPECT_EQ(batches(workers, {0, 1, 2, 3, 4}), expected);
    EXPECT_EQ(batches(workers, {4, 2, 2, 3, 0, 1}), expected);
  }
}

TEST_F(Streamed, AFileThatCannotBeReadIsNamedAndTheOthersStillCome) {
  const auto expected = batches(2, {0, 1, 2, 3, 4});
  const fs::path broken = folder_.path() / "train/b" / (std::string("2_") + test::photographs()[3]);
  ASSERT_TRUE(fs::exists(broken));  // image 9, of batch 2
  const std::string bytes = test::bytes_of_file(broken);
  test::write_bytes(broken, bytes.substr(0, bytes.size() / 2));
  EXPECT_EQ(batches(2, {0, 1, 3, 4})[3], expected[3]);
  try {
    batches(2, {0, 1, 2});
    FAIL() << "was read";
  } catch (const DataError& error) {
    EXPECT_THAT(error.what(), HasSubstr(broken.string() + "' cannot be read: it is cut off"));
  }
  fs::remove(broken);
  EXPECT_THROW(batches(2, {2}), DataError);
}

TEST(ImageFolderDataset, HasTheFoldersClassesAndItsOwnScale) {
  const test::TemporaryFolder folder;
  test::make_image_folder(folder.path(), 3, 4, 2);
  DataConfig data;
  data.name = "imagefolder";
  data.path = folder.path().string();
  const Dataset dataset = load_dataset(data, 3);
  EXPECT_EQ(dataset.train.count, 12);
  EXPECT_EQ(dataset.test.count, 6);
  EXPECT_EQ(dataset.train.height, 224);
  EXPECT_TRUE(dataset.train.pixels.empty());
  EXPECT_EQ(dataset.mean[0], 0.485F);
  data.mean = {0.5, 0.25, 0.125};
  EXPECT_EQ(load_dataset(data, 3).mean[2], 0.125F);
  EXPECT_EQ(load_dataset(data, 3).checksum, dataset.checksum);
  EXPECT_THROW(load_dataset(data, 4), std::runtime_error);
  data.path.clear();
  EXPECT_THROW(load_dataset(data, 3), std::runtime_error);
}

}  // namespace
}  // namespace bitcycle
