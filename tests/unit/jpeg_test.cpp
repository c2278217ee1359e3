// SPDX-License-Identifier: Apache-2.0
// JPEG files: parts of a picture are those of the whole one; what cannot be read is refused with its reason.
#include "nn/data/jpeg.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "tests/golden/photographs.h"

namespace bitcycle {
namespace {

using ::testing::HasSubstr;

struct Decoded {
  JpegInfo info;
  std::vector<std::uint8_t> pixels;
};

Decoded decode(JpegReader& reader, const std::string& bytes, const PixelBox* box = nullptr) {
  Decoded result;
  result.info = reader.open(bytes, "picture");
  const PixelBox whole{0, 0, result.info.height, result.info.width};
  const PixelBox& of = box == nullptr ? whole : *box;
  reader.rows(of, [&](std::int64_t, const std::uint8_t* row) {
    result.pixels.insert(result.pixels.end(), row, row + 3 * of.width);
  });
  return result;
}

std::string message_of(const std::string& bytes) {
  JpegReader reader;
  try {
    decode(reader, bytes);
  } catch (const std::runtime_error& error) {
    return error.what();
  }
  return "";
}

TEST(Jpeg, ABoxHasThePixelsOfTheWholePicture) {
  for (const auto& name : test::photographs()) {
    const std::string bytes = test::bytes_of_file(test::photograph(name));
    JpegReader reader;
    const Decoded whole = decode(reader, bytes);
    const std::int64_t h = whole.info.height, w = whole.info.width;
    for (std::int64_t top = 0; top < h; top += 7) {
      for (std::int64_t left = 0; left < w; left += 11) {
        for (const std::int64_t size : {1, 9, 40}) {
          const PixelBox box{top, left, std::min(size, h - top), std::min(size, w - left)};
          const Decoded part = decode(reader, bytes, &box);
          for (std::int64_t y = 0; y < box.height; ++y) {
            ASSERT_EQ(
                0, std::memcmp(part.pixels.data() + y * box.width * 3, whole.pixels.data() + ((top + y) * w + left) * 3,
                               static_cast<std::size_t>(box.width * 3)))
                << name << ", box at " << top << ", " << left << " of " << size << ", row " << y;
          }
        }
      }
    }
  }
}

TEST(Jpeg, GreyHasThreeEqualChannels) {
  JpegReader reader;
  const Decoded grey = decode(reader, test::bytes_of_file(test::photograph("grey.jpg")));
  EXPECT_EQ(grey.info.components, 1);
  for (std::size_t i = 0; i < grey.pixels.size(); i += 3) {
    ASSERT_EQ(grey.pixels[i], grey.pixels[i + 1]);
    ASSERT_EQ(grey.pixels[i], grey.pixels[i + 2]);
  }
}

TEST(Jpeg, AFileThatIsCutOffAnywhereIsRefused) {
  for (const auto& name : test::photographs()) {
    const std::string bytes = test::bytes_of_file(test::photograph(name));
    for (const std::size_t left : {std::size_t{3}, std::size_t{30}, bytes.size() / 2, bytes.size() - 2}) {
      EXPECT_THAT(message_of(bytes.substr(0, left)), HasSubstr("picture cannot be read: it is cut off"))
          << name << left;
    }
  }
}

/// Rows at the top are there, and are not enough.
TEST(Jpeg, AFileThatIsCutOffBehindTheBoxIsRefused) {
  const std::string bytes = test::bytes_of_file(test::photograph("h2v1.jpg"));
  JpegReader reader;
  const PixelBox box{0, 0, 8, 8};
  EXPECT_NO_THROW(decode(reader, bytes, &box));
  EXPECT_THROW(decode(reader, bytes.substr(0, bytes.size() - 2), &box), std::runtime_error);
  EXPECT_NO_THROW(decode(reader, bytes, &box)) << "the reader goes on after an error";
}

/// The file with its segments of one kind taken out.
std::string without(const std::string& bytes, char marker) {
  std::string left = bytes.substr(0, 2);
  std::size_t at = 2;
  while (at + 4 <= bytes.size() && bytes[at] == '\xFF' && bytes[at + 1] != '\xDA') {
    const std::size_t size =
        2 + 256 * static_cast<unsigned char>(bytes[at + 2]) + static_cast<unsigned char>(bytes[at + 3]);
    if (bytes[at + 1] != marker) left += bytes.substr(at, size);
    at += size;
  }
  return left + bytes.substr(at);
}

TEST(Jpeg, NoFileIsReadByTheTablesOfTheOneBefore) {
  const auto outcome = [](JpegReader& reader, const std::string& bytes) {
    try {
      const auto pixels = decode(reader, bytes).pixels;
      return std::string(pixels.begin(), pixels.end());
    } catch (const std::runtime_error& error) {
      return std::string(error.what());
    }
  };
  JpegReader used;
  for (const auto& name : test::photographs()) {
    const std::string bytes = test::bytes_of_file(test::photograph(name));
    for (const char tables : {'\xC4', '\xDB'}) {  // of Huffman codes, of quantisation
      JpegReader fresh;
      decode(used, bytes);
      EXPECT_EQ(outcome(used, without(bytes, tables)), outcome(fresh, without(bytes, tables))) << name;
    }
  }
}

TEST(Jpeg, OtherKindsOfFilesAreNamed) {
  EXPECT_THAT(message_of("\x89PNG\r\n\x1a\n..."), HasSubstr("it is a PNG file"));
  EXPECT_THAT(message_of("GIF89a..."), HasSubstr("it is a GIF file"));
  EXPECT_THAT(message_of("RIFF1234WEBPVP8 "), HasSubstr("it is a WebP file"));
  EXPECT_THAT(message_of("hello"), HasSubstr("it is no JPEG file"));
  EXPECT_THAT(message_of(""), HasSubstr("the file is empty"));
}

TEST(Jpeg, DamageThatTheDecoderMakesGoodIsCounted) {
  std::string bytes = test::bytes_of_file(test::photograph("h2v1.jpg"));
  for (std::size_t i = bytes.size() / 2; i < bytes.size() / 2 + 40; ++i) bytes[i] = static_cast<char>(0xFF);
  JpegReader reader;
  try {
    decode(reader, bytes);
    EXPECT_GT(reader.info().warnings, 0);
    EXPECT_NE(reader.info().first_warning, "");
  } catch (const std::runtime_error& error) {
    EXPECT_THAT(error.what(), HasSubstr("picture cannot be read"));
  }
}

}  // namespace
}  // namespace bitcycle
