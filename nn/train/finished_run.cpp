// SPDX-License-Identifier: Apache-2.0
#include "nn/train/finished_run.h"

#include <stdexcept>
#include <string>

#include "nn/io/atomic_file.h"
#include "nn/train/run_damage.h"
#include "nn/train/run_folder.h"

namespace bitcycle {

std::optional<TrainSummary> finished_summary(const std::filesystem::path& run, const Config& config,
                                             TrainListener& listener) {
  if (!std::filesystem::exists(run)) return std::nullopt;
  const RunFolder folder = RunFolder::existing(run);
  if (!folder.finished()) return std::nullopt;
  const std::int64_t before = folder.config().train.steps;
  if (before != config.train.steps) {
    listener.on_start("the finished run of " + std::to_string(before) + " steps becomes one of " +
                      std::to_string(config.train.steps));
    return std::nullopt;
  }
  for (const auto& text : damage_of(folder)) listener.on_warning(text);
  for (const auto& text : unsealed_note(folder)) listener.on_warning(text);
  if (folder.checkpoint_steps().empty()) {
    listener.on_warning(
        "'" + run.string() +
        "' has no checkpoint any more: eval, export, train --from and a longer run need one; train again "
        "with --restart, or restore one from a copy");
  }
  std::optional<TrainSummary> recorded;
  try {
    recorded = parse_summary(folder.summary_json().value());
  } catch (const std::runtime_error&) {
    listener.on_start("the summary is made again from the last checkpoint");
    return std::nullopt;
  }
  require_own_summary(folder);
  recorded->run = folder.path();
  recorded->was_finished = true;
  remove_orphans(run);
  return recorded;
}

}  // namespace bitcycle
