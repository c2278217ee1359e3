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

/// What is asked of tolerances: a number of at least 0 and below 1. At 1, an array of zeros would pass as well.
inline constexpr const char* kToleranceRule = "a number of at least 0 and below 1 (an array of zeros would pass at 1)";
inline bool is_tolerance(double value) { return value >= 0.0 && value < 1.0; }

/// "x.npy and y.npy are missing in DIR; ..." where files of a case are not there; else empty.
std::string missing_files(const std::filesystem::path& folder, const std::vector<std::string>& names);
/// "the key 'clos' means nothing in a case of this kind; did you mean 'close'?"
std::string unknown_key(const std::string& key, const std::vector<std::string>& known);

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
  /// A bound that deviations are compared with: a number of at least 0 and below 1, at which even zeros would pass;
  /// null where the key is there and null: compare nothing. `fallback` where there is no such key.
  std::optional<double> tolerance(const std::string& key, double fallback) const;
  /// The same by tensor name: an object of numbers and nulls; empty where there is no such key.
  std::map<std::string, std::optional<double>> tolerances(const std::string& key) const;
  bool has(const std::string& key) const;
  bool boolean(const std::string& key) const;
  /// A list of names, all of them among these.
  std::vector<std::string> names(const std::string& key, const std::vector<std::string>& known) const;
  /// An integer between bounds.
  std::int64_t integer(const std::string& key, std::int64_t least, std::int64_t most) const;
  /// Throws where it has a key that is not among these, naming the nearest that is.
  void only_keys(const std::vector<std::string>& known) const;
  /// Throws where the folder lacks one of these files, naming all that are missing and why they are needed.
  void need_files(const std::vector<std::string>& names) const;
  /// An object of numbers by name; empty where there is no such key.
  std::map<std::string, double> numbers(const std::string& key) const;
  std::vector<std::int64_t> integers(const std::string& key) const;
  std::vector<double> list_of_numbers(const std::string& key) const;
  CaseFile object(const std::string& key) const;
  /// An object of objects by name, whatever characters the names have.
  std::map<std::string, CaseFile> objects(const std::string& key) const;
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
