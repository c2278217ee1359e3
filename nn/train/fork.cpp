// SPDX-License-Identifier: Apache-2.0
#include "nn/train/fork.h"

#include <algorithm>
#include <map>
#include <stdexcept>

#include "nn/builder/builder.h"
#include "nn/train/learning_rate.h"
#include "nn/train/run_extension.h"
#include "nn/train/run_key.h"

namespace bitcycle {
namespace {

namespace fs = std::filesystem;

bool same_folder(const fs::path& a, const fs::path& b) {
  std::error_code ignored;
  return fs::weakly_canonical(a, ignored) == fs::weakly_canonical(b, ignored);
}

/// Keys without which the steps that were taken over would not be this run's: its records, costs and epochs count them.
void check_common_keys(const Config& config, const Config& parent) {
  static const std::vector<std::string> common{"model.name",
                                               "model.classes",
                                               "model.first_layer",
                                               "model.projections",
                                               "model.vocabulary",
                                               "model.layers",
                                               "model.hidden",
                                               "model.embedding",
                                               "model.ffn",
                                               "model.heads",
                                               "model.cutoffs",
                                               "model.band_factor",
                                               "data.name",
                                               "data.dictionary",
                                               "data.train_images",
                                               "data.test_images",
                                               "train.batch",
                                               "train.time_steps",
                                               "optimizer.name",
                                               "precision.error_weights",
                                               "precision.error_grid_bits",
                                               "cost.count_batch_norm"};
  std::string text;
  for (const auto& line : identity_differences(config, parent)) {
    if (std::find(common.begin(), common.end(), line.substr(0, line.find(':'))) != common.end()) text += "\n  " + line;
  }
  if (text.empty()) return;
  throw std::runtime_error(
      "a fork has its model, data, batch, optimiser and error pass in common with the run that it " +
      std::string("comes from, '") + config.fork.run + "'; these keys differ:" + text);
}

/// What of the parent's past lies before `step`, and its own schedules up to there.
std::vector<PrecisionHistory> history_up_to(const Config& parent, std::int64_t step) {
  std::vector<PrecisionHistory> history;
  for (const auto& part : parent.precision.history) {
    history.push_back(part);
    if (part.until < step) continue;
    history.back().until = step;
    return history;
  }
  history.push_back(
      {step, parent.train.steps, parent.precision.forward, parent.precision.gradient, parent.precision.layers});
  return history;
}

/// What learning rate `plateau` has seen is state of a run that has it, and begins anew in a fork that changes to it.
/// True: the state is another one now.
bool suit_learning_rate(const Config& config, TensorFile& file) {
  const auto is_plateau_state = [](const NamedTensor& tensor) { return tensor.name == builder::kPlateauState; };
  if (!is_plateau(config.learning_rate)) return std::erase_if(file.tensors, is_plateau_state) > 0;
  if (std::any_of(file.tensors.begin(), file.tensors.end(), is_plateau_state)) return false;
  file.tensors.push_back({builder::kPlateauState, {2}, {0.0F, 0.0F}});
  return true;
}

Checkpoint parent_checkpoint(const RunFolder& parent, std::int64_t step) {
  std::vector<std::string> warnings;
  return parent.read_checkpoint(step > 0 ? std::to_string(step) : "newest", warnings);
}

}  // namespace

Config with_fork(Config config, const fs::path& run, bool anew) {
  if (!config.fork.run.empty() && same_folder(config.fork.run, run)) {
    throw std::runtime_error("the run that this one comes from and its own folder are both '" + run.string() +
                             "'; choose another folder with --out");
  }
  if (!anew && fs::exists(run / "config.yaml")) {
    const Config recorded = RunFolder::existing(run).config();
    const bool same = config.fork.run.empty() || (same_folder(config.fork.run, recorded.fork.run) &&
                                                  (config.fork.step == 0 || config.fork.step == recorded.fork.step));
    if (same) {
      config.fork = recorded.fork;
      config.precision.history = recorded.precision.history;
      return config;
    }
  }
  if (config.fork.run.empty()) return config;
  const RunFolder parent = RunFolder::existing(config.fork.run);
  const Config parent_config = parent.config();
  check_common_keys(config, parent_config);
  const Checkpoint checkpoint = parent_checkpoint(parent, config.fork.step);
  if (checkpoint.step >= config.train.steps) {
    throw std::runtime_error("the checkpoint of '" + config.fork.run + "' is of step " +
                             std::to_string(checkpoint.step) + ", and train.steps is " +
                             std::to_string(config.train.steps) + ": nothing is left to train; raise train.steps, or " +
                             "name an earlier step: --from " + config.fork.run + ":STEP");
  }
  if (const std::int64_t recorded = parent.recorded_steps(); recorded < checkpoint.step) {
    std::vector<std::string> damage = parent.record_damage();
    if (damage.empty()) damage = parent.cut_short(checkpoint.step);
    throw std::runtime_error("the first " + std::to_string(checkpoint.step) + " steps of '" + config.fork.run +
                             "' cannot be taken over: " + damage.front());
  }
  const std::string digest = to_text(digest_root(checkpoint.file.tensors));
  if (!config.fork.digest.empty() && config.fork.digest != digest) {
    throw std::runtime_error("step " + std::to_string(checkpoint.step) + " of '" + config.fork.run +
                             "' has the digest " + digest + ", not " + config.fork.digest + " as fork.digest says");
  }
  config.fork.step = checkpoint.step;
  config.fork.digest = digest;
  config.precision.history.clear();
  if (!first_difference(config, parent_config, checkpoint.step, false).empty()) {
    config.precision.history = history_up_to(parent_config, checkpoint.step);
  }
  return config;
}

Checkpoint forked_checkpoint(const Config& config) {
  Checkpoint checkpoint = parent_checkpoint(RunFolder::existing(config.fork.run), config.fork.step);
  suit_learning_rate(config, checkpoint.file);
  return checkpoint;
}

Checkpoint take_over(const Config& config, RunFolder& folder) {
  const RunFolder parent = RunFolder::existing(config.fork.run);
  const std::int64_t step = config.fork.step;
  Checkpoint checkpoint = parent_checkpoint(parent, step);
  if (to_text(digest_root(checkpoint.file.tensors)) != config.fork.digest) {
    throw std::runtime_error("step " + std::to_string(step) + " of '" + config.fork.run +
                             "' is not the state that this run goes on from: its digest is another one than " +
                             "fork.digest in '" + folder.path().string() + "'");
  }
  std::vector<Checkpoint> taken;  // the best one, and that of the step
  const auto steps = parent.checkpoint_steps();
  const std::int64_t best = checkpoint.best_step;
  if (best != step && std::find(steps.begin(), steps.end(), best) != steps.end()) {
    std::vector<std::string> warnings;
    taken.push_back(parent.read_checkpoint(std::to_string(best), warnings));
  }
  taken.push_back(std::move(checkpoint));
  std::map<std::int64_t, Digest128> suited;
  for (Checkpoint& one : taken) {
    if (suit_learning_rate(config, one.file)) suited.emplace(one.step, digest_root(one.file.tensors));
  }

  for (const auto& record : parent.steps()) {
    if (record.step < step) folder.append(record);
  }
  for (auto record : parent.evaluations()) {
    if (record.step > step) continue;
    const auto found = suited.find(record.step);
    if (found != suited.end()) record.digest = found->second;
    folder.append(record);
  }
  for (const auto& record : parent.digests()) {
    if (record.step > step) continue;
    const auto found = suited.find(record.step);
    folder.append(found == suited.end() ? record : DigestRecord{record.step, found->second, {}});
  }
  folder.flush();
  for (const Checkpoint& one : taken) {
    Checkpoint own = one;
    own.file.metadata[kIdentityKey] = identity_digest(config);
    own.file.metadata[kRunKey] = run_key(config);
    folder.write_checkpoint(own);
  }
  return std::move(taken.back());
}

}  // namespace bitcycle
