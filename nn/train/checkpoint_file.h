// SPDX-License-Identifier: Apache-2.0
// Checkpoint: all of a training's state as one safetensors file, whole or absent, sealed by a checksum over all of its
// bytes, so that a flipped bit is found when it is read.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "nn/config/config.h"
#include "nn/io/safetensors.h"
#include "sim/number/digest.h"

namespace bitcycle {

/// Parameters, momenta ("momentum/<name>"), running statistics and ranges, in canonical order; metadata: what
/// ProgressState holds.
struct Checkpoint {
  std::int64_t step = 0;       // steps done
  std::int64_t best_step = 0;  // of the best evaluation so far; 0: none
  TensorFile file;
};

/// The metadata key that says which run a checkpoint is of, and its value: XXH3-128 of the config's identity.
inline constexpr const char* kIdentityKey = "identity";
std::string identity_digest(const Config& config);
/// The metadata key of the run's key (run_key.h), which stays the same where the run is made longer.
inline constexpr const char* kRunKey = "run_key";

/// "step-00000480.safetensors"
std::string checkpoint_name(std::int64_t step);
/// Steps of the checkpoint files of a folder, ascending; none where there is no folder.
std::vector<std::int64_t> checkpoint_steps(const std::filesystem::path& folder);

/// Writes the file with the metadata `step`, `best_step` and `checksum`: XXH3-128 of its bytes with 32 zeros in the
/// checksum's position. Throws as write_file_atomically does.
void write_checkpoint_file(const std::filesystem::path& path, const Checkpoint& checkpoint);
/// The same of tensors that are not all in memory: what the file says of each, and `visit`, which gives their data in
/// this order.
struct TensorStream {
  std::vector<TensorEntry> entries;
  std::function<void(const std::function<void(const std::vector<float>& data)>&)> visit;
};
/// Of `checkpoint` everything but its tensors.
void write_checkpoint_file(const std::filesystem::path& path, const Checkpoint& checkpoint,
                           const TensorStream& tensors);
/// The metadata alone, unchecked; nothing where the header cannot be read.
std::map<std::string, std::string> checkpoint_metadata(const std::filesystem::path& path);
/// Throws std::runtime_error with the path and what is wrong: unreadable, no checkpoint, other bytes than were written.
/// A file without a checksum, as other programs write them, is taken as it is.
Checkpoint read_checkpoint_file(const std::filesystem::path& path);

/// The root of the state's digest (docs/numerics.md, 10.1), from a checkpoint's tensors; averaged parameters are no
/// part of it.
Digest128 digest_root(const std::vector<NamedTensor>& tensors);

}  // namespace bitcycle
