// SPDX-License-Identifier: Apache-2.0
#include "nn/data/text_file.h"

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <stdexcept>

namespace bitcycle {
namespace {

/// Bytes of the UTF-8 character at the beginning; 0: there is none. Overlong forms, surrogates and numbers above
/// 0x10FFFF are none.
std::size_t character_bytes(std::string_view text) {
  const auto byte = [&](std::size_t i) {
    return i < text.size() ? static_cast<std::uint32_t>(static_cast<unsigned char>(text[i])) : 0U;
  };
  const std::uint32_t first = byte(0);
  if (first < 0x80) return 1;
  const std::size_t size = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
  if (first < 0xC2 || first > 0xF4) return 0;
  for (std::size_t i = 1; i < size; ++i) {
    if ((byte(i) & 0xC0U) != 0x80U) return 0;
  }
  const std::uint32_t second = byte(1);
  if ((first == 0xE0 && second < 0xA0) || (first == 0xED && second > 0x9F) || (first == 0xF0 && second < 0x90) ||
      (first == 0xF4 && second > 0x8F)) {
    return 0;
  }
  return size;
}

[[noreturn]] void fail(const std::string& origin, std::string_view text, std::size_t at, const std::string& what) {
  const auto line = 1 + std::count(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(at), '\n');
  throw std::runtime_error("'" + origin + "', line " + std::to_string(line) + ": " + what);
}

void check_encoding(std::string_view text, const std::string& origin) {
  for (std::size_t at = 0; at < text.size();) {
    const auto byte = static_cast<unsigned char>(text[at]);
    if (byte == 0) fail(origin, text, at, "a byte is 0; a text holds none, so this file is damaged or of another kind");
    const std::size_t size = character_bytes(text.substr(at));
    if (size == 0) {
      char shown[8];
      std::snprintf(shown, sizeof shown, "0x%02x", byte);
      fail(origin, text, at,
           std::string("the byte ") + shown +
               " begins no UTF-8 character; convert the file to UTF-8, or get it again if it is damaged");
    }
    at += size;
  }
}

}  // namespace

std::vector<std::string_view> words_of_text(std::string_view text, const std::string& origin, const TextRules& rules) {
  constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";  // no part of the first word
  if (text.starts_with(kByteOrderMark)) text.remove_prefix(kByteOrderMark.size());
  check_encoding(text, origin);
  static constexpr std::string_view kSpace = " \t\v\f\r";
  std::vector<std::string_view> words;
  bool any = false;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    if (end == text.size() && rules.ends_with_line) {
      fail(origin, text, begin, "the file ends within this line: it was cut off; get it again");
    }
    const std::string_view line = text.substr(begin, end - begin);
    for (std::size_t at = line.find_first_not_of(kSpace); at != std::string_view::npos;) {
      const std::size_t stop = std::min(line.find_first_of(kSpace, at), line.size());
      words.push_back(line.substr(at, stop - at));
      any = true;
      at = line.find_first_not_of(kSpace, stop);
    }
    words.emplace_back(kEndOfLine);
    begin = end + 1;
  }
  if (!any) throw std::runtime_error("'" + origin + "' holds no word: it is empty, or was cut off; get it again");
  return words;
}

}  // namespace bitcycle
