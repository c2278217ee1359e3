// SPDX-License-Identifier: Apache-2.0
#include "cli/data_text.h"

#include <nlohmann/json.hpp>
#include <vector>

#include "cli/exit_code.h"
#include "cli/format.h"
#include "nn/data/corpus.h"

namespace bitcycle::cli {

std::string recognise_text(const std::filesystem::path& path) {
  if (std::filesystem::is_regular_file(path)) return path.extension() == ".txt" ? "text" : "";
  const auto any = [&](std::initializer_list<const char*> files) {
    for (const char* file : files) {
      if (std::filesystem::exists(path / file)) return true;
    }
    return false;
  };
  if (any({"ptb.train.txt", "ptb.valid.txt", "ptb.test.txt"})) return "ptb";
  if (any({"wiki.train.tokens", "wiki.valid.tokens", "wiki.test.tokens"})) return "wikitext";
  return any({"train.txt", "valid.txt", "test.txt"}) ? "text" : "";
}

int report_text(Console& console, const DataConfig& data, std::int64_t vocabulary) {
  std::vector<std::string> warnings;
  const Corpus corpus = load_corpus(data, vocabulary, warnings);
  for (const auto& text : warnings) console.warning(text);
  const auto size = [](const std::vector<std::int32_t>& words) { return static_cast<std::int64_t>(words.size()); };
  const auto different = static_cast<std::int64_t>(corpus.words.size());
  console.json({{"name", data.name},
                {"path", data.path},
                {"vocabulary", different},
                {"train_words", size(corpus.train)},
                {"validation_words", size(corpus.validation)},
                {"test_words", size(corpus.test)},
                {"unknown", {corpus.unknown[0], corpus.unknown[1], corpus.unknown[2]}},
                {"checksum", corpus.checksum},
                {"warnings", warnings}});
  console.result() << data.path << ": " << data.name << ", " << grouped(size(corpus.train)) << " training, "
                   << grouped(size(corpus.validation)) << " validation and " << grouped(size(corpus.test))
                   << " test words, " << grouped(different) << " different ones, checksum " << corpus.checksum << "\n"
                   << (warnings.empty() ? "No problem was found.\n" : "");
  return kSuccess;
}

}  // namespace bitcycle::cli
