// SPDX-License-Identifier: Apache-2.0
#include "report/html_table.h"

#include <cmath>
#include <stdexcept>
#include <utility>

#include "report/words.h"

namespace bitcycle::report {

namespace {
constexpr const char* kMissing = "\xE2\x80\x93";  // an en dash
}  // namespace

HtmlCell::HtmlCell(const std::string& text) : html(text.empty() ? kMissing : escaped(text)) {}
HtmlCell::HtmlCell(const char* text) : HtmlCell(std::string(text)) {}
HtmlCell::HtmlCell(double value) : html(std::isfinite(value) ? exact(value) : kMissing) {}
HtmlCell::HtmlCell(std::int64_t value) : html(exact(value)) {}
HtmlCell::HtmlCell(int value) : html(exact(std::int64_t{value})) {}
HtmlCell::HtmlCell(std::optional<double> value) : html(value && std::isfinite(*value) ? exact(*value) : kMissing) {}

HtmlTable::HtmlTable(std::string name, std::vector<HtmlColumn> columns, std::string attributes)
    : name_(std::move(name)), attributes_(std::move(attributes)), columns_(std::move(columns)) {}

void HtmlTable::row(const std::vector<HtmlCell>& cells) {
  if (cells.size() != columns_.size()) throw std::logic_error("table " + name_ + ": a row of another length");
  body_ += "<tr>";
  for (std::size_t i = 0; i < cells.size(); ++i) {
    body_ += (columns_[i].text ? "<td class=t>" : "<td>") + cells[i].html;  // </td> may be left out in HTML
  }
  body_ += "\n";
  ++rows_;
}

std::string HtmlTable::html() const {
  std::string head;
  for (const auto& column : columns_) {
    head += "<th scope=col data-key=\"" + column.key + "\"" + (column.text ? " class=t" : "") + ">" +
            escaped(column.heading);
  }
  return "<div class=\"table\"><table data-name=\"" + name_ + "\"" + (attributes_.empty() ? "" : " " + attributes_) +
         "><thead><tr>" + head + "<tbody>\n" + body_ + "</table></div>\n";
}

}  // namespace bitcycle::report
