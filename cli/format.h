// SPDX-License-Identifier: Apache-2.0
// Numbers, times and tables as people read them.
#pragma once

#include <cstdint>
#include <ostream>
#include <string>
#include <vector>

namespace bitcycle::cli {

/// With so many decimals: fixed(93.456, 2) is "93.46".
std::string fixed(double value, int decimals);
/// Thousands separated: grouped(64000) is "64,000".
std::string grouped(std::int64_t value);
/// "1 step", "64,000 steps".
std::string counted(std::int64_t value, const std::string& what);
/// Four significant digits or more, thousands separated: "12,346", "123.5", "1.235"; "1.235e-09" below 1e-6.
std::string figures(double value);
/// Of a count: whole numbers are written as such, "62"; others as figures().
std::string count_figures(double value);
/// Decimals that show the largest number of a column with five digits: 12,346, 1234.6, 1.2346.
int decimals_for(double largest);
/// fixed() with thousands separated.
std::string grouped(double value, int decimals);
/// "8 s", "1 min 57 s", "2 h 5 min", "3 d 4 h".
std::string duration(double seconds);
/// "0:08", "1:57", "2:05:00": for a line that changes.
std::string clock(double seconds);

/// Rows under a header; the first column is set left, the others right.
class Table {
 public:
  explicit Table(std::vector<std::string> header) : rows_{std::move(header)} {}
  void add(std::vector<std::string> row) { rows_.push_back(std::move(row)); }
  /// A rule before the next row.
  void rule() { rules_.push_back(rows_.size()); }
  void print(std::ostream& out) const;

 private:
  std::vector<std::vector<std::string>> rows_;
  std::vector<std::size_t> rules_;
};

}  // namespace bitcycle::cli
