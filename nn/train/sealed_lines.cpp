// SPDX-License-Identifier: Apache-2.0
#include "nn/train/sealed_lines.h"

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string_view>

#include "nn/train/record_file.h"
#include "sim/number/digest.h"

namespace bitcycle {
namespace {

constexpr std::size_t kDigits = 16;
constexpr std::string_view kKey = ",\"checksum\":\"", kKeyEnd = "\"}";
constexpr const char* kChecksum = "checksum";

std::string digits_of(const std::string& before, const std::string& line) {
  const std::string text = before + "\n" + line;
  return to_text(digest_of(text.data(), text.size())).substr(0, kDigits);
}

bool is_object(const std::string& line) { return !line.empty() && line.back() == '}'; }

std::string join(const std::string& line, const std::string& digits) {
  if (!is_object(line)) return line + "," + digits;
  return line.substr(0, line.size() - 1) + std::string(kKey) + digits + std::string(kKeyEnd);
}

bool is_digits(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

struct Parts {
  std::string line, digits;
};

/// Line and checksum; none where the line has no checksum.
std::optional<Parts> split(const std::string& text) {
  const bool object = is_object(text);
  const std::size_t behind = object ? kKeyEnd.size() : 0, before = object ? kKey.size() : 1;
  if (text.size() < before + kDigits + behind) return std::nullopt;
  const std::size_t at = text.size() - behind - kDigits - before;
  const std::string digits = text.substr(at + before, kDigits);
  Parts parts{text.substr(0, at) + (object ? "}" : ""), digits};
  if (!is_digits(digits) || join(parts.line, digits) != text) return std::nullopt;
  return parts;
}

std::string json_seal(const std::string& digits) { return "\"" + std::string(kChecksum) + "\": \"" + digits + "\""; }
std::string open_json_seal() { return json_seal(std::string(32, '0')); }

}  // namespace

std::string LineSeal::seal(const std::string& line) {
  before_ = digits_of(before_, line);
  return join(line, before_);
}

std::string sealed_header(const std::string& header) { return header + "," + kChecksum; }

bool begins_sealed(const std::filesystem::path& path, const std::string& header) {
  std::error_code error;
  if (!std::filesystem::is_regular_file(path, error)) return false;
  std::ifstream file(path, std::ios::binary);
  std::string line;
  if (!header.empty()) std::getline(file, line);
  return std::getline(file, line) && split(line).has_value();
}

std::string first_seal(const std::filesystem::path& path, const std::string& key) {
  const std::string name = path.filename().string();
  return key.empty() ? name : name + "\n" + key;
}

SealedLines read_sealed_lines(const std::filesystem::path& path, const std::string& header, const std::string& key) {
  const auto texts = whole_lines(path);
  SealedLines result;
  result.last_checksum = first_seal(path, key);
  const std::size_t first = header.empty() ? 0 : 1;
  result.sealed = std::any_of(texts.begin(), texts.end(), [](const auto& text) { return split(text).has_value(); });
  if (first > 0 && !texts.empty() && texts[0] != (result.sealed ? sealed_header(header) : header)) {
    // A header alone may be of either version.
    if (texts.size() > 1 || texts[0] != sealed_header(header)) result.damaged_line = 1;
    return result;
  }
  for (std::size_t i = first; i < texts.size(); ++i) {
    if (!result.sealed) {
      result.lines.push_back(texts[i]);
      continue;
    }
    const auto parts = split(texts[i]);
    if (i == first && parts) {
      const std::string name_alone = first_seal(path, "");
      result.tied = digits_of(result.last_checksum, parts->line) == parts->digits;
      if (!result.tied && digits_of(name_alone, parts->line) == parts->digits) result.last_checksum = name_alone;
    }
    if (!parts || digits_of(result.last_checksum, parts->line) != parts->digits) {
      result.damaged_line = i + 1;
      return result;
    }
    result.last_checksum = parts->digits;
    result.lines.push_back(parts->line);
  }
  return result;
}

std::string seal_json(const std::string& object, const std::map<std::string, std::string>& records) {
  auto json = nlohmann::ordered_json::parse(object);
  json["records"] = records;
  json[kChecksum] = std::string(32, '0');
  std::string text = json.dump(2) + "\n";
  const std::string written = json_seal(to_text(digest_of(text.data(), text.size())));
  text.replace(text.rfind(open_json_seal()), written.size(), written);
  return text;
}

std::optional<bool> json_is_whole(const std::string& text) {
  const std::string key = "\"" + std::string(kChecksum) + "\": \"";
  const auto at = text.rfind(key);
  if (at == std::string::npos) return std::nullopt;
  if (at + open_json_seal().size() > text.size()) return false;
  const std::string digits = text.substr(at + key.size(), 32);
  if (text.compare(at, json_seal(digits).size(), json_seal(digits)) != 0) return false;
  std::string open = text;
  open.replace(at, open_json_seal().size(), open_json_seal());
  return to_text(digest_of(open.data(), open.size())) == digits;
}

}  // namespace bitcycle
