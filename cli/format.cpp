// SPDX-License-Identifier: Apache-2.0
#include "cli/format.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

namespace bitcycle::cli {
namespace {

/// "-1234.5" -> "-1,234.5".
std::string separate(std::string digits) {
  const std::size_t first = digits[0] == '-' ? 1 : 0;
  std::size_t end = std::min(digits.find('.'), digits.size());
  while (end > first + 3) {
    end -= 3;
    digits.insert(end, 1, ',');
  }
  return digits;
}

}  // namespace

std::string fixed(double value, int decimals) {
  char text[64];
  std::snprintf(text, sizeof text, "%.*f", decimals, value);
  return text;
}

std::string grouped(std::int64_t value) { return separate(std::to_string(value)); }

int decimals_for(double largest) {
  if (!(largest > 0.0)) return 0;
  return std::clamp(4 - static_cast<int>(std::floor(std::log10(largest))), 0, 12);
}

std::string grouped(double value, int decimals) { return separate(fixed(value, decimals)); }

std::string figures(double value) {
  const double magnitude = std::fabs(value);
  if (magnitude > 0.0 && magnitude < 1e-6) {
    char text[32];
    std::snprintf(text, sizeof text, "%.3e", value);
    return text;
  }
  int decimals = 0;
  if (magnitude > 0.0) decimals = std::clamp(3 - static_cast<int>(std::floor(std::log10(magnitude))), 0, 9);
  return separate(fixed(value, decimals));
}

std::string counted(std::int64_t value, const std::string& what) {
  return grouped(value) + " " + what + (value == 1 ? "" : "s");
}

std::string count_figures(double value) {
  return value == std::floor(value) && std::fabs(value) < 1e15 ? grouped(value, 0) : figures(value);
}

std::string duration(double seconds) {
  const auto total = static_cast<std::int64_t>(std::llround(std::max(0.0, seconds)));
  if (seconds < 10.0) return fixed(std::max(0.0, seconds), 1) + " s";
  if (total < 60) return std::to_string(total) + " s";
  if (total < 3600) return std::to_string(total / 60) + " min " + std::to_string(total % 60) + " s";
  if (total < 86400) return std::to_string(total / 3600) + " h " + std::to_string(total / 60 % 60) + " min";
  return std::to_string(total / 86400) + " d " + std::to_string(total / 3600 % 24) + " h";
}

std::string clock(double seconds) {
  const auto total = static_cast<std::int64_t>(std::llround(std::max(0.0, seconds)));
  char text[64];
  if (total < 3600) {
    std::snprintf(text, sizeof text, "%d:%02d", static_cast<int>(total / 60), static_cast<int>(total % 60));
  } else {
    std::snprintf(text, sizeof text, "%lld:%02d:%02d", static_cast<long long>(total / 3600),
                  static_cast<int>(total / 60 % 60), static_cast<int>(total % 60));
  }
  return text;
}

void Table::print(std::ostream& out) const {
  std::vector<std::size_t> widths;
  for (const auto& row : rows_) {
    widths.resize(std::max(widths.size(), row.size()));
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  std::size_t total = 0;
  for (const auto width : widths) total += width + 2;
  for (std::size_t r = 0; r < rows_.size(); ++r) {
    if (r == 1 || std::find(rules_.begin(), rules_.end(), r) != rules_.end()) {
      out << "  " << std::string(total - 2, '-') << '\n';
    }
    for (std::size_t i = 0; i < rows_[r].size(); ++i) {
      const std::string& cell = rows_[r][i];
      const std::string space(widths[i] - cell.size(), ' ');
      out << "  ";
      if (i > 0) out << space;
      out << cell;
      if (i == 0) out << space;
    }
    out << '\n';
  }
}

}  // namespace bitcycle::cli
