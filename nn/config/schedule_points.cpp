// SPDX-License-Identifier: Apache-2.0
#include "nn/config/schedule_points.h"

#include <algorithm>
#include <charconv>
#include <limits>
#include <stdexcept>

#include "cost_models/csv.h"
#include "nn/config/config_values.h"
#include "nn/io/atomic_file.h"

namespace bitcycle {
namespace {

constexpr std::uintmax_t kMaxFile = std::uintmax_t{64} << 20;

/// Appends a point where the width changes. Throws where the steps do not ascend from 0.
void add_point(std::vector<SchedulePoint>& points, SchedulePoint point, std::int64_t& last_step) {
  if (last_step < 0 && point.step != 0) {
    throw std::invalid_argument("the first step is " + std::to_string(point.step) + "; the width of step 0 is missing");
  }
  if (point.step <= last_step) {
    throw std::invalid_argument("step " + std::to_string(point.step) + " follows step " + std::to_string(last_step) +
                                "; the steps must ascend");
  }
  last_step = point.step;
  if (!points.empty() && points.back().width == point.width) return;
  if (points.size() == kMaxSchedulePoints) {
    throw std::invalid_argument("the width changes more than " + std::to_string(kMaxSchedulePoints) +
                                " times, which is the most that a schedule may have");
  }
  points.push_back(point);
}

std::string_view trimmed(std::string_view text) {
  const auto first = text.find_first_not_of(" \t\r");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t\r") - first + 1);
}

const char* const kWanted =
    "lines of a step and a width are needed, as in 1000,6, under the header 'step,width' or none";

/// Throws for what no message may show: another kind of file, most likely.
void check_text(std::string_view line) {
  std::string text(line);
  std::replace(text.begin(), text.end(), '\t', ' ');
  if (is_printable(text)) return;
  throw std::invalid_argument(std::string("it holds control characters or bytes that are not text; ") + kWanted);
}

/// True for a first line that names columns: it holds no digit. Throws where it names others than step and width.
bool is_header(std::string_view line) {
  std::string names;
  for (const char c : line) {
    if (c >= '0' && c <= '9') return false;
    if (c != ' ' && c != '"') names += static_cast<char>(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
  }
  if (names == "step,width") return true;
  if (names.find("step") == std::string::npos && names.find("width") == std::string::npos) return false;
  throw std::invalid_argument("the header is '" + std::string(line.substr(0, 60)) + "'; " + kWanted +
                              (names.starts_with(",") ? " (pandas: to_csv(..., index=False))" : ""));
}

SchedulePoint parse_line(std::string_view line) {
  const auto comma = line.find(',');
  if (comma == std::string_view::npos || line.find(',', comma + 1) != std::string_view::npos) {
    throw std::invalid_argument("it is '" + std::string(line.substr(0, 60)) + "'; " + kWanted);
  }
  const std::string_view step = trimmed(line.substr(0, comma));
  SchedulePoint point;
  const auto [end, error] = std::from_chars(step.data(), step.data() + step.size(), point.step);
  if (error != std::errc() || end != step.data() + step.size() || point.step < 0) {
    throw std::invalid_argument("the step is '" + std::string(step.substr(0, 60)) +
                                "'; it must be a whole number of at least 0");
  }
  point.width = BitWidth::parse(std::string(trimmed(line.substr(comma + 1))));
  return point;
}

}  // namespace

std::vector<SchedulePoint> parse_schedule_csv(std::string_view text, const std::string& origin) {
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);  // the mark that spreadsheets put first
  std::vector<SchedulePoint> points;
  std::int64_t last_step = -1, number = 0;
  bool header_may_follow = true;
  for (std::size_t begin = 0; begin < text.size();) {
    const auto end = std::min(text.find('\n', begin), text.size());
    const std::string_view line = trimmed(text.substr(begin, end - begin));
    begin = end + 1;
    ++number;
    if (line.empty() || line.front() == '#') continue;
    const bool is_first = header_may_follow;
    header_may_follow = false;
    try {
      check_text(line);
      if (is_first && is_header(line)) continue;
      add_point(points, parse_line(line), last_step);
    } catch (const std::invalid_argument& error) {
      throw std::invalid_argument(origin + ":" + std::to_string(number) + ": " + error.what());
    }
  }
  if (points.empty()) {
    throw std::invalid_argument(origin + ": it holds no point; lines of a step and a width, as in 1000,6, are needed");
  }
  return points;
}

std::vector<SchedulePoint> read_schedule_points(const YAML::Node& node, const std::filesystem::path& folder) {
  if (node.IsScalar()) {
    const std::string path = read_text(node);
    if (path.empty()) return {};
    const auto file = folder / path;
    std::error_code ignored;
    if (std::filesystem::is_regular_file(file, ignored) && std::filesystem::file_size(file, ignored) > kMaxFile) {
      throw std::invalid_argument(file.string() + ": larger than 64 MiB, the most that a list of widths may have");
    }
    std::string text;
    try {
      text = read_file(file);
    } catch (const std::runtime_error& error) {
      throw std::invalid_argument(error.what());
    }
    return parse_schedule_csv(text, file.string());
  }
  if (node.IsNull()) return {};
  const std::string wanted = "a list of pairs of step and width, as in [[0, 4], [1000, 8]], or the path of a CSV file";
  if (!node.IsSequence()) throw std::invalid_argument("it is a section; it must be " + wanted);
  std::vector<SchedulePoint> points;
  std::int64_t last_step = -1;
  std::size_t number = 0;
  for (const auto& item : node) {
    ++number;
    try {
      if (!item.IsSequence() || item.size() != 2)
        throw std::invalid_argument("it must be a pair of step and width, as in [1000, 8]");
      SchedulePoint point;
      point.step = read_integer(item[0], 0, std::numeric_limits<std::int64_t>::max());
      point.width = read_width(item[1]);
      add_point(points, point, last_step);
    } catch (const std::invalid_argument& error) {
      throw std::invalid_argument("point " + std::to_string(number) + ": " + error.what());
    }
  }
  return points;
}

std::string write_schedule_points(const std::vector<SchedulePoint>& points) {
  std::string list = "[";
  for (const auto& point : points) {
    if (list.size() > 1) list += ", ";
    list += "[" + std::to_string(point.step) + ", " + point.width.text() + "]";
  }
  return list + "]";
}

}  // namespace bitcycle
