// SPDX-License-Identifier: Apache-2.0
// Forks: a run that goes on from a checkpoint of another one, with its optimiser's state, in a folder of its own. The
// folder holds all of the run: the records of the steps that were taken over, and the widths that they had.
#pragma once

#include <filesystem>

#include "nn/config/config.h"
#include "nn/train/run_folder.h"

namespace bitcycle {

/// The config with everything that fork.run says filled in: step, digest, and precision.history where the steps before
/// had other widths than this config gives them. Where the folder `run` is there already and holds this fork, what it
/// recorded; the other run is not needed then. A config without fork.run takes over that of the folder.
/// `anew`: what the folder holds does not count. Throws std::runtime_error: no such run or checkpoint, a checkpoint
/// behind the config's end, keys that a fork must have in common with the run it comes from (listed), one folder for
/// both.
Config with_fork(Config config, const std::filesystem::path& run, bool anew);

/// The checkpoint that a config of with_fork() goes on from, with the state that its own learning rate needs.
Checkpoint forked_checkpoint(const Config& config);

/// Copies records up to fork.step, the checkpoint, and the best one before it into a folder without a checkpoint.
/// Throws where the checkpoint has not the digest that the config names.
Checkpoint take_over(const Config& config, RunFolder& folder);

}  // namespace bitcycle
