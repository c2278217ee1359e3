// SPDX-License-Identifier: Apache-2.0
// Sealed lines: whatever a kill, a cut or an edit leaves, what is read is what was written, up to a line that is named.
#include "nn/train/sealed_lines.h"

#include <gtest/gtest.h>

#include <fstream>

#include "nn/io/atomic_file.h"
#include "nn/train/record_file.h"
#include "tests/golden/temporary_folder.h"

namespace bitcycle {
namespace {

namespace fs = std::filesystem;

class SealedFile : public ::testing::Test {
 protected:
  /// Five records, written in two parts.
  std::string written() {
    RecordFile file(path_, kind());
    for (int i = 0; i < 5; ++i) {
      file.append(record(i) + "\n");
      if (i == 2) file.flush();
    }
    file.flush();
    return read_file(path_);
  }
  SealedLines read(const std::string& text) {
    std::ofstream(path_, std::ios::binary) << text;
    return read_sealed_lines(path_, kind());
  }
  virtual std::string kind() const { return ""; }
  virtual std::string record(int i) const { return "{\"step\":" + std::to_string(i) + ",\"loss\":2.5}"; }

  test::TemporaryFolder folder_;
  fs::path path_ = folder_.path() / "records";
};
class SealedCsv : public SealedFile {
 protected:
  std::string kind() const override { return "step,loss"; }
  std::string record(int i) const override { return std::to_string(i) + ",2.5"; }
};

/// Cut anywhere, which a kill can do: the whole lines stand.
template <typename Read, typename Record>
void expect_whole_lines(const std::string& text, const Read& read, const Record& record) {
  for (std::size_t size = 0; size < text.size(); ++size) {
    const SealedLines found = read(text.substr(0, size));
    EXPECT_EQ(found.damaged_line, 0U) << size;
    for (std::size_t i = 0; i < found.lines.size(); ++i) EXPECT_EQ(found.lines[i], record(static_cast<int>(i))) << size;
  }
}

/// One byte is another one: the line is named, and only lines before it are handed out.
template <typename Read>
void expect_changes_are_named(const std::string& text, const Read& read, bool has_header) {
  std::size_t line = 1;
  for (std::size_t i = 0; i < text.size(); ++i) {
    std::string changed = text;
    changed[i] = changed[i] == '7' ? '8' : '7';
    const SealedLines found = read(changed);
    EXPECT_EQ(found.damaged_line, i + 1 == text.size() ? 0 : line) << "byte " << i;
    EXPECT_EQ(found.lines.size(), line == 1 ? 0 : line - 1 - (has_header ? 1 : 0)) << "byte " << i;
    if (text[i] == '\n') ++line;
  }
}

TEST_F(SealedFile, ACutLeavesWholeLines) {
  expect_whole_lines(
      written(), [&](const auto& text) { return read(text); }, [&](int i) { return record(i); });
}
TEST_F(SealedCsv, ACutLeavesWholeLines) {
  expect_whole_lines(
      written(), [&](const auto& text) { return read(text); }, [&](int i) { return record(i); });
}
TEST_F(SealedFile, AChangedByteIsNamed) {
  expect_changes_are_named(
      written(), [&](const auto& text) { return read(text); }, false);
}
TEST_F(SealedCsv, AChangedByteIsNamed) {
  expect_changes_are_named(
      written(), [&](const auto& text) { return read(text); }, true);
}

TEST_F(SealedFile, LinesThatAreRemovedOrMovedAreNamed) {
  written();
  auto lines = whole_lines(path_);
  const auto text_of = [](const std::vector<std::string>& all) {
    std::string text;
    for (const auto& line : all) text += line + "\n";
    return text;
  };
  auto moved = lines;
  std::swap(moved[1], moved[2]);
  EXPECT_EQ(read(text_of(moved)).damaged_line, 2U);
  auto removed = lines;
  removed.erase(removed.begin() + 1);
  EXPECT_EQ(read(text_of(removed)).damaged_line, 2U);
  auto repeated = lines;
  repeated.insert(repeated.begin() + 1, lines[0]);
  EXPECT_EQ(read(text_of(repeated)).damaged_line, 2U);
}

TEST_F(SealedCsv, CuttingAndGoingOnGivesTheBytesOfTheFileThatWasNotCut) {
  const std::string whole = written();
  RecordFile file(path_, kind());
  file.cut([&](const std::string& line) { return line < "2"; });
  for (int i = 2; i < 5; ++i) file.append(record(i) + "\n");
  file.flush();
  EXPECT_EQ(read_file(path_), whole);
}

TEST_F(SealedCsv, AFileWithoutChecksumsIsReadAndSealedWhenItIsGoneOnWith) {
  EXPECT_EQ(read("step,loss\n0,2.5\n1,2.5\n").lines.size(), 2U);
  EXPECT_FALSE(read("step,loss\n0,2.5\n1,2.5\n").sealed);
  RecordFile file(path_, kind());
  file.cut([](const std::string&) { return true; });
  for (int i = 2; i < 5; ++i) file.append(record(i) + "\n");
  file.flush();
  const std::string sealed = read_file(path_);
  fs::remove(path_);
  EXPECT_EQ(sealed, written());
}

TEST(SealedJson, EveryFlippedBitIsFound) {
  const std::string text = seal_json("{\"accuracy\": 12.5}", {{"steps.csv", std::string(32, 'a')}});
  EXPECT_EQ(json_is_whole(text), std::optional<bool>(true));
  EXPECT_EQ(json_is_whole("{\"accuracy\": 12.5}"), std::nullopt);
  for (std::size_t bit = 0; bit < 8 * text.size(); ++bit) {
    std::string changed = text;
    changed[bit / 8] = static_cast<char>(changed[bit / 8] ^ (1 << bit % 8));
    EXPECT_NE(json_is_whole(changed), std::optional<bool>(true)) << bit;
  }
}

}  // namespace
}  // namespace bitcycle
