// SPDX-License-Identifier: Apache-2.0
#include "report/pareto.h"

namespace bitcycle::report {

std::vector<bool> pareto_front(const std::vector<Point>& points) {
  std::vector<bool> front(points.size(), true);
  for (std::size_t i = 0; i < points.size(); ++i) {
    for (const auto& other : points) {
      const bool as_good = other.cost <= points[i].cost && other.accuracy >= points[i].accuracy;
      if (as_good && (other.cost < points[i].cost || other.accuracy > points[i].accuracy)) front[i] = false;
    }
  }
  return front;
}

}  // namespace bitcycle::report
