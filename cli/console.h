// SPDX-License-Identifier: Apache-2.0
// Console: where a verb's words go. Text for people goes to stdout, or to stderr where --json claims stdout for
// one JSON object; warnings always to stderr.
#pragma once

#include <iosfwd>
#include <nlohmann/json_fwd.hpp>
#include <string>

namespace bitcycle::cli {

class Console {
 public:
  Console(bool json, bool quiet);

  /// The result, for people. With --json it is written to stderr, unless --quiet silences it there.
  std::ostream& result();
  /// What happens meanwhile; silent with --quiet.
  std::ostream& notes();
  void warning(const std::string& text);
  /// The result, for programs; written only with --json.
  void json(const nlohmann::ordered_json& value);

  bool wants_json() const { return json_; }
  bool quiet() const { return quiet_; }
  /// True where the text stream is a terminal that can redraw a line.
  bool terminal() const;
  /// Columns of the terminal, 100 where it is none.
  int columns() const;
  /// True where the terminal's characters are UTF-8.
  bool utf8() const;

 private:
  bool json_;
  bool quiet_;
};

}  // namespace bitcycle::cli
