// SPDX-License-Identifier: Apache-2.0
// Corpus: a text as numbers of words, for training, validation and test, with its dictionary (docs/numerics.md, 8.7).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "nn/config/config.h"

namespace bitcycle {

struct Corpus {
  std::vector<std::string> words;                     // of the dictionary, by number
  std::vector<std::int32_t> train, validation, test;  // numbers of words
  std::int32_t end_of_line = 0;                       // the number of kEndOfLine
  std::int64_t unknown[3] = {0, 0, 0};                // words of each text that the dictionary does not have
  std::string checksum;                               // XXH3-128 over dictionary and texts
};

/// True of data.name: ptb, wikitext, text.
bool is_text(const std::string& data_name);
/// Words of the published texts (ptb, wikitext: those of the larger one), and their lengths in words; 0: not known.
struct TextCounts {
  std::int64_t words = 0, train = 0, validation = 0, test = 0;
};
TextCounts text_counts(const std::string& data_name);

/// Reads data.path: of ptb the folder of ptb.train.txt, ptb.valid.txt and ptb.test.txt; of wikitext that of
/// wiki.train.tokens, wiki.valid.tokens and wiki.test.tokens; of text a folder of train.txt, valid.txt and test.txt, or
/// one file, of whose lines the last 10 % are validation and test. `vocabulary`: the most words of the dictionary.
/// Throws std::runtime_error with file, line and remedy: a missing, empty, cut-off or badly encoded file, more words
/// than `vocabulary`, an unknown word where the text has no word for it. `warnings`: what a user should see.
Corpus load_corpus(const DataConfig& data, std::int64_t vocabulary, std::vector<std::string>& warnings);

/// The dictionary as a file: a word a line, in the order of the numbers.
std::string dictionary_text(const Corpus& corpus);

}  // namespace bitcycle
