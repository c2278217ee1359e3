// SPDX-License-Identifier: Apache-2.0
#include "nn/data/corpus.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <limits>
#include <stdexcept>
#include <string_view>
#include <unordered_map>

#include "nn/data/text_file.h"
#include "nn/io/atomic_file.h"
#include "sim/number/digest.h"

namespace bitcycle {
namespace {

namespace fs = std::filesystem;

constexpr std::array<const char*, 3> kParts{"training", "validation", "test"};

struct Layout {
  const char* name;
  std::array<const char*, 3> files;
  bool whole_lines;  // the published files end with a line's end
  bool own_unknown;  // the dictionary has kUnknownWord whether the text has it or not, and may be cut to size
  TextCounts counts;
  const char* source;
};

constexpr Layout kLayouts[] = {{"ptb",
                                {"ptb.train.txt", "ptb.valid.txt", "ptb.test.txt"},
                                true,
                                false,
                                {10'000, 929'589, 73'760, 82'430},
                                "Mikolov's word-level Penn Treebank, data/ptb.*.txt of simple-examples.tgz"},
                               {"wikitext",
                                {"wiki.train.tokens", "wiki.valid.tokens", "wiki.test.tokens"},
                                true,
                                false,
                                {},
                                "the word-level archives of WikiText-2 and WikiText-103"},
                               {"text", {"train.txt", "valid.txt", "test.txt"}, false, true, {}, "any UTF-8 text"}};

const Layout& layout_of(const std::string& name) {
  for (const Layout& layout : kLayouts) {
    if (name == layout.name) return layout;
  }
  throw std::runtime_error("data.name is '" + name + "'; texts are ptb, wikitext, text");
}

using Words = std::vector<std::string_view>;

/// The three parts of one file: of its lines, the first 90 %, the next 5 %, the rest.
std::array<std::string_view, 3> split_file(std::string_view text, const std::string& origin) {
  std::vector<std::size_t> ends;
  for (std::size_t at = text.find('\n'); at != std::string_view::npos; at = text.find('\n', at + 1)) {
    ends.push_back(at + 1);
  }
  if (!text.empty() && text.back() != '\n') ends.push_back(text.size());
  if (ends.size() < 20) {
    throw std::runtime_error("'" + origin + "' has " + std::to_string(ends.size()) +
                             " lines; one file is divided into training, validation and test by lines and needs at "
                             "least 20. Name a folder of train.txt, valid.txt and test.txt instead");
  }
  const std::size_t first = ends[ends.size() * 90 / 100 - 1], second = ends[ends.size() * 95 / 100 - 1];
  return {text.substr(0, first), text.substr(first, second - first), text.substr(second)};
}

struct Texts {
  std::array<std::string, 3> bytes;
  std::array<std::string, 3> origins;
};

Texts read_texts(const DataConfig& data, const Layout& layout) {
  const fs::path path = data.path;
  const std::string wanted = "data '" + data.name + "' is read from a folder of " + layout.files[0] + ", " +
                             layout.files[1] + " and " + layout.files[2] + " (" + layout.source + ")";
  if (path.empty()) throw std::runtime_error("data.path is not given: " + wanted);
  if (!fs::exists(path)) throw std::runtime_error("data.path '" + path.string() + "' does not exist; " + wanted);
  Texts texts;
  if (fs::is_regular_file(path) && data.name == "text") {
    const std::string bytes = read_file(path);
    const auto parts = split_file(bytes, path.string());
    for (std::size_t i = 0; i < 3; ++i) {
      texts.bytes[i] = parts[i];
      texts.origins[i] = path.string() + " (" + kParts[i] + " part)";
    }
    return texts;
  }
  if (!fs::is_directory(path)) throw std::runtime_error("data.path '" + path.string() + "' is no folder; " + wanted);
  std::string missing;
  for (const char* file : layout.files) {
    if (!fs::is_regular_file(path / file)) missing += (missing.empty() ? "" : ", ") + std::string(file);
  }
  if (!missing.empty()) throw std::runtime_error("'" + path.string() + "' lacks " + missing + "; " + wanted);
  for (std::size_t i = 0; i < 3; ++i) {
    texts.origins[i] = (path / layout.files[i]).string();
    texts.bytes[i] = read_file(path / layout.files[i]);
  }
  return texts;
}

/// Numbers of the words, which views into the texts name.
class Dictionary {
 public:
  Dictionary(const Words& training, const std::string& order, bool own_unknown, std::int64_t most) {
    std::unordered_map<std::string_view, std::int64_t> counts;
    for (const std::string_view word : training) {
      if (counts[word]++ == 0) words_.push_back(word);
    }
    if (own_unknown && counts.count(kUnknownWord) == 0) words_.emplace_back(kUnknownWord);
    const auto frequent_first = [&](std::string_view a, std::string_view b) {
      return counts[a] != counts[b] ? counts[a] > counts[b] : a < b;
    };
    all_ = static_cast<std::int64_t>(words_.size());
    if (own_unknown && all_ > most) keep_most_frequent(most, frequent_first);
    if (order == "frequency") std::sort(words_.begin(), words_.end(), frequent_first);
    for (const std::string_view word : words_) numbers_.emplace(word, static_cast<std::int32_t>(numbers_.size()));
  }

  const std::vector<std::string_view>& words() const { return words_; }
  std::int64_t all() const { return all_; }  // before it was cut to size
  /// -1: it is not there.
  std::int32_t number(std::string_view word) const {
    const auto found = numbers_.find(word);
    return found == numbers_.end() ? -1 : found->second;
  }

