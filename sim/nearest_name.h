// SPDX-License-Identifier: Apache-2.0
// The right name for a mistyped one.
#pragma once

#include <string>
#include <vector>

namespace bitcycle {

/// The known name that a mistyped one most likely means; empty where none is near: more than a quarter of its letters
/// differ (one letter of a short word may), it is not the beginning of one, and not the last part of one dotted key.
std::string nearest_name(const std::string& name, const std::vector<std::string>& known);

/// "did you mean 'x'?", or "no known name is similar".
std::string suggestion(const std::string& name, const std::vector<std::string>& known);

}  // namespace bitcycle
