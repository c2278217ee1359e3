// SPDX-License-Identifier: Apache-2.0
#include "nn/config/config_values.h"

#include <charconv>
#include <cmath>
#include <limits>
#include <stdexcept>

namespace bitcycle {
namespace {

std::string scalar(const YAML::Node& node, const std::string& wanted) {
  if (!node.IsDefined() || node.IsNull()) throw std::invalid_argument("it has no value; it must be " + wanted);
  if (!node.IsScalar()) {
    throw std::invalid_argument(std::string("it is a ") + (node.IsMap() ? "section" : "list") + "; it must be " +
                                wanted);
  }
  return node.Scalar();
}

template <typename T>
bool parse_number(const std::string& text, T& value) {
  const char* begin = text.data();
  const char* end = begin + text.size();
  if (begin != end && *begin == '+') ++begin;
  const auto result = std::from_chars(begin, end, value);
  return result.ec == std::errc() && result.ptr == end && begin != end;
}

std::string range_text(double first, double last) {
  if (last == std::numeric_limits<double>::infinity()) return "a number of at least " + write_real(first);
  return "a number of " + write_real(first) + " to " + write_real(last);
}

}  // namespace

std::string read_text(const YAML::Node& node) {
  if (node.IsNull()) return "";
  return scalar(node, "text");
}

std::string read_choice(const YAML::Node& node, const std::vector<std::string>& choices) {
  std::string list;
  for (const auto& choice : choices) list += (list.empty() ? "" : ", ") + choice;
  const std::string text = scalar(node, "one of: " + list);
  for (const auto& choice : choices) {
    if (text == choice) return text;
  }
  throw std::invalid_argument("it is '" + text + "'; it must be one of: " + list);
}

bool read_bool(const YAML::Node& node) {
  const std::string text = scalar(node, "true or false");
  if (text == "true") return true;
  if (text == "false") return false;
  throw std::invalid_argument("it is '" + text + "'; it must be true or false");
}

std::int64_t read_integer(const YAML::Node& node, std::int64_t first, std::int64_t last) {
  const std::string legal = last == std::numeric_limits<std::int64_t>::max()
                                ? "a whole number of at least " + std::to_string(first)
                                : "a whole number of " + std::to_string(first) + " to " + std::to_string(last);
  const std::string text = scalar(node, legal);
  std::int64_t value = 0;
  if (!parse_number(text, value) || value < first || value > last) {
    throw std::invalid_argument("it is '" + text + "'; it must be " + legal);
  }
  return value;
}

std::uint64_t read_unsigned(const YAML::Node& node) {
  const std::string legal = "a whole number of 0 to 18446744073709551615";
  const std::string text = scalar(node, legal);
  std::uint64_t value = 0;
  if (!parse_number(text, value)) throw std::invalid_argument("it is '" + text + "'; it must be " + legal);
  return value;
}

double read_real(const YAML::Node& node, double first, double last) {
  const std::string legal = range_text(first, last);
  const std::string text = scalar(node, legal);
  double value = 0.0;
  if (!parse_number(text, value) || !std::isfinite(value) || value < first || value > last) {
    throw std::invalid_argument("it is '" + text + "'; it must be " + legal);
  }
  return value;
}

std::vector<double> read_reals(const YAML::Node& node) {
  if (!node.IsSequence()) throw std::invalid_argument("it must be a list of numbers, for example [0.5, 0.75]");
  std::vector<double> values;
  for (const auto& entry : node) values.push_back(read_real(entry, 0.0, std::numeric_limits<double>::infinity()));
  return values;
}

std::vector<std::int64_t> read_integers(const YAML::Node& node, std::int64_t first, std::int64_t last) {
  if (!node.IsSequence()) throw std::invalid_argument("it must be a list of whole numbers, for example [200, 600]");
  std::vector<std::int64_t> values;
  for (const auto& entry : node) values.push_back(read_integer(entry, first, last));
  return values;
}

BitWidth read_width(const YAML::Node& node) { return BitWidth::parse(scalar(node, "a width of 2 to 32, or float32")); }

std::string write_text(const std::string& value) {
  YAML::Emitter out;
  out << YAML::DoubleQuoted << value;
  return out.c_str();
}

std::string write_real(double value) {
  char text[40];
  const auto result = std::to_chars(text, text + sizeof text, value);
  return {text, result.ptr};
}

std::string write_bool(bool value) { return value ? "true" : "false"; }

}  // namespace bitcycle
