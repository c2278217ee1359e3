// SPDX-License-Identifier: Apache-2.0
// YAML that is nested more deeply than its reader goes: where, and what to say.
#pragma once

#include <yaml-cpp/mark.h>

#include <string>

namespace bitcycle {

/// What to say after the place.
extern const char* const kTooDeep;

/// The place of the deepest section or list of a text for which the reader threw YAML::DeepRecursion.
YAML::Mark deepest_place(const std::string& yaml);

}  // namespace bitcycle
