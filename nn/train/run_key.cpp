// SPDX-License-Identifier: Apache-2.0
#include "nn/train/run_key.h"

#include <algorithm>
#include <vector>

#include "nn/config/config_table.h"
#include "sim/number/digest.h"

namespace bitcycle {

bool is_key_of_schedules(const std::string& key) {
  static const std::vector<std::string> exact{"train.steps", "precision.layers", "optimizer.lr"};
  static const std::vector<std::string> sections{"precision.forward.", "precision.gradient.", "learning_rate."};
  if (key == "precision.gradient.rounding" || key == "precision.gradient.zero_on_grid") return false;
  if (std::find(exact.begin(), exact.end(), key) != exact.end()) return true;
  return std::any_of(sections.begin(), sections.end(), [&](const auto& section) { return key.starts_with(section); });
}

std::string run_key(const Config& config) {
  const Config defaults;
  std::string text;
  for (const auto& entry : config_table()) {
    // A fork's records are those of its config and of its past widths, whichever run they were taken from.
    const bool of_the_past = entry.key.starts_with("fork.") || entry.key == "precision.history";
    if (!entry.identity || is_key_of_schedules(entry.key) || of_the_past) continue;
    // A key that a later version adds has a default under which runs are what they were.
    if (const std::string value = entry.write(config); value != entry.write(defaults)) {
      text += entry.key + ": " + value + "\n";
    }
  }
  return to_text(digest_of(text.data(), text.size()));
}

}  // namespace bitcycle
