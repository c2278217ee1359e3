// SPDX-License-Identifier: Apache-2.0
// A text as a list of words: split at white space, the end of each line a word of its own.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace bitcycle {

/// The word that stands for the end of a line, and the one that stands for words that a dictionary does not have.
inline constexpr const char* kEndOfLine = "<eos>";
inline constexpr const char* kUnknownWord = "<unk>";

struct TextRules {
  bool ends_with_line = false;  // the last line must have an end: else the file was cut off
};

/// Words of UTF-8 text, kEndOfLine after each line. They point into `text`, which must live on. White space is blank,
/// tab, vertical tab, form feed, carriage return; a line ends with a line feed. Throws std::runtime_error naming
/// `origin` and the line: no word at all, bytes that are not UTF-8, a byte 0, a last line that was cut off.
std::vector<std::string_view> words_of_text(std::string_view text, const std::string& origin, const TextRules& rules);

}  // namespace bitcycle
