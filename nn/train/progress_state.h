// SPDX-License-Identifier: Apache-2.0
// What a training knows besides its tensors, so that a resumed run writes the same records: it travels in a
// checkpoint's metadata, numbers as exact hexadecimal floats.
#pragma once

#include <cstdint>
#include <map>
#include <string>

namespace bitcycle {

struct ProgressState {
  std::int64_t step = 0;  // steps done
  double best_accuracy = -1.0;
  std::int64_t best_step = 0;
  double loss_sum = 0.0;  // since the last evaluation
  std::int64_t loss_count = 0;
  std::int64_t min_scale_bound = 0;
  std::string data_checksum;
  bool evaluation_missing = false;  // of this very step: an image of it could not be read
  std::int64_t swa_models = 0;      // averaged so far
  double swa_accuracy = -1.0;       // of the newest average
  double best_swa_accuracy = -1.0;
  // Of a text: the lowest validation loss, and the test loss of that evaluation. Below 0: none yet.
  double best_loss = -1.0, best_test_loss = -1.0;
};

/// Metadata of a checkpoint whose step was to be evaluated and was not.
inline constexpr const char* kEvaluationMissing = "evaluation_missing";

std::map<std::string, std::string> to_metadata(const ProgressState& state);
/// Throws std::runtime_error naming `origin` and the key that is missing or malformed.
ProgressState from_metadata(const std::map<std::string, std::string>& metadata, const std::string& origin);

}  // namespace bitcycle
