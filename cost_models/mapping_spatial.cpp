// SPDX-License-Identifier: Apache-2.0
#include "cost_models/mapping_spatial.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace bitcycle {
namespace {

constexpr std::size_t kSpatialKept = 4;  // ways to fill the arrays that are searched further

double steps_needed(const Extents& size, const Spatial& spatial) {
  double steps = 1.0;
  for (std::size_t d = 0; d < kLoops; ++d) {
    double at_once = 1.0;
    for (const auto& level : spatial) at_once *= level[d];
    steps *= std::ceil(size[d] / at_once);
  }
  return steps;
}

/// One or two of the loops over `count` elements of a row or a column, as far as they go.
std::vector<Extents> spreads(const Extents& left, const std::vector<Loop>& loops, std::int64_t count) {
  std::vector<Extents> found{ones()};
  for (const Loop first : loops) {
    const double f = std::min(left[first], static_cast<double>(count));
    if (!(f > 1.0)) continue;
    Extents one = ones();
    one[first] = f;
    found.push_back(one);
    for (const Loop second : loops) {
      const double s = second == first ? 1.0 : std::min(left[second], std::floor(static_cast<double>(count) / f));
      if (!(s > 1.0)) continue;
      Extents two = one;
      two[second] = s;
      found.push_back(two);
    }
  }
  return found;
}

}  // namespace

Extents ones() {
  Extents extents;
  extents.fill(1.0);
  return extents;
}

std::vector<Spatial> spatial_choices(const Accelerator& accelerator, const Extents& size) {
  std::vector<Spatial> kept{{}};
  for (const auto& level : accelerator.hierarchy) {
    if (!level.array) continue;
    std::vector<Spatial> next;
    for (const auto& outer : kept) {
      Extents left = size;
      for (const auto& taken : outer) {
        for (std::size_t d = 0; d < kLoops; ++d) left[d] = std::ceil(left[d] / taken[d]);
      }
      for (const auto& rows : spreads(left, level.row_loops, level.rows)) {
        Extents rest = left;
        for (std::size_t d = 0; d < kLoops; ++d) rest[d] = std::ceil(left[d] / rows[d]);
        for (const auto& columns : spreads(rest, level.column_loops, level.columns)) {
          Extents both = rows;
          for (std::size_t d = 0; d < kLoops; ++d) both[d] *= columns[d];
          Spatial all = outer;
          all.push_back(both);
          next.push_back(std::move(all));
        }
      }
    }
    std::sort(next.begin(), next.end(), [&](const Spatial& a, const Spatial& b) {
      const double sa = steps_needed(size, a), sb = steps_needed(size, b);
      return sa != sb ? sa < sb : a < b;
    });
    next.erase(std::unique(next.begin(), next.end()), next.end());
    if (next.size() > kSpatialKept) next.resize(kSpatialKept);
    kept = std::move(next);
  }
  return kept;
}

}  // namespace bitcycle
