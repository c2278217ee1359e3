// SPDX-License-Identifier: Apache-2.0
#include "cost_models/mapping_search.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "cost_models/mapping_spatial.h"

namespace bitcycle {
namespace {

constexpr std::size_t kKept = 3;  // descents that are started again from where they ended
constexpr std::array<std::array<std::size_t, 3>, 6> kOrders{
    {{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}}};  // roles, the one that stays longest first

class Descent {
 public:
  Descent(const Accelerator& accelerator, const Product& product, const LoopProblem& problem, const Spatial& spatial,
          std::size_t order)
      : accelerator_(accelerator), product_(product), problem_(problem) {
    std::size_t array = 0;
    nest_.resize(accelerator.hierarchy.size() + 1);
    for (std::size_t l = 0; l < accelerator.hierarchy.size(); ++l) {
      const HierarchyLevel& level = accelerator.hierarchy[l];
      nest_[l + 1].holds = level.holds;
      if (level.array) {
        spatial_.push_back(spatial[array++]);
      } else {
        buffers_.push_back(l + 1);
        spatial_.push_back(ones());
      }
    }
    for (std::size_t l = 0; l < accelerator.hierarchy.size(); ++l) {
      if (!accelerator.hierarchy[l].array) continue;
      for (std::size_t d = 0; d < kLoops; ++d) {
        const double trips = spatial_[l][d];
        if (trips > 1.0) nest_[l + 1].loops.push_back({static_cast<Loop>(d), trips, true});
      }
    }
    for (std::size_t o = 0; o < kOrders.size(); ++o) {
      for (std::size_t d = 0; d < kLoops; ++d) sorted_[o][d] = static_cast<Loop>(d);
      // Loops that change the role that stays longest come first, those that change nothing of it last.
      const auto rank = [&](Loop loop) {
        const auto& roles = kOrders[o];
        return (problem_.layout.indexes(roles[0], loop) ? 0 : 4) + (problem_.layout.indexes(roles[1], loop) ? 0 : 2) +
               (problem_.layout.indexes(roles[2], loop) ? 0 : 1);
      };
      std::stable_sort(sorted_[o].begin(), sorted_[o].end(), [&](Loop a, Loop b) { return rank(a) < rank(b); });
    }
    trips_.assign(nest_.size(), ones());
    orders_.assign(nest_.size(), order);
  }

  /// Tiles as large as the buffers take, the innermost first.
  void fill() {
    for (auto at = buffers_.rbegin(); at != buffers_.rend(); ++at) {
      for (bool grown = true; grown;) {
        grown = false;
        for (std::size_t d = 0; d < kLoops; ++d) grown = grow(*at, d, 2.0) || grown;
      }
    }
    value_ = value();
  }

  bool run() {
    if (!fits_now()) return false;
    value_ = value();
    for (bool better = true; better;) {
      better = false;
      for (const std::size_t level : buffers_) {
        for (std::size_t d = 0; d < kLoops; ++d) {
          for (const double factor : {2.0, 3.0, 0.0, 0.5, 1.0 / 3.0}) better = try_tile(level, d, factor) || better;
        }
      }
      for (std::size_t level = 0; level < nest_.size(); ++level) {
        if (level > 0 && accelerator_.hierarchy[level - 1].array) continue;
        for (std::size_t order = 0; order < kOrders.size(); ++order) better = try_order(level, order) || better;
      }
      for (const std::size_t from : buffers_) {
        for (std::size_t d = 0; d < kLoops; ++d) {
          for (const std::size_t to : buffers_) better = try_move(from, to, d) || better;
          for (std::size_t other = 0; other < kLoops; ++other) better = try_exchange(from, d, other) || better;
        }
      }
    }
    return true;
  }

  double best() const { return value_; }
  /// The nest of these trips and orders.
  const LoopNest& build() {
    for (std::size_t l = 0; l < nest_.size(); ++l) {
      if (l > 0 && accelerator_.hierarchy[l - 1].array) continue;
      nest_[l].loops.clear();
      for (const Loop loop : sorted_[orders_[l]]) {
        const double trips = l == 0 ? remaining(loop) : trips_[l][loop];
        if (trips > 1.0) nest_[l].loops.push_back({loop, trips, false});
      }
    }
    return nest_;
  }
  /// Starts again from here with a level's tile or a loop everywhere as small as can be, or with another order at a
  /// level, as long as that helps.
  void leave_local_optima() {
    for (int round = 0; round < 3; ++round) {
      const auto before = value_;
      for (const std::size_t level : buffers_) restart([&] { trips_[level] = ones(); });
      for (std::size_t level = 0; level < nest_.size(); ++level) {
        if (level > 0 && accelerator_.hierarchy[level - 1].array) continue;
        for (std::size_t order = 0; order < kOrders.size(); ++order) {
          if (order != orders_[level]) restart([&] { orders_[level] = order; });
        }
      }
      for (std::size_t d = 0; d < kLoops; ++d) {
        restart([&] {
          for (auto& trips : trips_) trips[d] = 1.0;
        });
      }
      if (!(value_ < before)) return;
    }
  }

