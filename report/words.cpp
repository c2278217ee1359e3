// SPDX-License-Identifier: Apache-2.0
#include "report/words.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <cstdlib>

namespace bitcycle::report {
namespace {

/// Commas between thousands of the digits before the point; text in scientific notation stays as it is.
std::string with_thousands(const std::string& text) {
  if (text.find('e') != std::string::npos) return text;
  const std::size_t point = std::min(text.find('.'), text.size()), begin = text.starts_with('-') ? 1 : 0;
  std::string grouped;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (i > begin && i < point && (point - i) % 3 == 0) grouped += ',';
    grouped += text[i];
  }
  return grouped;
}

/// Length of the UTF-8 sequence at `at`, 0 where it is none; its code point in `code`.
std::size_t sequence(const std::string& text, std::size_t at, std::uint32_t& code) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = byte(at);
  const std::size_t length = first < 0x80 ? 1 : first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
  if ((first >= 0x80 && first < 0xC2) || first > 0xF4 || at + length > text.size()) return 0;
  code = length == 1 ? first : first & (0xFFU >> (length + 1));
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(at + i) & 0xC0U) != 0x80U) return 0;
    code = code << 6U | (byte(at + i) & 0x3FU);
  }
  const bool overlong = (length == 3 && code < 0x800) || (length == 4 && code < 0x10000);
  const bool surrogate = code >= 0xD800 && code <= 0xDFFF;
  return overlong || surrogate || code > 0x10FFFF ? 0 : length;
}

bool is_hidden(std::uint32_t code) {
  return code < 0x20 || (code >= 0x7F && code < 0xA0) || code == 0x200E || code == 0x200F || code == 0x061C ||
         (code >= 0x202A && code <= 0x202E) || (code >= 0x2066 && code <= 0x2069);
}

}  // namespace

std::string exact(double value) {
  char text[40];
  const double size = std::fabs(value);
  const bool plain = size == 0.0 || (size >= 1e-5 && size < 1e15);
  const auto end =
      std::to_chars(text, text + sizeof text, value, plain ? std::chars_format::fixed : std::chars_format::scientific);
  return with_thousands(std::string(text, end.ptr));
}

std::string exact(std::int64_t value) { return with_thousands(std::to_string(value)); }

std::string rounded(double value) {
  char text[64];
  std::snprintf(text, sizeof text, "%.2e", value);  // rounds to three digits, whatever the size
  const double three = std::strtod(text, nullptr), size = std::fabs(three);
  if (size >= 100.0 || size < 1e-4) return exact(three);
  std::snprintf(text, sizeof text, "%.*f", 2 - static_cast<int>(std::floor(std::log10(size))), three);
  return text;
}

std::string shown(const std::string& text) {
  std::string safe;
  for (std::size_t at = 0; at < text.size();) {
    std::uint32_t code = 0;
    const std::size_t length = sequence(text, at, code);
    if (length == 0 || is_hidden(code)) {
      safe += "\xEF\xBF\xBD";
      at += length == 0 ? 1 : length;
      continue;
    }
    safe.append(text, at, length);
    at += length;
  }
  return safe;
}

std::string escaped(const std::string& text) {
  std::string html;
  for (const char c : shown(text)) {
    switch (c) {
      case '&': html += "&amp;"; break;
      case '<': html += "&lt;"; break;
      case '>': html += "&gt;"; break;
      case '"': html += "&quot;"; break;
      default: html += c;
    }
  }
  return html;
}

}  // namespace bitcycle::report
