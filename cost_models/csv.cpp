// SPDX-License-Identifier: Apache-2.0
#include "cost_models/csv.h"

#include <algorithm>
#include <cstdint>
#include <stdexcept>

namespace bitcycle {
namespace {

bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\r'; }

std::string trimmed(const std::string& text) {
  std::size_t begin = 0, end = text.size();
  while (begin < end && is_blank(text[begin])) ++begin;
  while (end > begin && is_blank(text[end - 1])) --end;
  return text.substr(begin, end - begin);
}

}  // namespace

std::vector<std::string> split_csv(const std::string& line) {
  std::vector<std::string> cells;
  std::size_t at = 0;
  while (at <= line.size()) {
    while (at < line.size() && is_blank(line[at])) ++at;
    if (at < line.size() && line[at] == '"') {
      std::string cell;
      for (++at;; ++at) {
        if (at >= line.size()) throw std::invalid_argument("a quoted cell does not end");
        if (line[at] != '"') {
          cell += line[at];
        } else if (at + 1 < line.size() && line[at + 1] == '"') {
          cell += line[++at];
        } else {
          break;
        }
      }
      ++at;
      while (at < line.size() && is_blank(line[at])) ++at;
      if (at < line.size() && line[at] != ',') throw std::invalid_argument("text follows a quoted cell");
      cells.push_back(cell);
    } else {
      const std::size_t end = std::min(line.find(',', at), line.size());
      cells.push_back(trimmed(line.substr(at, end - at)));
      at = end;
    }
    ++at;
  }
  while (!cells.empty() && cells.back().empty()) cells.pop_back();
  return cells;
}

std::string csv_cell(const std::string& text) {
  const bool plain = text.find_first_of(",\"") == std::string::npos && trimmed(text) == text;
  if (plain) return text;
  std::string cell = "\"";
  for (const char c : text) cell += c == '"' ? std::string("\"\"") : std::string(1, c);
  return cell + "\"";
}

bool is_printable(const std::string& text) {
  for (std::size_t i = 0; i < text.size();) {
    const auto byte = [&](std::size_t k) { return static_cast<std::uint8_t>(text[k]); };
    const std::uint8_t lead = byte(i);
    const std::size_t length = lead < 0x80 ? 1 : lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
    if ((lead >= 0x80 && lead < 0xc2) || lead > 0xf4 || i + length > text.size()) return false;
    std::uint32_t code = length == 1 ? lead : lead & (0x7fU >> length);
    for (std::size_t k = 1; k < length; ++k) {
      if ((byte(i + k) & 0xc0) != 0x80) return false;
      code = (code << 6) | (byte(i + k) & 0x3fU);
    }
    const bool overlong = (length == 3 && code < 0x800) || (length == 4 && code < 0x10000);
    const bool control = code < 0x20 || (code >= 0x7f && code < 0xa0) || code == 0x2028 || code == 0x2029;
    const bool direction = code == 0x61c || code == 0x200e || code == 0x200f || (code >= 0x202a && code <= 0x202e) ||
                           (code >= 0x2066 && code <= 0x2069);
    if (overlong || control || direction || (code >= 0xd800 && code < 0xe000) || code > 0x10ffff) return false;
    i += length;
  }
  return true;
}

}  // namespace bitcycle
