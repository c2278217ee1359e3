// SPDX-License-Identifier: Apache-2.0
// Numbers and names as the page writes them.
#pragma once

#include <cstdint>
#include <string>

namespace bitcycle::report {

/// The value as it is: the shortest decimal that reads back as the same binary64, thousands separated.
std::string exact(double value);
std::string exact(std::int64_t value);
/// Three significant digits, thousands separated: 92,800; 37.1; 0.0123. For sentences.
std::string rounded(double value);
/// Text that is safe to show: invalid UTF-8, control characters and marks that reverse the direction of writing
/// become U+FFFD.
std::string shown(const std::string& text);
/// shown(), with the characters that HTML reserves escaped.
std::string escaped(const std::string& text);

}  // namespace bitcycle::report
