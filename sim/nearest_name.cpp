// SPDX-License-Identifier: Apache-2.0
#include "sim/nearest_name.h"

#include <algorithm>
#include <cstddef>
#include <utility>

namespace bitcycle {
namespace {

/// Letters inserted, left out, replaced, or two neighbours exchanged.
std::size_t edit_distance(const std::string& a, const std::string& b) {
  std::vector<std::vector<std::size_t>> d(a.size() + 1, std::vector<std::size_t>(b.size() + 1));
  for (std::size_t i = 0; i <= a.size(); ++i) {
    for (std::size_t j = 0; j <= b.size(); ++j) {
      if (i == 0 || j == 0) {
        d[i][j] = i + j;
        continue;
      }
      d[i][j] = std::min({d[i - 1][j] + 1, d[i][j - 1] + 1, d[i - 1][j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1)});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        d[i][j] = std::min(d[i][j], d[i - 2][j - 2] + 1);
      }
    }
  }
  return d[a.size()][b.size()];
}

/// Of a short word one letter may be wrong, of a longer one a quarter of them: other words are near otherwise.
std::size_t most_wrong(const std::string& word) { return std::max<std::size_t>(1, word.size() / 4); }

/// Edits between two words; kFar where there are too many for one to be meant by the other.
constexpr std::size_t kFar = 1000;
std::size_t word_distance(const std::string& a, const std::string& b) {
  const std::size_t distance = edit_distance(a, b);
  // One of two letters is no evidence.
  return distance <= most_wrong(a) && 2 * distance < std::max(a.size(), b.size()) ? distance : kFar;
}

/// "precision.forward.max" as "precision.forward" and "max".
std::pair<std::string, std::string> parts(const std::string& key) {
  const auto dot = key.rfind('.');
  return dot == std::string::npos ? std::pair<std::string, std::string>("", key)
                                  : std::pair(key.substr(0, dot), key.substr(dot + 1));
}

/// Distance of two dotted keys, section from section and last part from last part: a long section alike on both sides
/// must not make unlike keys near. A key without its section is as near as its last part.
std::size_t key_distance(const std::string& name, const std::string& known) {
  if (name == known) return 0;
  const auto [section, last] = parts(name);
  const auto [known_section, known_last] = parts(known);
  const std::size_t of_last = last == known_last ? 0 : word_distance(last, known_last);
  if (section == known_section) return of_last;
  if (section.empty()) return of_last + 1;
  if (known_section.empty()) return kFar;
  return of_last + word_distance(section, known_section);
}

}  // namespace

std::string nearest_name(const std::string& given, const std::vector<std::string>& known) {
  const std::string name = given.substr(0, 200);
  std::string best;
  std::size_t best_distance = kFar;
  for (const auto& candidate : known) {
    const std::size_t distance = key_distance(name, candidate);
    if (distance < best_distance) {
      best_distance = distance;
      best = candidate;
    }
  }
  if (!best.empty() || name.size() < 3) return best;
  // The beginning of one name is as good: 'bitfusion' means 'bitfusion-45nm'.
  for (const auto& candidate : known) {
    if (candidate.starts_with(name) && (best.empty() || candidate.size() < best.size())) best = candidate;
  }
  if (!best.empty()) return best;
  // So is the last part of one key alone, under another section: 'train.momentum' means 'optimizer.momentum'.
  const std::string last = parts(name).second;
  for (const auto& candidate : known) {
    if (last == name || parts(candidate).second != last) continue;
    if (!best.empty()) return "";
    best = candidate;
  }
  return best;
}

std::string suggestion(const std::string& name, const std::vector<std::string>& known) {
  const std::string best = nearest_name(name, known);
  return best.empty() ? "no known name is similar" : "did you mean '" + best + "'?";
}

}  // namespace bitcycle
