// SPDX-License-Identifier: Apache-2.0
// One line of CSV, read and written: cells in double quotes may hold commas, and a quote as two.
#pragma once

#include <string>
#include <vector>

namespace bitcycle {

/// Cells without surrounding blanks and quotes; empty ones at the end are left out, as SCALE-Sim ends each line with a
/// comma. Throws std::invalid_argument where a quote does not end, or something follows it.
std::vector<std::string> split_csv(const std::string& line);

/// The text as a cell: in quotes where it holds a comma, a quote, or blanks at its ends.
std::string csv_cell(const std::string& text);

/// False for names that no terminal and no table should meet: control characters, marks that turn the direction of
/// writing, and what is not UTF-8.
bool is_printable(const std::string& text);

}  // namespace bitcycle
