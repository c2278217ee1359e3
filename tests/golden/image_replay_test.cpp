// SPDX-License-Identifier: Apache-2.0
// Recorded pictures: decoding, scaling and cropping give the bytes that Pillow gave. BITCYCLE_IMAGES names the folder
// of the photographs that are too large to be part of the tests.
#include <gtest/gtest.h>

#include <cstdlib>

#include "nn/io/sha256.h"
#include "nn/train/case_file.h"
#include "nn/train/replay_images.h"
#include "tests/golden/source_paths.h"

namespace bitcycle {
namespace {

TEST(GoldenImages, AreThoseOfPillowToTheByte) {
  const char* sets = std::getenv("BITCYCLE_IMAGES");
  ReplayPaths paths{test::golden_path("/images/imagenet_sample"), std::nullopt, std::nullopt};
  if (sets != nullptr) paths.data_dir = sets;
  const ReplayReport report = replay_images(CaseFile(paths.case_dir), paths);
  EXPECT_EQ(report.lines.size(), 31U);
  int checked = 0;
  for (const ReplayLine& line : report.lines) {
    EXPECT_TRUE(!line.checked || line.ok) << line.name << " " << line.note;
    checked += line.checked ? 1 : 0;
  }
  EXPECT_EQ(checked, sets == nullptr ? 7 : 31)
      << "CMYK, EXIF orientation, 4:2:2, progressive and grey are always there";
}

TEST(Sha256, IsThatOfTheStandard) {
  EXPECT_EQ(sha256_of("abc", 3), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(sha256_of("", 0), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  const std::string text = "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
  EXPECT_EQ(sha256_of(text.data(), text.size()), "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
}

}  // namespace
}  // namespace bitcycle
