// SPDX-License-Identifier: Apache-2.0
#include "cli/terminal_text.h"

#include <algorithm>
#include <cstdint>
#include <cstdio>

namespace bitcycle::cli {
namespace {

bool is_plain(unsigned char c) { return (c >= 0x20 && c < 0x7F) || c == '\n' || c == '\t'; }

/// Characters beyond ASCII that a terminal does not show but obeys.
bool is_obeyed(std::uint32_t c) {
  return c < 0xA0 ||                                                      // C1 controls
         c == 0x61C || c == 0x200E || c == 0x200F ||                      // direction marks
         (c >= 0x2028 && c <= 0x202E) ||                                  // line separators, embeddings, overrides
         (c >= 0x2066 && c <= 0x2069) || c == 0xFEFF ||                   // isolates, byte-order mark
         (c >= 0xFFF9 && c <= 0xFFFB) || (c >= 0xE0000 && c <= 0xE007F);  // annotations, tags
}

std::string escape(std::uint32_t c) {
  char text[16];
  if (c >= 0x10000) {  // as JSON writes it, in two halves
    const std::uint32_t rest = c - 0x10000;
    std::snprintf(text, sizeof text, "\\u%04x\\u%04x", 0xD800 + (rest >> 10), 0xDC00 + (rest & 0x3FF));
  } else {
    std::snprintf(text, sizeof text, "\\u%04x", c);
  }
  return text;
}

/// Bytes that a character beginning with `c` has; 0 where none begins so.
std::size_t length_of(unsigned char c) {
  if (c >= 0xC2 && c <= 0xDF) return 2;
  if (c >= 0xE0 && c <= 0xEF) return 3;
  if (c >= 0xF0 && c <= 0xF4) return 4;
  return 0;
}

}  // namespace

TerminalText::int_type TerminalText::overflow(int_type c) {
  if (traits_type::eq_int_type(c, traits_type::eof())) return traits_type::not_eof(c);
  return put(static_cast<unsigned char>(traits_type::to_char_type(c))) ? c : traits_type::eof();
}

std::streamsize TerminalText::xsputn(const char* text, std::streamsize size) {
  const char* const end = text + size;
  for (const char* at = text; at != end;) {
    const char* plain = at;
    if (sequence_.empty()) {
      plain = std::find_if_not(at, end, [](char c) { return is_plain(static_cast<unsigned char>(c)); });
    }
    if (plain != at) {
      if (!put_raw({at, static_cast<std::size_t>(plain - at)})) return at - text;
      at = plain;
    } else if (!put(static_cast<unsigned char>(*at++))) {
      return at - text - 1;
    }
  }
  return size;
}

bool TerminalText::put(unsigned char c) {
  if (!sequence_.empty() && (c & 0xC0) != 0x80 && !put_invalid()) return false;
  if (!sequence_.empty()) {
    sequence_.push_back(static_cast<char>(c));
    return sequence_.size() < needed_ || put_sequence();
  }
  if (is_plain(c)) return put_raw({reinterpret_cast<const char*>(&c), 1});
  if (c < 0x80) return put_raw(escape(c));
  sequence_.assign(1, static_cast<char>(c));
  needed_ = length_of(c);
  return needed_ != 0 || put_invalid();
}

/// The whole character of several bytes, as it is or as an escape.
bool TerminalText::put_sequence() {
  static constexpr std::uint32_t kSmallest[] = {0, 0, 0x80, 0x800, 0x10000};
  auto c = static_cast<std::uint32_t>(static_cast<unsigned char>(sequence_[0])) & (0xFFU >> (needed_ + 1));
  for (std::size_t i = 1; i < needed_; ++i) c = c << 6 | (static_cast<unsigned char>(sequence_[i]) & 0x3FU);
  if (c < kSmallest[needed_] || (c >= 0xD800 && c <= 0xDFFF) || c > 0x10FFFF) return put_invalid();
  const bool ok = put_raw(is_obeyed(c) ? escape(c) : sequence_);
  sequence_.clear();
  return ok;
}

bool TerminalText::put_invalid() {
  std::string text;
  for (const char c : sequence_) {
    char byte[8];
    std::snprintf(byte, sizeof byte, "\\x%02x", static_cast<unsigned>(static_cast<unsigned char>(c)));
    text += byte;
  }
  sequence_.clear();
  return put_raw(text);
}

void write_control(std::ostream& out, std::string_view text) {
  const auto* buffer = dynamic_cast<TerminalText*>(out.rdbuf());
  if (buffer == nullptr) {
    out << text;
  } else if (buffer->to()->sputn(text.data(), static_cast<std::streamsize>(text.size())) !=
             static_cast<std::streamsize>(text.size())) {
    out.setstate(std::ios::badbit);
  }
}

}  // namespace bitcycle::cli
