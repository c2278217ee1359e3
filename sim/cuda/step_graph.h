// SPDX-License-Identifier: Apache-2.0
// Which launches of a step wait for which: the edges of its graph, for every Runtime.
#pragma once

#include <algorithm>
#include <map>
#include <vector>

#include "sim/cuda/runtime.h"

namespace bitcycle::gpu {

/// For each launch the indices of those that must have ended before it begins; what those wait for is left out.
///   trunk (branch 0): the trunk's last launch; with `joins` also the last launch of every branch since the last join
///   another branch: its own last launch; for its first one the trunk's last
inline std::vector<std::vector<int>> predecessors(const std::vector<Launch>& launches) {
  std::vector<std::vector<int>> after(launches.size());
  std::map<int, int> open;  // last launch of each branch that nothing waits for yet
  int trunk = -1;
  for (std::size_t i = 0; i < launches.size(); ++i) {
    const auto index = static_cast<int>(i);
    const Launch& launch = launches[i];
    if (launch.branch == 0) {
      if (trunk >= 0) after[i].push_back(trunk);
      if (launch.joins) {
        for (const auto& [branch, last] : open) after[i].push_back(last);
        open.clear();
      }
      trunk = index;
      continue;
    }
    const auto own = open.find(launch.branch);
    if (own != open.end()) {
      after[i].push_back(own->second);
    } else if (trunk >= 0) {
      after[i].push_back(trunk);
    }
    open[launch.branch] = index;
  }
  return after;
}

/// Launches on the longest chain of those that wait for each other.
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

}  // namespace bitcycle::gpu
