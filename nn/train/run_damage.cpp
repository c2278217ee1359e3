// SPDX-License-Identifier: Apache-2.0
#include "nn/train/run_damage.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <stdexcept>

#include "nn/train/trainer.h"

namespace bitcycle {

std::int64_t steps_done(const RunFolder& folder) {
  std::int64_t done = 0;
  const auto checkpoints = folder.checkpoint_steps();
  if (!checkpoints.empty()) done = checkpoints.back();
  try {
    if (const auto text = folder.summary_json()) done = std::max(done, parse_summary(*text).step);
  } catch (const std::runtime_error&) {
    // damage_of() says it.
  }
  return done > 0 ? done : folder.recorded_steps();
}

namespace {

constexpr const char* kConfigFile = "config.yaml";

/// config.yaml is whole, or reading it would have thrown: another one than at the end is that of another run.
bool summary_is_foreign(const TrainSummary& summary, const std::map<std::string, std::string>& now) {
  const auto then = summary.records.find(kConfigFile), found = now.find(kConfigFile);
  return then != summary.records.end() && found != now.end() && then->second != found->second;
}

std::string foreign_summary(const RunFolder& folder) {
  return "'" + (folder.path() / "summary.json").string() + "' and '" + (folder.path() / kConfigFile).string() +
         "' are of different runs (the checksum of config.yaml is not that of summary.json)";
}

}  // namespace

void require_own_summary(const RunFolder& folder) {
  const auto text = folder.summary_json();
  if (!text || !summary_is_foreign(parse_summary(*text), folder.record_digests())) return;
  throw std::runtime_error(foreign_summary(folder) +
                           "; restore the file from a copy, or train again with --restart (this folder is kept)");
}

std::vector<std::string> damage_of(const RunFolder& folder) {
  std::vector<std::string> damage;
  for (const std::int64_t step : folder.checkpoint_steps()) {
    std::vector<std::string> none;
    try {
      folder.read_checkpoint(std::to_string(step), none);
    } catch (const std::exception& error) {
      damage.emplace_back(error.what());
    }
  }
  const auto records = damage_of_records(folder);
  damage.insert(damage.end(), records.begin(), records.end());
  return damage;
}

std::vector<std::string> damage_of_records(const RunFolder& folder) {
  std::vector<std::string> damage = folder.record_damage();
  const auto foreign = folder.foreign_checkpoints();
  damage.insert(damage.end(), foreign.begin(), foreign.end());
  const auto cut = folder.cut_short(steps_done(folder));
  // Where a line is damaged, the file ends there.
  for (const auto& text : cut) {
    const std::string path = text.substr(0, text.find("' "));
    const bool said =
        std::any_of(damage.begin(), damage.end(), [&](const auto& one) { return one.starts_with(path + ":"); });
    if (!said) damage.push_back(text);
  }
  try {
    if (const auto text = folder.summary_json()) {
      const TrainSummary summary = parse_summary(*text);
      const auto recorded = folder.recorded_digest(summary.step);
      if (recorded && *recorded != summary.digest) {
        damage.push_back("summary.json and digests.jsonl of '" + folder.path().string() +
                         "' give different digests of the last step");
      }
      const auto now = folder.record_digests();
      if (summary_is_foreign(summary, now)) {
        damage.push_back(foreign_summary(folder));
        return damage;
      }
      for (const auto& [name, digest] : summary.records) {
        const auto found = now.find(name);
        if (found == now.end() || found->second == digest) continue;
        const std::string path = "'" + (folder.path() / name).string();
        const bool said =
            std::any_of(damage.begin(), damage.end(), [&](const auto& one) { return one.starts_with(path); });
        if (said) continue;
        if (!std::filesystem::exists(folder.path() / name)) {
          damage.push_back(path + "' is missing");
          continue;
        }
        damage.push_back(path + "' was changed after the run had ended (its checksum is not that of summary.json)");
      }
    }
  } catch (const std::exception& error) {
    damage.emplace_back(error.what());
  }
  return damage;
}

std::vector<std::string> unsealed_note(const RunFolder& folder) {
  if (folder.is_sealed() || folder.recorded_steps() == 0) return {};
  return {"the records of '" + folder.path().string() +
          "' carry no checksums (an earlier version wrote them, or the checksums were removed): changes to them are "
          "not found"};
}

}  // namespace bitcycle
