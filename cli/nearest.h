// SPDX-License-Identifier: Apache-2.0
// The known word that a mistyped one most likely means.
#pragma once

#include <string>
#include <vector>

namespace bitcycle::cli {

/// The candidate with the smallest edit distance (insert, delete, replace, swap neighbours), where that is at
/// most a third of the word's length and at least one edit is allowed; empty otherwise.
std::string nearest(const std::string& word, const std::vector<std::string>& candidates);

/// ", did you mean 'X'?", or nothing.
std::string did_you_mean(const std::string& word, const std::vector<std::string>& candidates,
                         const std::string& prefix = "");

}  // namespace bitcycle::cli
