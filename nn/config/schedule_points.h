// SPDX-License-Identifier: Apache-2.0
// Points of a piecewise schedule: a list in the config, or a CSV file that is read into it, so that a run's config and
// identity hold the widths themselves, wherever the file is.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "sim/schedule/schedule.h"

namespace YAML {
class Node;
}

namespace bitcycle {

/// Changes of width that one schedule may have.
constexpr std::size_t kMaxSchedulePoints = 100000;

/// A list [[step, width], ...], or the path of a CSV file, relative to `folder`. Points that change nothing are left
/// out. Throws std::invalid_argument naming the entry (and the file's line) and what is legal.
std::vector<SchedulePoint> read_schedule_points(const YAML::Node& node, const std::filesystem::path& folder);
/// Lines "step,width" in ascending order from step 0; a header of that text, empty lines and lines that begin with #
/// are passed over.
std::vector<SchedulePoint> parse_schedule_csv(std::string_view text, const std::string& origin);
/// On one line, as read_schedule_points reads it.
std::string write_schedule_points(const std::vector<SchedulePoint>& points);

}  // namespace bitcycle
