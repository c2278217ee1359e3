// SPDX-License-Identifier: Apache-2.0
// PrecisionPlan: the widths of every layer at every step: the forward and the gradient schedule, and
// overrides of single layers by name pattern. Trainer and cost models read the same plan.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "sim/schedule/schedule.h"

namespace bitcycle {

struct LayerWidths {
  BitWidth forward;
  BitWidth gradient;
  auto operator<=>(const LayerWidths&) const = default;
};

/// Layers whose name matches `pattern` (shell wildcards * and ?) use these schedules instead; the last
/// match wins.
struct PrecisionOverride {
  std::string pattern;
  std::optional<ScheduleSpec> forward;
  std::optional<ScheduleSpec> gradient;
  bool operator==(const PrecisionOverride&) const = default;
};

/// What the steps before `until` ran under, behind the part of the history before it: schedules of a run of `steps`.
struct PrecisionHistory {
  std::int64_t until = 0, steps = 1;
  ScheduleSpec forward;
  ScheduleSpec gradient;
  std::vector<PrecisionOverride> layers;
  bool operator==(const PrecisionHistory&) const = default;
};

struct PrecisionSpec {
  ScheduleSpec forward;
  ScheduleSpec gradient;
  std::vector<PrecisionOverride> layers;
  std::vector<PrecisionHistory> history = {};
};

class PrecisionPlan {
 public:
  PrecisionPlan(const PrecisionSpec& spec, std::int64_t steps);

  std::int64_t steps() const { return steps_; }
  /// Widths by the run's own two schedules, overrides left out.
  LayerWidths at(std::int64_t step) const;
  /// Widths of one layer.
  LayerWidths at(std::int64_t step, const std::string& layer) const;
  /// A later step up to which, exclusive, the run's own widths are those of `step`.
  std::int64_t until(std::int64_t step) const;
  /// A later step up to which, exclusive, the layer's widths are those of `step`.
  std::int64_t until(std::int64_t step, const std::string& layer) const;
  /// Largest widths that the run's own schedules name, or that a step of its history had.
  LayerWidths max() const;
  /// Largest widths of one layer, overrides applied: those that its schedule names, or that a step of the history had.
  LayerWidths max(const std::string& layer) const;
  /// Largest widths that the run's own schedules name: of a fork those of its own steps, without its history.
  LayerWidths own_max() const { return max_; }
  LayerWidths own_max(const std::string& layer) const;
  /// Steps in [begin, end) a layer spends at each pair of widths. Fast: counted by stretches and
  /// periods, cached.
  std::map<LayerWidths, std::int64_t> histogram(const std::string& layer, std::int64_t begin, std::int64_t end) const;
  /// Overrides that no layer of the list matches: a mistyped pattern.
  std::vector<std::string> unmatched(const std::vector<std::string>& layers) const;

 private:
  struct Entry {
    std::string pattern;
    std::shared_ptr<const Schedule> forward;   // null: as the run
    std::shared_ptr<const Schedule> gradient;  // null: as the run
  };
  using Pair = std::pair<const Schedule*, const Schedule*>;
  Pair schedules_of(const std::string& layer) const;

  /// Steps [begin, end) of the history, under these schedules.
  struct PastSteps {
    const PrecisionPlan* plan;
    std::int64_t begin, end;
  };
  std::vector<PastSteps> parts_of_the_past() const;

  /// The schedule of a layer with its past before it.
  const Schedule* spliced(std::vector<const Schedule*> parts) const;

  struct Cache {
    std::mutex mutex;
    std::map<std::vector<const Schedule*>, std::unique_ptr<const Schedule>> spliced;
    std::map<std::tuple<const Schedule*, const Schedule*, std::int64_t, std::int64_t>,
             std::map<LayerWidths, std::int64_t>>
        histograms;
  };

  std::int64_t steps_ = 0;
  LayerWidths max_;
  std::shared_ptr<const Schedule> forward_;
  std::shared_ptr<const Schedule> gradient_;
  std::vector<Entry> overrides_;
  std::vector<LayerWidths> override_max_;
  struct Past {
    std::int64_t until;
    std::shared_ptr<const PrecisionPlan> plan;
  };
  std::vector<Past> past_;  // `until` ascends
  std::shared_ptr<Cache> cache_ = std::make_shared<Cache>();
};

}  // namespace bitcycle
