// SPDX-License-Identifier: Apache-2.0
// HtmlTable: a table of the page, and the data of its plots. Numbers stand in it as they are, with thousands separated;
// what is missing is a dash.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace bitcycle::report {

struct HtmlColumn {
  std::string key;      // how the page's script names it
  std::string heading;  // with the unit
  bool text = false;
};

/// A cell's HTML.
struct HtmlCell {
  HtmlCell(const std::string& text);      // NOLINT(google-explicit-constructor): rows are lists of values
  HtmlCell(const char* text);             // NOLINT(google-explicit-constructor)
  HtmlCell(double value);                 // NOLINT(google-explicit-constructor)
  HtmlCell(std::int64_t value);           // NOLINT(google-explicit-constructor)
  HtmlCell(int value);                    // NOLINT(google-explicit-constructor)
  HtmlCell(std::optional<double> value);  // NOLINT(google-explicit-constructor)
  std::string html;
};

class HtmlTable {
 public:
  /// `attributes` go into the <table> tag as they are.
  HtmlTable(std::string name, std::vector<HtmlColumn> columns, std::string attributes = "");
  void row(const std::vector<HtmlCell>& cells);
  std::string html() const;
  std::size_t rows() const { return rows_; }

 private:
  std::string name_, attributes_, body_;
  std::vector<HtmlColumn> columns_;
  std::size_t rows_ = 0;
};

}  // namespace bitcycle::report