 private:
  template <typename Before>
  void keep_most_frequent(std::int64_t most, const Before& before) {
    auto ranked = words_;
    std::sort(ranked.begin(), ranked.end(), before);
    std::unordered_map<std::string_view, bool> kept{{kUnknownWord, true}, {kEndOfLine, true}};
    for (const std::string_view word : ranked) {
      if (static_cast<std::int64_t>(kept.size()) >= most) break;
      kept.emplace(word, true);
    }
    std::erase_if(words_, [&](std::string_view word) { return kept.count(word) == 0; });
  }

  std::vector<std::string_view> words_;
  std::unordered_map<std::string_view, std::int32_t> numbers_;
  std::int64_t all_ = 0;
};

/// Where a word that the dictionary does not have stands, for a message.
[[noreturn]] void fail_unknown(const Words& words, std::size_t at, const std::string& origin) {
  const auto line =
      1 + std::count(words.begin(), words.begin() + static_cast<std::ptrdiff_t>(at), std::string_view(kEndOfLine));
  throw std::runtime_error("'" + origin + "', line " + std::to_string(line) + ": the word '" + std::string(words[at]) +
                           "' is not in the training text, which has no word '" + kUnknownWord +
                           "' for such words; are the files of one data set? data.name: text makes '" + kUnknownWord +
                           "' of them");
}

std::vector<std::int32_t> numbers_of(const Words& words, const Dictionary& dictionary, const std::string& origin,
                                     std::int64_t& unknown) {
  const std::int32_t stand_in = dictionary.number(kUnknownWord);
  std::vector<std::int32_t> numbers;
  numbers.reserve(words.size());
  for (std::size_t i = 0; i < words.size(); ++i) {
    std::int32_t number = dictionary.number(words[i]);
    if (number < 0) {
      if (stand_in < 0) fail_unknown(words, i, origin);
      number = stand_in;
      ++unknown;
    }
    numbers.push_back(number);
  }
  return numbers;
}

std::string checksum_of(const Corpus& corpus) {
  RootDigest root;
  const std::string dictionary = dictionary_text(corpus);
  root.add("dictionary", digest_of(dictionary.data(), dictionary.size()));
  const auto add = [&](const char* name, const std::vector<std::int32_t>& text) {
    root.add(name, digest_of(text.data(), text.size() * sizeof(std::int32_t)));
  };
  add("test", corpus.test);
  add("train", corpus.train);
  add("validation", corpus.validation);
  return to_text(root.value());
}

void check_published_counts(const Corpus& corpus, const Layout& layout, std::vector<std::string>& warnings) {
  const TextCounts& published = layout.counts;
  if (published.words == 0) return;
  const auto look = [&](const std::string& what, std::size_t found, std::int64_t expected) {
    if (static_cast<std::int64_t>(found) == expected) return;
    warnings.push_back("the " + what + " of '" + layout.name + "' has " + std::to_string(found) +
                       " words, the published one " + std::to_string(expected) +
                       ": these are other files, or were cut at a line");
  };
  look("dictionary", corpus.words.size(), published.words);
  look("training text", corpus.train.size(), published.train);
  look("validation text", corpus.validation.size(), published.validation);
  look("test text", corpus.test.size(), published.test);
}

}  // namespace

bool is_text(const std::string& data_name) {
  return std::any_of(std::begin(kLayouts), std::end(kLayouts),
                     [&](const Layout& layout) { return data_name == layout.name; });
}

TextCounts text_counts(const std::string& data_name) { return layout_of(data_name).counts; }

Corpus load_corpus(const DataConfig& data, std::int64_t vocabulary, std::vector<std::string>& warnings) {
  const Layout& layout = layout_of(data.name);
  const Texts texts = read_texts(data, layout);
  std::array<Words, 3> words;
  for (std::size_t i = 0; i < 3; ++i) {
    words[i] = words_of_text(texts.bytes[i], texts.origins[i], {layout.whole_lines});
  }
  if (words[0].size() >= static_cast<std::size_t>(std::numeric_limits<std::int32_t>::max())) {
    throw std::runtime_error("'" + texts.origins[0] + "' has more than 2^31 words");
  }
  const Dictionary dictionary(words[0], data.dictionary, layout.own_unknown, vocabulary);
  if (static_cast<std::int64_t>(dictionary.words().size()) > vocabulary) {
    throw std::runtime_error("model.vocabulary is " + std::to_string(vocabulary) + ", and '" + texts.origins[0] +
                             "' has " + std::to_string(dictionary.words().size()) +
                             " different words (the end of a line is one): set model.vocabulary to at least that");
  }
  Corpus corpus;
  for (const std::string_view word : dictionary.words()) corpus.words.emplace_back(word);
  corpus.end_of_line = dictionary.number(kEndOfLine);
  std::vector<std::int32_t>* parts[] = {&corpus.train, &corpus.validation, &corpus.test};
  for (std::size_t i = 0; i < 3; ++i) {
    *parts[i] = numbers_of(words[i], dictionary, texts.origins[i], corpus.unknown[i]);
    if (corpus.unknown[i] == 0) continue;
    warnings.push_back("'" + texts.origins[i] + "': " + std::to_string(corpus.unknown[i]) +
                       " words are not in the dictionary of " + std::to_string(corpus.words.size()) + " words" +
                       (dictionary.all() > static_cast<std::int64_t>(corpus.words.size())
                            ? " (model.vocabulary; the training text has " + std::to_string(dictionary.all()) + ")"
                            : "") +
                       " and count as '" + kUnknownWord + "'");
  }
  check_published_counts(corpus, layout, warnings);
  corpus.checksum = checksum_of(corpus);
  return corpus;
}

std::string dictionary_text(const Corpus& corpus) {
  std::string text;
  for (const auto& word : corpus.words) text += word + "\n";
  return text;
}

}  // namespace bitcycle
