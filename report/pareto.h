// SPDX-License-Identifier: Apache-2.0
// Pareto: which points of cost and accuracy no other point beats.
#pragma once

#include <vector>

namespace bitcycle::report {

/// An experiment as a point.
struct Point {
  double cost = 0.0, accuracy = 0.0;
};

/// Which points no other one beats: none is at most as costly and at least as accurate, and better in one.
std::vector<bool> pareto_front(const std::vector<Point>& points);

}  // namespace bitcycle::report
