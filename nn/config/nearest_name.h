// SPDX-License-Identifier: Apache-2.0
// The right name for a mistyped one.
#pragma once

#include <string>
#include <vector>

namespace bitcycle {

/// "did you mean 'x'?", or "nothing known is like it" where no name is near (edit distance above half its length).
std::string suggestion(const std::string& name, const std::vector<std::string>& known);

}  // namespace bitcycle
