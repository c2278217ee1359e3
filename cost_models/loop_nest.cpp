// SPDX-License-Identifier: Apache-2.0
#include "cost_models/loop_nest.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>

namespace bitcycle {
namespace {

constexpr std::size_t kOutRole = 2;

bool tensor_indexes(ConvTensor tensor, Loop loop) {
  switch (tensor) {
    case kInputTensor: return loop != kOutChannels;
    case kWeightTensor:
      return loop == kOutChannels || loop == kInChannels || loop == kKernelRows || loop == kKernelColumns;
    case kOutputTensor: return loop == kImages || loop == kOutChannels || loop == kOutRows || loop == kOutColumns;
  }
  return false;
}

/// Rows (or columns) of inputs that a tile of outputs and taps touches, from the first to the last.
double span(double out, double taps, std::int64_t stride, std::int64_t dilation) {
  return (out - 1.0) * static_cast<double>(stride) + (taps - 1.0) * static_cast<double>(dilation) + 1.0;
}
double rows_of(const ProductLayout& layout, const Extents& tile) {
  return span(tile[kOutRows], tile[kKernelRows], layout.stride_height, layout.dilation_height);
}
double columns_of(const ProductLayout& layout, const Extents& tile) {
  return span(tile[kOutColumns], tile[kKernelColumns], layout.stride_width, layout.dilation_width);
}

/// Of a tile of inputs that moves on by itself along one loop, the share that it did not hold.
double new_share(const ProductLayout& layout, const Extents& tile, Loop loop) {
  const auto share = [&](std::int64_t pitch, double extent) {
    return std::min(1.0, tile[loop] * static_cast<double>(pitch) / extent);
  };
  switch (loop) {
    case kOutRows: return share(layout.stride_height, rows_of(layout, tile));
    case kOutColumns: return share(layout.stride_width, columns_of(layout, tile));
    case kKernelRows: return share(layout.dilation_height, rows_of(layout, tile));
    case kKernelColumns: return share(layout.dilation_width, columns_of(layout, tile));
    default: return 1.0;
  }
}

/// How the loops in time outside a level change an operand's tile there.
struct Visits {
  double all = 1.0, distinct = 1.0;
  double fetched = 1.0;  // tiles, the parts that are there already taken off
};

Visits visits_of(const LoopNest& nest, std::size_t level, std::size_t role, const ProductLayout& layout,
                 const Extents& tile) {
  Visits visits;
  double pending = 1.0, last_trips = 1.0;
  bool last_counts = false;  // the innermost loop outside changes the tile
  Loop last = kImages;
  for (std::size_t l = 0; l < level; ++l) {
    for (const auto& loop : nest[l].loops) {
      if (loop.spatial || !(loop.trips > 1.0)) continue;
      pending *= loop.trips;
      last_counts = layout.indexes(role, loop.loop);
      if (last_counts) {
        visits.all *= pending;
        visits.distinct *= loop.trips;
        pending = 1.0;
        last = loop.loop;
        last_trips = loop.trips;
      }
    }
  }
  visits.fetched = visits.all;
  if (last_counts && layout.tensor[role] == kInputTensor) {
    const double share = new_share(layout, tile, last);
    visits.fetched = visits.all / last_trips * (1.0 + (last_trips - 1.0) * share);
  }
  return visits;
}

}  // namespace

const std::vector<std::string>& loop_names() {
  static const std::vector<std::string> names{"images",      "out_channels", "in_channels",   "out_rows",
                                              "out_columns", "kernel_rows",  "kernel_columns"};
  return names;
}

bool ProductLayout::indexes(std::size_t role, Loop loop) const { return tensor_indexes(tensor[role], loop); }

double ProductLayout::words(std::size_t role, const Extents& t) const {
  switch (tensor[role]) {
    case kInputTensor: return density * t[kImages] * t[kInChannels] * rows_of(*this, t) * columns_of(*this, t);
    case kWeightTensor: return t[kOutChannels] * t[kInChannels] * t[kKernelRows] * t[kKernelColumns];
    case kOutputTensor: return t[kImages] * t[kOutChannels] * t[kOutRows] * t[kOutColumns];
  }
  return 0.0;
}

Extents tile_of(const LoopNest& nest, std::size_t level) {
  Extents tile;
  tile.fill(1.0);
  for (std::size_t l = level; l < nest.size(); ++l) {
    for (const auto& loop : nest[l].loops) tile[loop.loop] *= loop.trips;
  }
  return tile;
}

NestCounts count_words(const LoopNest& nest, const ProductLayout& layout) {
  const std::size_t levels = nest.size();
  if (levels > kMostNestLevels)
    throw std::invalid_argument("a nest of more than " + std::to_string(kMostNestLevels) + " levels");
  NestCounts counts;
  counts.instances[0] = 1.0;
  // Spatial loops by level: all of them, and those that change the role's words.
  std::array<NestCounts::ByLevel<double>, 3> related;
  NestCounts::ByLevel<double> fan_out;
  fan_out.fill(1.0);
  for (auto& r : related) r.fill(1.0);
  double steps = 1.0;
  counts.cycles = 1.0;
  for (std::size_t l = 0; l < levels; ++l) {
    for (const auto& loop : nest[l].loops) {
      if (!loop.spatial) {
        steps *= loop.trips;
        counts.cycles *= std::ceil(loop.trips - 1e-9);
        continue;
      }
      fan_out[l] *= loop.trips;
      for (std::size_t role = 0; role < 3; ++role) {
        if (layout.indexes(role, loop.loop)) related[role][l] *= loop.trips;
      }
    }
    counts.instances[l + 1] = counts.instances[l] * fan_out[l];
  }
  for (std::size_t role = 0; role < 3; ++role) {
    std::size_t above = 0;  // the level that feeds this one
    for (std::size_t s = 1; s <= levels; ++s) {
      const bool arithmetic = s == levels;
      if (!arithmetic && !nest[s].holds[role]) continue;
      Extents tile;
      tile.fill(1.0);
      if (!arithmetic) tile = tile_of(nest, s);
      const double words = arithmetic ? 1.0 : layout.words(role, tile);
      Visits visits = visits_of(nest, s, role, layout, tile);
      if (arithmetic) visits.all = visits.fetched = steps;  // a multiplier keeps nothing
      double between = 1.0;
      for (std::size_t l = above; l < s; ++l) between *= related[role][l];
      const double moved_up = role == kOutRole ? words * visits.all : 0.0;
      const double moved_down = words * (role == kOutRole ? visits.all - visits.distinct : visits.fetched);
      LevelCounts& parent = counts.levels[above][role];
      parent.reads += moved_down * between;
      parent.updates += moved_up * between;
      if (!arithmetic) counts.levels[s][role].fills = moved_down;
      for (std::size_t l = above; l < s; ++l) {
        if (!(fan_out[l] > 1.0)) continue;
        double copies = counts.instances[l + 1];
        for (std::size_t inner = l + 1; inner < s; ++inner) copies *= related[role][inner];
        counts.transfers[role][l] += (moved_up + moved_down) * copies;
      }
      above = s;
    }
  }
  return counts;
}

}  // namespace bitcycle
