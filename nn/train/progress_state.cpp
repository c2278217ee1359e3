// SPDX-License-Identifier: Apache-2.0
#include "nn/train/progress_state.h"

#include <cstdio>
#include <cstdlib>
#include <stdexcept>

namespace bitcycle {
namespace {

std::string exact(double value) {
  char text[64];
  std::snprintf(text, sizeof text, "%a", value);
  return text;
}

}  // namespace

std::map<std::string, std::string> to_metadata(const ProgressState& state) {
  std::map<std::string, std::string> metadata{{"step", std::to_string(state.step)},
                                              {"best_accuracy", exact(state.best_accuracy)},
                                              {"best_step", std::to_string(state.best_step)},
                                              {"loss_sum", exact(state.loss_sum)},
                                              {"loss_count", std::to_string(state.loss_count)},
                                              {"min_scale_bound", std::to_string(state.min_scale_bound)},
                                              {"data_checksum", state.data_checksum}};
  if (state.evaluation_missing) metadata[kEvaluationMissing] = "true";
  if (state.swa_models > 0) {
    metadata["swa_models"] = std::to_string(state.swa_models);
    metadata["swa_accuracy"] = exact(state.swa_accuracy);
    metadata["best_swa_accuracy"] = exact(state.best_swa_accuracy);
  }
  if (state.best_loss >= 0.0) {
    metadata["best_loss"] = exact(state.best_loss);
    metadata["best_test_loss"] = exact(state.best_test_loss);
  }
  return metadata;
}

ProgressState from_metadata(const std::map<std::string, std::string>& metadata, const std::string& origin) {
  const auto text = [&](const std::string& key) {
    const auto found = metadata.find(key);
    if (found == metadata.end()) {
      throw std::runtime_error(origin + ": its metadata lack '" + key + "'; this is no checkpoint of a training");
    }
    return found->second;
  };
  const auto number = [&](const std::string& key) {
    const std::string value = text(key);
    char* end = nullptr;
    const double result = std::strtod(value.c_str(), &end);
    if (value.empty() || *end != '\0') {
      throw std::runtime_error(origin + ": metadata '" + key + "' is '" + value + "', not a number");
    }
    return result;
  };
  const auto integer = [&](const std::string& key) { return static_cast<std::int64_t>(number(key)); };
  ProgressState state;
  state.step = integer("step");
  state.best_accuracy = number("best_accuracy");
  state.best_step = integer("best_step");
  state.loss_sum = number("loss_sum");
  state.loss_count = integer("loss_count");
  state.min_scale_bound = integer("min_scale_bound");
  state.data_checksum = text("data_checksum");
  state.evaluation_missing = metadata.count(kEvaluationMissing) != 0;
  if (metadata.count("swa_models") != 0) {
    state.swa_models = integer("swa_models");
    state.swa_accuracy = number("swa_accuracy");
    state.best_swa_accuracy = number("best_swa_accuracy");
  }
  if (metadata.count("best_loss") != 0) {
    state.best_loss = number("best_loss");
    state.best_test_loss = number("best_test_loss");
  }
  return state;
}

}  // namespace bitcycle
