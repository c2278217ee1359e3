// SPDX-License-Identifier: Apache-2.0
// CaseFile: the case.json of a recorded case, its keys read by name and type.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace bitcycle {

class CaseFile {
 public:
  /// Throws std::runtime_error: no such folder or file, not a JSON object.
  explicit CaseFile(const std::filesystem::path& case_dir);
  ~CaseFile();
  CaseFile(CaseFile&&) noexcept;

  /// `key` may be a path, "optimizer.lr". Each throws std::runtime_error naming file and key where it is missing or of
  /// another type.
  std::string text(const std::string& key) const;
  double number(const std::string& key) const;
  std::int64_t integer(const std::string& key) const;
  std::optional<std::int64_t> optional_integer(const std::string& key) const;
  /// A bound that deviations are compared with: a number of at least 0; null where the key is there and null: compare
  /// nothing. `fallback` where there is no such key.
  std::optional<double> tolerance(const std::string& key, double fallback) const;
  /// The same by tensor name: an object of numbers and nulls; empty where there is no such key.
  std::map<std::string, std::optional<double>> tolerances(const std::string& key) const;
  bool has(const std::string& key) const;
  /// The objects of a list.
  std::vector<CaseFile> list(const std::string& key) const;

  std::filesystem::path folder() const;
  /// Throws: `what` is wrong with this case.
  [[noreturn]] void fail(const std::string& what) const;

 private:
  struct Content;
  explicit CaseFile(std::unique_ptr<Content> content);
  std::unique_ptr<Content> content_;
};

}  // namespace bitcycle
