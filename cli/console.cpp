// SPDX-License-Identifier: Apache-2.0
#include "cli/console.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdlib>
#include <iostream>
#include <nlohmann/json.hpp>
#include <string_view>

namespace bitcycle::cli {
namespace {

std::ostream& nowhere() {
  static std::ostream stream(nullptr);
  return stream;
}

}  // namespace

Console::Console(bool json, bool quiet) : json_(json), quiet_(quiet) {}

std::ostream& Console::result() {
  if (!json_) return std::cout;
  return quiet_ ? nowhere() : std::cerr;
}

std::ostream& Console::notes() {
  if (quiet_) return nowhere();
  return json_ ? std::cerr : std::cout;
}

void Console::warning(const std::string& text) { std::cerr << "bitcycle: warning: " << text << std::endl; }

void Console::json(const nlohmann::ordered_json& value) {
  // Names that are no UTF-8 come from the file system; JSON has none.
  if (json_) std::cout << value.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) << '\n';
}

bool Console::terminal() const {
  const char* kind = std::getenv("TERM");
  return isatty(json_ ? STDERR_FILENO : STDOUT_FILENO) == 1 && kind != nullptr && std::string_view(kind) != "dumb";
}

int Console::columns() const {
  winsize size{};
  if (ioctl(json_ ? STDERR_FILENO : STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col >= 20) return size.ws_col;
  return 100;
}

bool Console::utf8() const {
  for (const char* name : {"LC_ALL", "LC_CTYPE", "LANG"}) {
    const char* value = std::getenv(name);
    if (value != nullptr && *value != '\0') {
      const std::string_view text(value);
      return text.find("UTF-8") != std::string_view::npos || text.find("utf8") != std::string_view::npos;
    }
  }
  return false;
}

}  // namespace bitcycle::cli
