// SPDX-License-Identifier: Apache-2.0
// Which launches of a step wait for which: the edges of its graph, for every Runtime.
#pragma once

#include <algorithm>
#include <cstdint>
#include <list>
#include <map>
#include <vector>

#include "cuda/runtime/runtime.h"

namespace bitcycle::gpu {

/// For each launch the indices of those that must have ended before it begins; what those wait for is left out.
///   main sequence (branch 0): its last launch; with `waits_for_branches` also the last launch of every
///     branch since it last waited
///   another branch: its own last launch; for its first one the main sequence's last
inline std::vector<std::vector<int>> predecessors(const std::vector<Launch>& launches) {
  std::vector<std::vector<int>> after(launches.size());
  std::map<int, int> open;  // last launch of each branch that nothing waits for yet
  int main_last = -1;
  for (std::size_t i = 0; i < launches.size(); ++i) {
    const auto index = static_cast<int>(i);
    const Launch& launch = launches[i];
    if (launch.branch == 0) {
      if (main_last >= 0) after[i].push_back(main_last);
      if (launch.waits_for_branches) {
        for (const auto& [branch, last] : open) after[i].push_back(last);
        open.clear();
      }
      main_last = index;
      continue;
    }
    const auto own = open.find(launch.branch);
    if (own != open.end()) {
      after[i].push_back(own->second);
    } else if (main_last >= 0) {
      after[i].push_back(main_last);
    }
    open[launch.branch] = index;
  }
  return after;
}

/// Launches on the critical path: the longest sequence of those that wait for each other.
inline int critical_path(const std::vector<Launch>& launches) {
  const auto after = predecessors(launches);
  std::vector<int> length(launches.size(), 1);
  int longest = 0;
  for (std::size_t i = 0; i < launches.size(); ++i) {
    for (const int before : after[i]) length[i] = std::max(length[i], length[static_cast<std::size_t>(before)] + 1);
    longest = std::max(longest, length[i]);
  }
  return longest;
}

/// The graphs of the steps that were run, the most recent ones of them: a step with the same kernels on the same grids
/// uses its graph again. Schedules with widths for every layer have more sequences of kernels than memory should hold.
template <typename Native>
class StepGraphs {
 public:
  static constexpr std::size_t kMost = 16;

  struct Graph {
    std::vector<Launch> launches;  // with the arguments that its nodes have
    Native native;
    std::uint64_t used = 0;
  };

  /// The graph of these launches. Where there is none, `make(launches)` makes its Native, after `before_drop()` and
  /// without the graph that was not used for longest, if there are too many. Where there is one, `update(native, i,
  /// launch)` is called for each node whose arguments changed.
  template <typename Make, typename Update, typename BeforeDrop>
  Graph& of(const std::vector<Launch>& launches, Make make, Update update, BeforeDrop before_drop) {
    ++time_;
    for (Graph& graph : graphs_) {
      if (!std::equal(graph.launches.begin(), graph.launches.end(), launches.begin(), launches.end(),
                      [](const Launch& a, const Launch& b) { return a.same_shape(b); })) {
        continue;
      }
      graph.used = time_;
      for (std::size_t i = 0; i < launches.size(); ++i) {
        if (graph.launches[i].same_arguments(launches[i])) continue;
        graph.launches[i] = launches[i];
        update(graph.native, i, graph.launches[i]);
      }
      return graph;
    }
    if (graphs_.size() == kMost) {
      before_drop();
      graphs_.erase(std::min_element(graphs_.begin(), graphs_.end(),
                                     [](const Graph& a, const Graph& b) { return a.used < b.used; }));
    }
    graphs_.push_back({launches, make(launches), time_});
    return graphs_.back();
  }
  std::size_t size() const { return graphs_.size(); }

 private:
  std::list<Graph> graphs_;
  std::uint64_t time_ = 0;
};

}  // namespace bitcycle::gpu
