// SPDX-License-Identifier: Apache-2.0
#include "nn/config/recorded_config.h"

#include "nn/config/config_error.h"
#include "sim/number/digest.h"

namespace bitcycle {
namespace {

const std::string kLine = "# XXH3-128 of the lines above: ";

std::string checksum_of(const std::string& text) { return to_text(digest_of(text.data(), text.size())); }

}  // namespace

std::string recorded_config_yaml(const Config& config) {
  const std::string text = config_yaml(config);
  return text + kLine + checksum_of(text) + "\n";
}

bool is_sealed_config(const std::string& yaml) {
  const auto line = yaml.rfind(kLine);
  return line != std::string::npos && (line == 0 || yaml[line - 1] == '\n');
}

Config parse_recorded_config(const std::string& yaml, const std::string& origin) {
  const auto line = yaml.rfind(kLine);
  const bool sealed = is_sealed_config(yaml);
  if (sealed && yaml.substr(line) != kLine + checksum_of(yaml.substr(0, line)) + "\n") {
    throw ConfigError(
        origin + ": this file was damaged or changed after it was written (its lines do not have the " +
        "checksum that its last line gives). Restore the file from a copy; another config is trained from a " +
        "file of its own, in another folder");
  }
  if (sealed) return parse_config(yaml, origin);
  if (!yaml.empty() && yaml.back() != '\n') {
    throw ConfigError(origin +
                      ": its last line was cut off; restore the file from a copy, or start again with --restart");
  }
  return parse_complete_config(yaml, origin);
}

}  // namespace bitcycle
