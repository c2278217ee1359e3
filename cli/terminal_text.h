// SPDX-License-Identifier: Apache-2.0
// TerminalText: what stands between every word that the program prints and the terminal. Names of files, runs and
// layers come from outside; characters in them that would move the cursor, change the order of the text or end a line
// unseen are written as escapes.
#pragma once

#include <ostream>
#include <streambuf>
#include <string>
#include <string_view>

namespace bitcycle::cli {

/// Passes UTF-8 on to another buffer. Control characters but newline and tab, characters that set the direction of
/// text, and line separators become \u and four hexadecimal digits, which JSON reads as the same character; bytes that
/// are no UTF-8 become \x and two.
class TerminalText : public std::streambuf {
 public:
  explicit TerminalText(std::streambuf* to) : to_(to) {}
  std::streambuf* to() const { return to_; }

 protected:
  int_type overflow(int_type c) override;
  std::streamsize xsputn(const char* text, std::streamsize size) override;
  int sync() override { return to_->pubsync(); }

 private:
  bool put(unsigned char c);
  bool put_raw(std::string_view text) {
    return to_->sputn(text.data(), static_cast<std::streamsize>(text.size())) ==
           static_cast<std::streamsize>(text.size());
  }
  bool put_sequence();
  bool put_invalid();

  std::streambuf* to_;
  std::string sequence_;    // of a character of several bytes, so far
  std::size_t needed_ = 0;  // bytes that it has when it is whole
};

/// Puts a stream's text through TerminalText while this object lives.
class TerminalGuard {
 public:
  explicit TerminalGuard(std::ostream& stream) : stream_(stream), text_(stream.rdbuf()) { stream_.rdbuf(&text_); }
  ~TerminalGuard() {
    stream_.flush();
    stream_.rdbuf(text_.to());
  }
  TerminalGuard(const TerminalGuard&) = delete;
  TerminalGuard& operator=(const TerminalGuard&) = delete;

 private:
  std::ostream& stream_;
  TerminalText text_;
};

/// Writes the program's own control characters as they are.
void write_control(std::ostream& out, std::string_view text);

}  // namespace bitcycle::cli
