// SPDX-License-Identifier: Apache-2.0
// Texts: what is read, what is refused, how words are numbered.
#include "nn/data/corpus.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <stdexcept>

#include "nn/data/text_file.h"
#include "tests/golden/temporary_folder.h"

namespace bitcycle::test {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
namespace fs = std::filesystem;

void write(const fs::path& file, const std::string& bytes) { std::ofstream(file, std::ios::binary) << bytes; }

std::string message_of(const std::function<void()>& act) {
  try {
    act();
  } catch (const std::exception& error) {
    return error.what();
  }
  return "nothing was thrown";
}

std::string refusal(const std::string& text, bool whole_lines = false) {
  return message_of([&] { words_of_text(text, "file", {whole_lines}); });
}

TEST(Text, WordsAreSplitAtWhiteSpaceAndEveryLineEndsWithOne) {
  EXPECT_THAT(words_of_text(" a  b\t\n\nc\r\n", "file", {}),
              ElementsAre("a", "b", kEndOfLine, kEndOfLine, "c", kEndOfLine));
  EXPECT_THAT(words_of_text("\xEF\xBB\xBF"
                            "a b",
                            "file", {}),
              ElementsAre("a", "b", kEndOfLine))
      << "byte order mark";
  EXPECT_THAT(words_of_text("a\nb", "file", {}), ElementsAre("a", kEndOfLine, "b", kEndOfLine));
  EXPECT_THAT(words_of_text("gr\xc3\xbc\xc3\x9f \xf0\x9f\x99\x82\n", "file", {}),
              ElementsAre("gr\xc3\xbc\xc3\x9f", "\xf0\x9f\x99\x82", kEndOfLine));
}

TEST(Text, WhatIsNoTextIsRefusedWithItsLine) {
  EXPECT_THAT(refusal(""), HasSubstr("holds no word"));
  EXPECT_THAT(refusal(" \n\n"), HasSubstr("holds no word"));
  EXPECT_THAT(refusal("a\nb\xff\n"), HasSubstr("line 2: the byte 0xff begins no UTF-8 character"));
  EXPECT_THAT(refusal("a\n\xc0\xaf\n"), HasSubstr("line 2")) << "overlong";
  EXPECT_THAT(refusal("\xe0\x80\x80\n"), HasSubstr("0xe0")) << "overlong";
  EXPECT_THAT(refusal("\xed\xa0\x80\n"), HasSubstr("0xed")) << "surrogate";
  EXPECT_THAT(refusal("\xf4\x90\x80\x80\n"), HasSubstr("0xf4")) << "above 0x10FFFF";
  EXPECT_THAT(refusal("a \xc3"), HasSubstr("0xc3")) << "cut off within a character";
  EXPECT_THAT(refusal(std::string("a\0b\n", 4)), HasSubstr("a byte is 0"));
  EXPECT_THAT(refusal("a\nb", true), HasSubstr("line 2: the file ends within this line"));
}

class CorpusFiles : public ::testing::Test {
 protected:
  void files(const std::string& train, const std::string& valid, const std::string& test) {
    write(folder_.path() / "ptb.train.txt", train);
    write(folder_.path() / "ptb.valid.txt", valid);
    write(folder_.path() / "ptb.test.txt", test);
    write(folder_.path() / "train.txt", train);
    write(folder_.path() / "valid.txt", valid);
    write(folder_.path() / "test.txt", test);
  }
  Corpus load(const std::string& name, std::int64_t vocabulary = 100, const std::string& order = "appearance") {
    DataConfig data;
    data.name = name;
    data.path = folder_.path();
    data.dictionary = order;
    warnings_.clear();
    return load_corpus(data, vocabulary, warnings_);
  }
  TemporaryFolder folder_;
  std::vector<std::string> warnings_;
};

TEST_F(CorpusFiles, WordsAreNumberedAsTheyAppearOrByFrequency) {
  files("b a a\nc a\n", "a\n", "c b\n");
  const Corpus corpus = load("ptb");
  EXPECT_THAT(corpus.words, ElementsAre("b", "a", kEndOfLine, "c"));
  EXPECT_THAT(corpus.train, ElementsAre(0, 1, 1, 2, 3, 1, 2));
  EXPECT_THAT(corpus.test, ElementsAre(3, 0, 2));
  EXPECT_EQ(corpus.end_of_line, 2);
  const Corpus frequent = load("ptb", 100, "frequency");
  EXPECT_THAT(frequent.words, ElementsAre("a", kEndOfLine, "b", "c")) << "of equally frequent words, by their bytes";
  EXPECT_NE(corpus.checksum, frequent.checksum);
  EXPECT_EQ(dictionary_text(corpus), "b\na\n<eos>\nc\n");
}

TEST_F(CorpusFiles, UnknownWordsAreMappedWhereTheTextHasAWordForThem) {
  files("a <unk>\n", "new a\n", "a\n");
  const Corpus corpus = load("ptb");
  EXPECT_THAT(corpus.validation, ElementsAre(1, 0, 2));
  EXPECT_EQ(corpus.unknown[1], 1);
  EXPECT_THAT(warnings_.front(), HasSubstr("ptb.valid.txt': 1 words are not in the dictionary"));
  files("a\n", "a\n", "a\nother\n");
  EXPECT_THAT(message_of([&] { load("ptb"); }), HasSubstr("ptb.test.txt', line 2: the word 'other'"));
  EXPECT_THAT(load("text").test, ElementsAre(0, 1, 2, 1)) << "data.name: text has a word for them";
}

TEST_F(CorpusFiles, ADictionaryIsCutToTheMostFrequentWordsOfAnyText) {
  files("b a a\nc a\n", "b\n", "a\n");
  const Corpus corpus = load("text", 3);
  EXPECT_THAT(corpus.words, ElementsAre("a", kEndOfLine, kUnknownWord));
  EXPECT_THAT(corpus.train, ElementsAre(2, 0, 0, 1, 2, 0, 1));
  EXPECT_THAT(message_of([&] { load("ptb", 3); }), HasSubstr("set model.vocabulary to at least that"));
}

TEST_F(CorpusFiles, FilesThatLackOrAreOthersAreNamed) {
  EXPECT_THAT(message_of([&] { load("ptb"); }), HasSubstr("lacks ptb.train.txt, ptb.valid.txt, ptb.test.txt"));
  files("a\n", "a\n", "a\n");
  load("ptb");
  EXPECT_THAT(warnings_,
              ::testing::Contains(HasSubstr("the training text of 'ptb' has 2 words, the published one 929589")));
  files("a\n", "", "a\n");
  EXPECT_THAT(message_of([&] { load("ptb"); }), HasSubstr("ptb.valid.txt' holds no word"));
  files("a\nb", "a\n", "a\n");
  EXPECT_THAT(message_of([&] { load("ptb"); }), HasSubstr("it was cut off"));
  EXPECT_EQ(load("text").train.size(), 4U);
}

TEST_F(CorpusFiles, OneFileIsDividedByLines) {
  std::string text;
  for (int line = 0; line < 40; ++line) text += "w" + std::to_string(line % 3) + "\n";
  write(folder_.path() / "whole.txt", text);
  DataConfig data;
  data.name = "text";
  data.path = folder_.path() / "whole.txt";
  const Corpus corpus = load_corpus(data, 10, warnings_);
  EXPECT_EQ(corpus.train.size(), 72U);
  EXPECT_EQ(corpus.validation.size(), 4U);
  EXPECT_EQ(corpus.test.size(), 4U);
  write(data.path, "a\nb\n");
  EXPECT_THAT(message_of([&] { load_corpus(data, 10, warnings_); }), HasSubstr("has 2 lines"));
}

}  // namespace
}  // namespace bitcycle::test
