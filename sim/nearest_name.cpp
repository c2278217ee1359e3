// SPDX-License-Identifier: Apache-2.0
#include "sim/nearest_name.h"

#include <algorithm>
#include <numeric>

namespace bitcycle {
namespace {

std::size_t edit_distance(const std::string& a, const std::string& b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, replaced});
    }
  }
  return row[b.size()];
}

/// Distance of two dotted keys; a key given without its section is as near as its last part.
std::size_t key_distance(const std::string& name, const std::string& known) {
  std::size_t distance = edit_distance(name, known);
  const auto dot = known.rfind('.');
  if (name.find('.') == std::string::npos && dot != std::string::npos) {
    distance = std::min(distance, edit_distance(name, known.substr(dot + 1)) + 1);
  }
  return distance;
}

}  // namespace

std::string nearest_name(const std::string& name, const std::vector<std::string>& known) {
  std::string best;
  // Of a short word one letter may be wrong: every other short word is near otherwise.
  std::size_t best_distance = (name.size() < 4 ? 1 : std::max<std::size_t>(2, name.size() / 2)) + 1;
  for (const auto& candidate : known) {
    const std::size_t distance = key_distance(name.substr(0, 200), candidate);
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
  return best;
}

std::string suggestion(const std::string& name, const std::vector<std::string>& known) {
  const std::string best = nearest_name(name, known);
  return best.empty() ? "no known name is similar" : "did you mean '" + best + "'?";
}

}  // namespace bitcycle
