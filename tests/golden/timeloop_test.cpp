// SPDX-License-Identifier: Apache-2.0
// Words at every level of five recorded mappings of Timeloop, counted from their loop nests.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "cost_models/loop_nest.h"
#include "recorded_costs.h"

namespace bitcycle::test {
namespace {

struct Case {
  std::map<std::string, double> problem;
  std::vector<std::string> levels;  // from DRAM inwards
  LoopNest nest;
  std::map<std::string, double> tiles;   // "level tensor": words
  std::map<std::string, double> counts;  // "level tensor key": words of an instance
  double cycles = 0.0;
};

const std::map<std::string, Loop> kDimensions{{"N", kImages},       {"M", kOutChannels}, {"C", kInChannels},
                                              {"P", kOutRows},      {"Q", kOutColumns},  {"R", kKernelRows},
                                              {"S", kKernelColumns}};
const std::vector<std::string> kTensors{"Inputs", "Weights", "Outputs"};  // lhs, rhs, out

std::size_t level_of(Case& c, const std::string& name) {
  for (std::size_t l = 0; l < c.levels.size(); ++l) {
    if (c.levels[l] == name) return l;
  }
  c.levels.push_back(name);
  c.nest.push_back({{false, false, false}, {}});
  return c.levels.size() - 1;
}

std::map<std::string, Case> recorded() {
  std::map<std::string, Case> cases;
  for (const auto& cells : read_csv(BITCYCLE_GOLDEN "/costs/timeloop_reference.csv")) {
    const std::string &record = cells.at(1), &level = cells.at(2), &tensor = cells.at(3), &key = cells.at(4),
                      &value = cells.at(6), &note = cells.at(8);
    Case& c = cases[cells.at(0)];
    if (record == "problem") {
      c.problem[key] = std::stod(value);
    } else if (record == "keep") {
      const auto at = static_cast<std::size_t>(std::find(kTensors.begin(), kTensors.end(), tensor) - kTensors.begin());
      c.nest[level_of(c, level)].holds.at(at) = true;
      c.tiles[level + " " + tensor] = std::stod(value);
    } else if (record == "loop") {
      const auto at = level_of(c, level);
      c.nest[at].loops.push_back({kDimensions.at(key), std::stod(value), note.starts_with("spatial")});
    } else if (record == "count" && (key == "reads" || key == "fills" || key == "updates" || key == "used_instances") &&
               !tensor.empty()) {
      c.counts[level + " " + tensor + " " + key] = std::stod(value);
    } else if (record == "summary" && key == "cycles") {
      c.cycles = std::stod(value);
    }
  }
  return cases;
}

TEST(Timeloop, every_count_of_every_recorded_mapping_is_met) {
  auto cases = recorded();
  ASSERT_EQ(cases.size(), 5U);
  std::size_t compared = 0;
  for (auto& [name, c] : cases) {
    ProductLayout layout;
    layout.stride_height = static_cast<std::int64_t>(c.problem.at("Hstride"));
    layout.stride_width = static_cast<std::int64_t>(c.problem.at("Wstride"));
    const NestCounts counts = count_words(c.nest, layout);
    EXPECT_EQ(counts.cycles, c.cycles) << name;
    for (std::size_t l = 0; l < c.levels.size(); ++l) {
      for (std::size_t role = 0; role < 3; ++role) {
        const std::string at = c.levels[l] + " " + kTensors[role];
        if (!c.tiles.contains(at)) continue;
        EXPECT_EQ(layout.words(role, tile_of(c.nest, l)), c.tiles.at(at)) << name << " " << at;
        const LevelCounts& ours = counts.levels[l][role];
        EXPECT_EQ(counts.instances[l], c.counts.at(at + " used_instances")) << name << " " << at;
        EXPECT_EQ(ours.reads, c.counts.at(at + " reads")) << name << " " << at;
        EXPECT_EQ(ours.fills, c.counts.at(at + " fills")) << name << " " << at;
        EXPECT_EQ(ours.updates, c.counts.at(at + " updates")) << name << " " << at;
        compared += 3;
      }
    }
  }
  EXPECT_EQ(compared, 132U);
}

}  // namespace
}  // namespace bitcycle::test
