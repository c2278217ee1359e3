// SPDX-License-Identifier: Apache-2.0
// Small texts, and language models that read them.
#pragma once

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "nn/config/config.h"

namespace bitcycle::test {

/// A folder with the files of Penn Treebank, of few words: w0, w1, ..., some of them frequent.
inline void make_text(const std::filesystem::path& folder, int words = 40, int lines = 24) {
  std::uint64_t state = 1;
  for (const char* part : {"train", "valid", "test"}) {
    std::ofstream text(folder / (std::string("ptb.") + part + ".txt"), std::ios::binary);
    const bool training = std::string(part) == "train";
    if (training) {
      for (int word = 0; word < words; ++word) text << " w" << word;
      text << " <unk> \n";
    }
    for (int line = 0; line < (training ? lines : 3); ++line) {
      for (int i = 0; i < 9; ++i) {
        state = state * 6364136223846793005ULL + 1442695040888963407ULL;
        const auto range = static_cast<std::uint64_t>(i % 2 == 0 ? words : 5);
        text << " w" << (state >> 33) % range;
      }
      text << " \n";
    }
  }
}

/// `model`, `train`: lines of YAML, their keys. Few steps of small batches, an evaluation behind the last one.
inline Config text_config(const std::filesystem::path& folder, const std::string& model, const std::string& more = {},
                          const std::string& train = "steps: 3, batch: 3, time_steps: 5") {
  const std::filesystem::path file = folder / "config.yaml";
  std::ofstream(file) << "model: {" << model << "}\n"
                      << "data: {name: ptb, path: " << folder.string() << "}\n"
                      << "train: {" << train << ", evaluate_every: 100, checkpoint_every: 100, seed: 4}\n"
                      << "eval: {streams: 2}\n"
                      << "digest: {every: 1}\n"
                      << more;
  return load_config(file);
}

inline const char* const kCyclicBytes =
    "precision: {forward: {schedule: cyclic_cosine, min: 5, max: 8, cycles: 1}, "
    "gradient: {schedule: constant, max: 8}, error_weights: shared}\n";
inline const char* const kPlainSgd =
    "optimizer: {name: sgd, lr: 2, momentum: 0, weight_decay: 0, clip: 0.25}\n"
    "learning_rate: {schedule: plateau, factor: 0.25}\n";
inline const char* const kAdamw =
    "optimizer: {name: adamw, lr: 0.001, weight_decay: 0.01}\n"
    "learning_rate: {schedule: cosine, cyclic_min: 0.00001, warm_up: true, warm_up_steps: 1, warm_up_lr: 0.0000001}\n";
inline const char* const kNag =
    "optimizer: {name: nag, lr: 0.1, momentum: 0.9, clip: 0.1}\n"
    "learning_rate: {schedule: cosine, cyclic_min: 0.00001, warm_up: true, warm_up_steps: 1, warm_up_lr: 0.0000001}\n";

}  // namespace bitcycle::test
