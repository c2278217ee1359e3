// SPDX-License-Identifier: Apache-2.0
#include "nn/train/case_file.h"

#include <algorithm>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <sstream>
#include <stdexcept>
#include <utility>

#include "nn/train/case_json.h"
#include "sim/nearest_name.h"

namespace bitcycle {

std::string missing_files(const std::filesystem::path& folder, const std::vector<std::string>& names) {
  std::vector<std::string> missing;
  for (const auto& name : names) {
    if (!std::filesystem::exists(folder / name)) missing.push_back(name);
  }
  if (missing.empty()) return "";
  std::string list;
  for (const auto& name : missing) list += (list.empty() ? "" : ", ") + ("'" + (folder / name).string() + "'");
  return "the case needs " + list + (missing.size() == 1 ? ", which is not there" : ", which are not there") +
         "; copy the recorded case as a whole, or take out of case.json what is not recorded";
}

std::string unknown_key(const std::string& key, const std::vector<std::string>& known) {
  const std::string nearest = nearest_name(key, known);
  std::string text = "the key '" + key.substr(0, 60) + "' means nothing in a case of this kind";
  if (!nearest.empty()) return text + "; did you mean '" + nearest + "'?";
  text += "; there are ";
  for (const auto& name : known) text += (name == known.front() ? "" : ", ") + name;
  return text;
}

struct CaseFile::Content {
  std::filesystem::path folder;
  std::string location;  // "DIR/case.json" or "DIR/case.json, trajectory[3]"
  nlohmann::json json;