 private:
  /// Trips of the DRAM's loop: what buffers and arrays leave.
  double remaining(std::size_t d) const {
    double inside = 1.0;
    for (std::size_t l = 1; l < trips_.size(); ++l) inside *= trips_[l][d] * spatial_[l - 1][d];
    return problem_.size[d] / inside;
  }
  template <typename Change>
  void restart(const Change& change) {
    const auto trips = trips_;
    const auto orders = orders_;
    const double value = value_;
    change();
    run();
    if (value_ < value) return;
    trips_ = trips;
    orders_ = orders;
    value_ = value;
  }
  bool fits_now() const {
    Extents tile = ones();
    for (std::size_t l = nest_.size(); l-- > 1;) {
      for (std::size_t d = 0; d < kLoops; ++d) tile[d] *= trips_[l][d] * spatial_[l - 1][d];
      if (!fits_level(accelerator_, product_, problem_, l - 1, tile)) return false;
    }
    return true;
  }
  double value() {
    return objective_of(accelerator_, product_, cost_of_nest(accelerator_, product_, problem_, build()));
  }
  bool grow(std::size_t level, std::size_t d, double factor) {
    const double left = remaining(d);
    if (!(left > 1.0)) return false;
    const double before = trips_[level][d];
    trips_[level][d] = before * std::min(factor, left);
    if (fits_now()) return true;
    trips_[level][d] = before;
    return false;
  }
  /// Keeps the change if it fits and lowers the objective.
  template <typename Undo>
  bool keep_if_better(const Undo& undo) {
    if (fits_now()) {
      const double now = value();
      if (now < value_ * (1.0 - 1e-9)) {
        value_ = now;
        return true;
      }
    }
    undo();
    return false;
  }
  /// factor 0: the whole loop.
  bool try_tile(std::size_t level, std::size_t d, double factor) {
    const double before = trips_[level][d], left = remaining(d);
    double after = before * (factor == 0.0 ? left : std::min(factor, std::max(left, 1.0)));
    if (factor > 0.0 && factor < 1.0) after = std::max(1.0, std::floor(before * factor));
    if (after == before) return false;
    trips_[level][d] = after;
    return keep_if_better([&] { trips_[level][d] = before; });
  }
  bool try_order(std::size_t level, std::size_t order) {
    const std::size_t before = orders_[level];
    if (order == before) return false;
    orders_[level] = order;
    return keep_if_better([&] { orders_[level] = before; });
  }
  /// A loop's trips from one level to another.
  bool try_move(std::size_t from, std::size_t to, std::size_t d) {
    if (from == to || !(trips_[from][d] > 1.0)) return false;
    const double had = trips_[from][d], other = trips_[to][d];
    trips_[from][d] = 1.0;
    trips_[to][d] = other * had;
    return keep_if_better([&] {
      trips_[from][d] = had;
      trips_[to][d] = other;
    });
  }

  /// Less of one loop for more of another, at one level.
  bool try_exchange(std::size_t level, std::size_t less, std::size_t more) {
    if (less == more || !(trips_[level][less] > 1.0) || !(remaining(more) > 1.0)) return false;
    const double had = trips_[level][less], other = trips_[level][more];
    const double smaller = std::max(1.0, std::floor(had / 2.0));
    trips_[level][less] = smaller;
    trips_[level][more] = other * std::min(had / smaller, remaining(more));
    return keep_if_better([&] {
      trips_[level][less] = had;
      trips_[level][more] = other;
    });
  }

  const Accelerator& accelerator_;
  const Product& product_;
  const LoopProblem& problem_;
  LoopNest nest_;
  std::vector<std::size_t> buffers_;  // levels of the nest that are buffers
  std::vector<Extents> spatial_;      // by level of the hierarchy
  std::vector<Extents> trips_;        // by level of the nest; of the DRAM unused
  std::vector<std::size_t> orders_;   // by level of the nest
  std::array<std::array<Loop, kLoops>, kOrders.size()> sorted_{};
  double value_ = 0.0;
};

}  // namespace

Mapping search_mapping(const Accelerator& accelerator, const Product& product) {
  const LoopProblem problem = loop_problem(product);
  std::vector<Descent> found;
  for (const auto& spatial : spatial_choices(accelerator, problem.size)) {
    for (const std::size_t order : {0U, 2U, 4U}) {  // each role once as the one that stays
      for (const bool filled : {false, true}) {
        Descent descent(accelerator, product, problem, spatial, order);
        if (filled) descent.fill();
        if (descent.run()) found.push_back(descent);
      }
    }
  }
  if (found.empty()) {
    throw std::invalid_argument(accelerator.name + ": a product of " + std::to_string(product.m) + " x " +
                                std::to_string(product.n) + " x " + std::to_string(product.k) +
                                " does not fit: some buffer of 'hierarchy' cannot hold one element for each array "
                                "element below it; make it larger");
  }
  const auto better = [](const auto& a, const auto& b) { return a->best() < b->best(); };
  std::vector<Descent*> ranked;
  ranked.reserve(found.size());
  for (auto& descent : found) ranked.push_back(&descent);
  std::stable_sort(ranked.begin(), ranked.end(), better);
  if (ranked.size() > kKept) ranked.resize(kKept);
  for (Descent* descent : ranked) descent->leave_local_optima();
  const LoopNest& nest = (*std::min_element(ranked.begin(), ranked.end(), better))->build();
  return {nest, cost_of_nest(accelerator, product, problem, nest)};
}

}  // namespace bitcycle
