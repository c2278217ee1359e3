// SPDX-License-Identifier: Apache-2.0
#include "nn/train/recorded_widths.h"

#include <set>

namespace bitcycle {
namespace {

/// One width of a layer over all records, as points.
template <typename WidthOf>
ScheduleSpec as_points(const std::vector<WidthRecord>& records, std::int64_t steps, WidthOf width_of) {
  ScheduleSpec spec;
  spec.name = "piecewise";
  spec.steps = steps;
  for (const WidthRecord& record : records) {
    const BitWidth width = width_of(record);
    if (!spec.points.empty() && spec.points.back().width == width) continue;
    spec.points.push_back({spec.points.empty() ? 0 : record.step, width});
  }
  return spec;
}

}  // namespace

PrecisionSpec recorded_precision(const RunFolder& folder, const Config& config, std::int64_t done) {
  PrecisionSpec precision = precision_spec(config);
  const auto records = folder.widths();
  if (records.empty() || records.front().step != config.fork.step || done <= config.fork.step) return precision;
  const std::int64_t known = precision.history.empty() ? 0 : precision.history.back().until;
  if (known < config.fork.step) {
    // Steps that were taken over from a run with the same schedules: the records begin behind them.
    precision.history.push_back(
        {config.fork.step, config.train.steps, precision.forward, precision.gradient, precision.layers});
  }
  PrecisionHistory ran;
  ran.until = done;
  ran.steps = config.train.steps;
  ran.forward = as_points(records, ran.steps, [](const WidthRecord& r) { return r.widths.forward; });
  ran.gradient = as_points(records, ran.steps, [](const WidthRecord& r) { return r.widths.gradient; });
  std::set<std::string> layers;
  for (const WidthRecord& record : records) {
    for (const auto& [layer, widths] : record.layers) layers.insert(layer);
  }
  for (const std::string& layer : layers) {
    const auto widths_of = [&layer](const WidthRecord& record) {
      const auto own = record.layers.find(layer);
      return own == record.layers.end() ? record.widths : own->second;
    };
    PrecisionOverride entry;
    entry.pattern = layer;
    entry.forward = as_points(records, ran.steps, [&](const WidthRecord& r) { return widths_of(r).forward; });
    entry.gradient = as_points(records, ran.steps, [&](const WidthRecord& r) { return widths_of(r).gradient; });
    ran.layers.push_back(std::move(entry));
  }
  precision.history.push_back(std::move(ran));
  return precision;
}

}  // namespace bitcycle
