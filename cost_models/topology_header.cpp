// SPDX-License-Identifier: Apache-2.0
#include "cost_models/topology_header.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <stdexcept>

#include "cost_models/csv.h"
#include "sim/nearest_name.h"

namespace bitcycle {
namespace {

/// A column by our name, and the names that files give it; the first one is shown.
struct Column {
  const char* name;
  std::vector<std::string> written;
};

const std::vector<Column>& convolution_columns() {
  static const std::vector<Column> columns{
      {"layer", {"Layer name", "layer", "name", "layers", "layer_id"}},
      {"ifmap_height",
       {"IFMAP Height", "ifmap_h", "input_height", "input_h", "in_height", "in_h", "height", "ih", "h"}},
      {"ifmap_width", {"IFMAP Width", "ifmap_w", "input_width", "input_w", "in_width", "in_w", "width", "iw", "w"}},
      {"filter_height", {"Filter Height", "filter_h", "kernel_height", "kernel_h", "kh"}},
      {"filter_width", {"Filter Width", "filter_w", "kernel_width", "kernel_w", "kw"}},
      {"channels", {"Channels", "channel", "input_channels", "in_channels", "num_channels", "ic", "c"}},
      {"filters",
       {"Num Filter", "num_filters", "number_of_filters", "filters", "filter", "output_channels", "out_channels", "oc",
        "o"}}};
  return columns;
}
const std::vector<Column>& product_columns() {
  static const std::vector<Column> columns{
      {"layer", {"Layer", "layer_name", "name", "layers"}}, {"m", {"M"}}, {"n", {"N"}}, {"k", {"K"}}};
  return columns;
}
const std::vector<Column>& stride_columns() {
  static const std::vector<Column> columns{
      {"stride", {"Strides", "stride"}},
      {"stride_height", {"Stride Height", "Strides Height", "stride_h", "strides_h", "sh"}},
      {"stride_width", {"Stride Width", "Strides Width", "stride_w", "strides_w", "sw"}}};
  return columns;
}
const std::vector<Column>& more_columns() {
  static const std::vector<Column> columns{{"batch", {"batch", "batch_size"}},
                                           {"padding", {"padding", "pad"}},
                                           {"dilation", {"dilation", "dilations"}},
                                           {"groups", {"groups", "group"}},
                                           {"pass", {"pass", "passes"}},
                                           {"rhs", {"rhs"}},
                                           {"lhs_bits", {"lhs_bits"}},
                                           {"rhs_bits", {"rhs_bits"}},
                                           {"sparsity", {"sparsity", "sparsity_ratio", "sparsity_support"}}};
  return columns;
}

/// "IFMAP Height" -> "ifmap_height".
std::string normal(const std::string& text) {
  std::string name;
  for (const char c : text) {
    name += c == ' ' || c == '-' ? '_' : static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  }
  return name;
}

const Column* find(const std::vector<Column>& columns, const std::string& cell) {
  const std::string name = normal(cell);
  for (const auto& column : columns) {
    for (const auto& written : column.written) {
      if (normal(written) == name) return &column;
    }
  }
  return nullptr;
}

std::string list_of(const std::vector<Column>& columns) {
  std::string text;
  for (const auto& column : columns) text += (text.empty() ? "" : ", ") + column.written.front();
  return text;
}

std::string wanted() {
  return "the header of convolutions is '" + list_of(convolution_columns()) + ", Strides', that of matrix products '" +
         list_of(product_columns()) + "'";
}

bool is_number(const std::string& cell) {
  double value = 0.0;
  const char* end = cell.data() + cell.size();
  const auto [rest, error] = std::from_chars(cell.data(), end, value);
  return error == std::errc() && rest == end;
}

[[noreturn]] void unknown(const std::string& cell, const std::vector<std::vector<Column>>& groups) {
  std::vector<std::string> names, as_written;
  for (const auto& columns : groups) {
    for (const auto& column : columns) {
      for (const auto& written : column.written) {
        names.push_back(normal(written));
        as_written.push_back(written);
      }
    }
  }
  std::string match = nearest_name(normal(cell), names);
  const auto found = std::find(names.begin(), names.end(), match);
  if (found != names.end()) match = as_written[static_cast<std::size_t>(found - names.begin())];
  throw std::invalid_argument("there is no column '" + cell + "'" +
                              (match.empty() ? "." : "; did you mean '" + match + "'?") + " Beside " + wanted() +
                              ", there may be " + list_of(more_columns()));
}

void require(const TopologyHeader& header, const std::vector<Column>& columns) {
  for (const auto& column : columns) {
    if (header.has(column.name)) continue;
    std::string also;
    for (std::size_t i = 1; i < column.written.size(); ++i) also += (also.empty() ? "" : ", ") + column.written[i];
    throw std::invalid_argument("the column '" + column.written.front() + "' is missing" +
                                (also.empty() ? "" : " (other names for it: " + also + ")") + "; " + wanted());
  }
}

}  // namespace

TopologyHeader read_topology_header(const std::vector<std::string>& cells) {
  TopologyHeader header;
  header.written = cells;
  if (cells.size() > 1 && std::all_of(cells.begin() + 1, cells.end(), is_number)) {
    throw std::invalid_argument("this is a layer; the first line must be a header that names the columns: " + wanted());
  }
  const auto names = [&](const std::vector<Column>& columns) {
    return std::any_of(cells.begin(), cells.end(), [&](const std::string& cell) {
      const Column* column = find(columns, cell);
      return column != nullptr && std::string(column->name) != "layer";
    });
  };
  header.products = names(product_columns());
  if (header.products && names(convolution_columns())) {
    throw std::invalid_argument("the header has columns of convolutions and of matrix products; write two files: " +
                                wanted());
  }
  if (!header.products && !names(convolution_columns())) {
    throw std::invalid_argument("this is no header of layers; " + wanted());
  }
  for (std::size_t i = 0; i < cells.size(); ++i) {
    if (!is_printable(cells[i])) throw std::invalid_argument("a column's name holds control characters");
    if (cells[i].empty()) throw std::invalid_argument("column " + std::to_string(i + 1) + " has no name; " + wanted());
    const Column* column = find(header.products ? product_columns() : convolution_columns(), cells[i]);
    if (column == nullptr) column = find(stride_columns(), cells[i]);
    if (column == nullptr) column = find(more_columns(), cells[i]);
    if (column == nullptr)
      unknown(cells[i], {convolution_columns(), product_columns(), stride_columns(), more_columns()});
    const auto [found, is_new] = header.columns.emplace(column->name, i);
    if (!is_new) {
      const std::string& other = cells[found->second];
      throw std::invalid_argument(other == cells[i] ? "the column '" + other + "' is there twice"
                                                    : "the columns '" + other + "' and '" + cells[i] +
                                                          "' mean the same; leave one of them out");
    }
  }
  require(header, header.products ? product_columns() : convolution_columns());
  if (header.products) {
    for (const char* name : {"padding", "dilation", "groups", "stride", "stride_height", "stride_width"}) {
      if (header.has(name)) {
        throw std::invalid_argument("the column '" + cells[header.columns.at(name)] +
                                    "' means nothing for products M, N, K");
      }
    }
  } else if (header.has("stride") == (header.has("stride_height") || header.has("stride_width"))) {
    throw std::invalid_argument(header.has("stride") ? "the columns Strides and Stride Height, Stride Width exclude "
                                                       "each other"
                                                     : "the column 'Strides' is missing (or two: Stride Height and "
                                                       "Stride Width)");
  } else if (!header.has("stride") && header.has("stride_height") != header.has("stride_width")) {
    const bool height = header.has("stride_height");
    throw std::invalid_argument("the column '" + cells[header.columns.at(height ? "stride_height" : "stride_width")] +
                                "' is there, '" + (height ? "Stride Width" : "Stride Height") +
                                "' is missing; they belong together, or one column 'Strides' is for both");
  }
  if (!header.products && header.has("rhs")) {
    throw std::invalid_argument("the column 'rhs' means nothing for convolutions, whose right operand is a weight");
  }
  if (header.has("lhs_bits") != header.has("rhs_bits")) {
    throw std::invalid_argument("the columns lhs_bits and rhs_bits belong together");
  }
  return header;
}

}  // namespace bitcycle
