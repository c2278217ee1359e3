// SPDX-License-Identifier: Apache-2.0
#include "tests/exact/recorded_outcome.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <map>
#include <sstream>

#include "sim/number/digest.h"

namespace bitcycle::test {
namespace {

using Digests = std::map<std::string, std::string>;

Digests digests_of(const StepOutcome& outcome) {
  Digests digests;
  for (const auto& [name, bytes] : outcome) digests[name] = to_text(digest_of(bytes.data(), bytes.size()));
  return digests;
}

/// A line: key, then name and digest of every tensor, separated by tabs.
std::string line_of(const std::string& key, const Digests& digests) {
  std::string line = key;
  for (const auto& [name, digest] : digests) line += '\t' + name + '\t' + digest;
  return line + '\n';
}

class Records {
 public:
  Records() {
    const char* path = std::getenv("BITCYCLE_OUTCOMES");
    if (path == nullptr || *path == '\0') return;
    path_ = path;
    std::ifstream file(path_);
    for (std::string line; std::getline(file, line);) {
      const std::size_t tab = line.find('\t');
      if (tab != std::string::npos) lines_.try_emplace(line.substr(0, tab), line.substr(tab + 1));
    }
  }
  /// Empty where there is none.
  Digests find(const std::string& key) const {
    Digests digests;
    const auto found = lines_.find(key);
    if (found == lines_.end()) return digests;
    std::istringstream rest(found->second);
    for (std::string name, digest; std::getline(rest, name, '\t') && std::getline(rest, digest, '\t');) {
      digests[name] = digest;
    }
    return digests;
  }
  void add(const std::string& key, const Digests& digests) {
    const std::string line = line_of(key, digests);
    const std::size_t tab = line.find('\t') + 1;
    lines_[key] = line.substr(tab, line.size() - tab - 1);
    if (path_.empty()) return;
    // One write, appended: other test programs do the same. A file that cannot be written costs time, not the test.
    const int file = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (file < 0) return;
    ::flock(file, LOCK_EX);
    if (::write(file, line.data(), line.size()) < 0) { /* it is computed again */
    }
    ::close(file);
  }

 private:
  std::string path_;
  std::map<std::string, std::string> lines_;
};

Records& records() {
  static Records all;
  return all;
}

std::string flag(bool value, const char* name) { return value ? std::string(" ") + name : ""; }

}  // namespace

std::string outcome_key(const NamedShape& shape, const WidthPair& widths, const StepVariant& variant) {
  return std::string(shape.reason) + " " + name_of(widths) + " error weights " +
         std::to_string(static_cast<int>(variant.error_weights)) + " grid " + std::to_string(variant.grid_bits) +
         " mask " + std::to_string(variant.mask) + flag(variant.stochastic, "stochastic") +
         flag(variant.fused_input, "fused");
}
std::string outcome_key(const NamedShape& shape, const WidthPair& widths, ErrorWeights error_weights, bool infinite) {
  return std::string(shape.reason) + " " + name_of(widths) + " overflow, error weights " +
         std::to_string(static_cast<int>(error_weights)) + flag(infinite, "infinite");
}

::testing::AssertionResult equals_reference(const std::string& key, const StepOutcome& actual,
                                            const std::function<StepOutcome()>& reference) {
  Digests expected = records().find(key);
  if (expected.empty()) {
    expected = digests_of(reference());
    records().add(key, expected);
  }
  const Digests found = digests_of(actual);
  std::string different;
  for (const auto& [name, digest] : expected) {
    const auto at = found.find(name);
    if (at == found.end() || at->second != digest) different += (different.empty() ? "" : ", ") + name;
  }
  if (different.empty() && expected.size() == found.size()) return ::testing::AssertionSuccess();
  auto failure = ::testing::AssertionFailure() << "[" << key << "] " << different << " differ";
  const StepOutcome full = reference();
  if (digests_of(full) != expected) failure << "; the record is not what the reference gives now";
  for (const auto& [name, bytes] : full) {
    const auto at = actual.find(name);
    if (at == actual.end() || at->second == bytes) continue;
    if (at->second.size() != bytes.size()) {
      failure << "; " << name << " has " << at->second.size() << " bytes, not " << bytes.size();
      continue;
    }
    const auto first = std::mismatch(bytes.begin(), bytes.end(), at->second.begin()).first - bytes.begin();
    failure << "; " << name << " first at byte " << first << " of " << bytes.size();
  }
  return failure;
}

KernelCheck& kernel_check() {
  static KernelCheck check;
  return check;
}

::testing::AssertionResult compare_with_reference(KernelLibrary& library, const std::string& key,
                                                  const std::function<StepOutcome(KernelLibrary&)>& run) {
  const auto reference = [&] { return run(*make_reference_library()); };
  KernelCheck& check = kernel_check();
  if (check.kernel.empty()) return equals_reference(key, run(library), reference);
  library.set_profiling(true);
  const StepOutcome actual = run(library);
  bool launched = false;
  for (const auto& entry : library.profile()) {
    check.seen.insert(entry.operation);
    launched = launched || entry.operation == check.kernel;
  }
  if (!launched) return ::testing::AssertionSuccess();
  ++check.steps;
  auto result = equals_reference(key, actual, reference);
  if (!result) ++check.different;
  return result;
}

}  // namespace bitcycle::test
