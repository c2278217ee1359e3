// SPDX-License-Identifier: Apache-2.0
// The levels of a hierarchy in an accelerator's file: docs/cost-models.md, Hierarchies.
#include <algorithm>
#include <set>

#include "cost_models/accelerator.h"
#include "cost_models/yaml_section.h"

namespace bitcycle {
namespace {

const std::vector<std::string> kRoleNames{"lhs", "rhs", "out"};

/// Names of a list, each one of `known` and none twice.
std::vector<std::size_t> read_names(YamlSection& section, const std::string& key,
                                    const std::vector<std::string>& known) {
  const YAML::Node list = section.need(key);
  if (!list.IsSequence() || list.size() == 0) {
    section.fail(list, "'" + section.name(key) + "' must be a list of at least one name, e.g. [" + known.front() + "]");
  }
  std::vector<std::size_t> found;
  for (const auto& entry : list) {
    if (!entry.IsScalar()) section.fail(entry, "'" + section.name(key) + "' must be a list of names");
    const std::size_t index = section.choice_index(key, entry.Scalar(), known);
    if (std::find(found.begin(), found.end(), index) != found.end()) {
      section.fail(entry, "'" + entry.Scalar() + "' is twice in '" + section.name(key) + "'");
    }
    found.push_back(index);
  }
  return found;
}

std::string joined(const std::vector<std::size_t>& indices, const std::vector<std::string>& names) {
  std::string text;
  for (const auto index : indices) text += (text.empty() ? "" : ", ") + names[index];
  return text;
}

void read_array_level(YamlSection section, HierarchyLevel& level, BufferSpec& spec) {
  section.only({"rows", "columns", "row_loops", "column_loops", "transfer"});
  level.array = true;
  level.rows = section.count("rows", 1, 100000);
  level.columns = section.count("columns", 1, 100000);
  section.note("rows", std::to_string(level.rows));
  section.note("columns", std::to_string(level.columns));
  const auto loops = [&](const std::string& key, std::vector<Loop>& result) {
    std::vector<std::size_t> all(loop_names().size());
    for (std::size_t i = 0; i < all.size(); ++i) all[i] = i;
    const auto found = section.has(key) ? read_names(section, key, loop_names()) : all;
    for (const auto index : found) result.push_back(static_cast<Loop>(index));
    section.note(key, joined(found, loop_names()));
  };
  loops("row_loops", level.row_loops);
  loops("column_loops", level.column_loops);
  spec.read_pj_per_bit = section.quantity("transfer", QuantityKind::kEnergyPerBit, true);
  section.finish();
}

void read_buffer_level(YamlSection section, HierarchyLevel& level, BufferSpec& spec) {
  section.only({"holds", "size", "double_buffered", "read", "write", "bandwidth"});
  const auto roles = read_names(section, "holds", kRoleNames);
  for (const auto role : roles) level.holds.at(role) = true;
  section.note("holds", joined(roles, kRoleNames));
  spec.size_bits = section.quantity("size", QuantityKind::kSize, false);
  spec.double_buffered = section.flag_or("double_buffered", true);
  section.note("double_buffered", spec.double_buffered ? "true: half of it is used at a time" : "false");
  spec.read_pj_per_bit = section.quantity("read", QuantityKind::kEnergyPerBit, true);
  spec.write_pj_per_bit = section.quantity("write", QuantityKind::kEnergyPerBit, true);
  level.usable_bits = spec.usable_bits();
  if (section.has("bandwidth") && !section.is_word("bandwidth", "unlimited")) {
    level.bits_per_cycle = section.quantity("bandwidth", QuantityKind::kRate, false);
  }
  section.finish();
}

}  // namespace

void read_hierarchy(YamlSection levels, Accelerator& result) {
  constexpr std::size_t kMostLevels = 12;
  const auto names = levels.keys();
  if (names.empty() || names.size() > kMostLevels) {
    levels.fail(YAML::Node(),
                "'hierarchy' must have 1 to " + std::to_string(kMostLevels) + " levels, from the DRAM inwards");
  }
  result.rows = result.columns = 1;
  for (const auto& name : names) {
    HierarchyLevel level;
    BufferSpec spec;
    level.name = spec.name = name;
    YamlSection section = levels.section(name);
    if (section.has("rows")) {
      read_array_level(section, level, spec);
      result.rows *= level.rows;
      result.columns *= level.columns;
      if (result.rows > 1000000 || result.columns > 1000000) {
        levels.fail(levels.need(name), "the arrays have more than 1000000 rows or columns together");
      }
    } else {
      read_buffer_level(section, level, spec);
    }
    result.hierarchy.push_back(level);
    result.buffers.push_back(spec);
  }
}

}  // namespace bitcycle
