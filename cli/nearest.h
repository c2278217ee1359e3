// SPDX-License-Identifier: Apache-2.0
// How a message names the word that a mistyped one most likely means.
#pragma once

#include <string>
#include <vector>

#include "sim/nearest_name.h"

namespace bitcycle::cli {

/// What follows a question, or a sentence that ends here: " The columns are", ". The columns are".
inline std::string next_sentence(const std::string& before, const std::string& sentence) {
  return before + (before.ends_with("?") ? " " : ". ") + sentence;
}

/// "; did you mean 'X'?", X with the prefix that it is written with, or nothing where no candidate is near.
inline std::string did_you_mean(const std::string& word, const std::vector<std::string>& candidates,
                                const std::string& prefix = "") {
  const std::string match = nearest_name(word, candidates);
  return match.empty() ? std::string() : "; did you mean '" + prefix + match + "'?";
}

}  // namespace bitcycle::cli