  const nlohmann::json* find(const std::string& key) const {
    const nlohmann::json* at = &json;
    std::istringstream parts(key);
    for (std::string part; std::getline(parts, part, '.');) {
      if (!at->is_object()) return nullptr;
      const auto found = at->find(part);
      if (found == at->end()) return nullptr;
      at = &*found;
    }
    return at;
  }
  const nlohmann::json& at(const std::string& key) const {
    const auto* value = find(key);
    if (value == nullptr) throw std::runtime_error(location + ": the key '" + key + "' is missing");
    return *value;
  }
  [[noreturn]] void wrong(const std::string& key, const std::string& wanted) const {
    throw std::runtime_error(location + ": '" + key + "' is " + at(key).dump().substr(0, 60) + ", not " + wanted);
  }
};

CaseFile::CaseFile(std::unique_ptr<Content> content) : content_(std::move(content)) {}
CaseFile::~CaseFile() = default;
CaseFile::CaseFile(CaseFile&&) noexcept = default;

CaseFile::CaseFile(const std::filesystem::path& case_dir) : content_(std::make_unique<Content>()) {
  const auto path = case_dir / "case.json";
  content_->folder = case_dir;
  content_->location = path.string();
  if (!std::filesystem::is_directory(case_dir)) {
    throw std::runtime_error("'" + case_dir.string() + "' is no folder; a case is a folder that holds case.json");
  }
  std::error_code ignored;
  std::ifstream file;
  if (std::filesystem::is_regular_file(path, ignored)) file.open(path);
  if (!file.is_open()) {
    // Most likely the folder around the cases was named.
    std::string inside;
    for (const auto& entry : std::filesystem::directory_iterator(case_dir, ignored)) {
      const std::string name = entry.path().string();
      if (std::filesystem::exists(entry.path() / "case.json", ignored) && (inside.empty() || name < inside)) {
        inside = name;
      }
    }
    throw std::runtime_error("cannot read " + path.string() + "; a case is a folder that holds case.json" +
                             (inside.empty() ? "" : ", as '" + inside + "' does"));
  }
  const std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  content_->json = parse_case_json(text, path);
  if (!content_->json.is_object()) throw std::runtime_error(path.string() + " is not a JSON object");
}

bool CaseFile::has(const std::string& key) const { return content_->find(key) != nullptr; }

bool CaseFile::boolean(const std::string& key) const {
  const auto& value = content_->at(key);
  if (!value.is_boolean()) content_->wrong(key, "true or false");
  return value.get<bool>();
}

std::vector<std::string> CaseFile::names(const std::string& key, const std::vector<std::string>& known) const {
  const auto& list = content_->at(key);
  std::vector<std::string> names;
  if (!list.is_array()) content_->wrong(key, "a list of names");
  for (const auto& value : list) {
    if (!value.is_string() || std::find(known.begin(), known.end(), value.get<std::string>()) == known.end()) {
      std::string all;
      for (const auto& name : known) all += (all.empty() ? "" : ", ") + name;
      fail(key + " names " + value.dump().substr(0, 60) + "; there are " + all);
    }
    names.push_back(value.get<std::string>());
  }
  return names;
}

std::string CaseFile::text(const std::string& key) const {
  const auto& value = content_->at(key);
  if (!value.is_string()) content_->wrong(key, "a text");
  return value.get<std::string>();
}

double CaseFile::number(const std::string& key) const {
  const auto& value = content_->at(key);
  if (!value.is_number()) content_->wrong(key, "a number");
  return value.get<double>();
}

std::int64_t CaseFile::integer(const std::string& key) const {
  const auto& value = content_->at(key);
  if (!value.is_number_integer()) content_->wrong(key, "an integer");
  return value.get<std::int64_t>();
}

std::int64_t CaseFile::integer(const std::string& key, std::int64_t least, std::int64_t most) const {
  const std::int64_t value = integer(key);
  if (value < least || value > most) {
    content_->wrong(key, "an integer from " + std::to_string(least) + " to " + std::to_string(most));
  }
  return value;
}

void CaseFile::only_keys(const std::vector<std::string>& known) const {
  if (!content_->json.is_object()) fail("an object is needed");
  for (const auto& item : content_->json.items()) {
    if (std::find(known.begin(), known.end(), item.key()) == known.end()) fail(unknown_key(item.key(), known));
  }
}

void CaseFile::need_files(const std::vector<std::string>& names) const {
  const std::string missing = missing_files(content_->folder, names);
  if (!missing.empty()) fail(missing);
}

std::optional<std::int64_t> CaseFile::optional_integer(const std::string& key) const {
  if (content_->find(key) == nullptr) return std::nullopt;
  return integer(key);
}

std::optional<double> CaseFile::tolerance(const std::string& key, double fallback) const {
  const auto* value = content_->find(key);
  if (value == nullptr) return fallback;
  if (value->is_null()) return std::nullopt;
  if (!value->is_number() || !is_tolerance(value->get<double>())) {
    content_->wrong(key, std::string(kToleranceRule) + ", or null");
  }
  return value->get<double>();
}

std::map<std::string, std::optional<double>> CaseFile::tolerances(const std::string& key) const {
  std::map<std::string, std::optional<double>> result;
  const auto* object = content_->find(key);
  if (object == nullptr) return result;
  if (!object->is_object()) content_->wrong(key, "an object of numbers by tensor name");
  for (const auto& [name, value] : object->items()) {
    const bool bound = value.is_number() && is_tolerance(value.get<double>());
    if (!bound && !value.is_null()) {
      fail(key + " of '" + name + "' is " + value.dump().substr(0, 60) + ", not " + kToleranceRule + ", or null");
    }
    result[name] = bound ? std::optional<double>(value.get<double>()) : std::nullopt;
  }
  return result;
}

std::map<std::string, double> CaseFile::numbers(const std::string& key) const {
  std::map<std::string, double> result;
  const auto* object = content_->find(key);
  if (object == nullptr) return result;
  if (!object->is_object()) content_->wrong(key, "an object of numbers by name");
  for (const auto& [name, value] : object->items()) {
    if (!value.is_number()) fail(key + " of '" + name + "' is " + value.dump().substr(0, 60) + ", not a number");
    result[name] = value.get<double>();
  }
  return result;
}

std::vector<std::int64_t> CaseFile::integers(const std::string& key) const {
  const auto& list = content_->at(key);
  std::vector<std::int64_t> result;
  if (!list.is_array()) content_->wrong(key, "a list of integers");
  for (const auto& value : list) {
    if (!value.is_number_integer()) content_->wrong(key, "a list of integers");
    result.push_back(value.get<std::int64_t>());
  }
  return result;
}

std::vector<double> CaseFile::list_of_numbers(const std::string& key) const {
  const auto& list = content_->at(key);
  std::vector<double> result;
  if (!list.is_array()) content_->wrong(key, "a list of numbers");
  for (const auto& value : list) {
    if (!value.is_number()) content_->wrong(key, "a list of numbers");
    result.push_back(value.get<double>());
  }
  return result;
}

std::map<std::string, CaseFile> CaseFile::objects(const std::string& key) const {
  const auto& object = content_->at(key);
  if (!object.is_object()) content_->wrong(key, "an object of objects");
  std::map<std::string, CaseFile> entries;
  for (const auto& [name, value] : object.items()) {
    auto content = std::make_unique<Content>();
    content->folder = content_->folder;
    content->location = content_->location + ", " + key + " of '" + name + "'";
    content->json = value;
    if (!value.is_object()) content_->wrong(key, "an object of objects");
    entries.emplace(name, CaseFile(std::move(content)));
  }
  return entries;
}

CaseFile CaseFile::object(const std::string& key) const {
  auto content = std::make_unique<Content>();
  content->folder = content_->folder;
  content->location = content_->location + ", " + key;
  content->json = content_->at(key);
  if (!content->json.is_object()) content_->wrong(key, "an object");
  return CaseFile(std::move(content));
}

std::vector<CaseFile> CaseFile::list(const std::string& key) const {
  const auto& value = content_->at(key);
  if (!value.is_array() || value.empty()) content_->wrong(key, "a list of objects");
  std::vector<CaseFile> entries;
  for (std::size_t i = 0; i < value.size(); ++i) {
    auto content = std::make_unique<Content>();
    content->folder = content_->folder;
    content->location = content_->location + ", " + key + "[" + std::to_string(i) + "]";
    content->json = value[i];
    entries.push_back(CaseFile(std::move(content)));
  }
  return entries;
}

std::filesystem::path CaseFile::folder() const { return content_->folder; }

void CaseFile::fail(const std::string& what) const { throw std::runtime_error(content_->location + ": " + what); }

}  // namespace bitcycle
