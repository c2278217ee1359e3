// SPDX-License-Identifier: Apache-2.0
#include "cost_models/validation.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <map>
#include <sstream>
#include <stdexcept>

#include "cost_models/loop_nest.h"
#include "cost_models/pricing.h"
#include "cost_models/scalesim_report.h"

namespace bitcycle {
namespace {

using Row = std::map<std::string, std::string>;

/// Rows of a CSV file by the names of its header. Cells may be quoted; spaces around them are dropped.
std::vector<Row> read_rows(const std::string& path) {
  std::ifstream file(path);
  if (!file) throw std::invalid_argument("cannot read the recorded run '" + path + "'");
  const auto cells_of = [](const std::string& line) {
    std::vector<std::string> cells(1);
    bool quoted = false;
    for (const char c : line) {
      if (c == '"') {
        quoted = !quoted;
      } else if (c == ',' && !quoted) {
        cells.emplace_back();
      } else if (c != '\r' && !(c == ' ' && !quoted && cells.back().empty())) {
        cells.back() += c;
      }
    }
    return cells;
  };
  std::vector<std::string> header;
  std::vector<Row> rows;
  for (std::string line; std::getline(file, line);) {
    if (line.empty()) continue;
    const auto cells = cells_of(line);
    if (header.empty()) {
      header = cells;
      continue;
    }
    if (cells.size() > header.size()) throw std::invalid_argument(path + ": a row has more cells than the header");
    Row& row = rows.emplace_back();
    for (std::size_t i = 0; i < cells.size(); ++i) row[header[i]] = cells[i];
  }
  if (rows.empty()) throw std::invalid_argument("the recorded run '" + path + "' has no rows");
  return rows;
}

double real(const Row& row, const std::string& name) {
  const auto found = row.find(name);
  if (found == row.end()) throw std::invalid_argument("a recorded run has no column '" + name + "'");
  try {
    return std::stod(found->second);
  } catch (const std::exception&) {
    throw std::invalid_argument("'" + found->second + "' in column '" + name + "' of a recorded run is no number");
  }
}
std::int64_t whole(const Row& row, const std::string& name) { return static_cast<std::int64_t>(real(row, name)); }

/// One recorded run; columns with counts are compared exactly, the others relatively.
class Comparison {
 public:
  Comparison(std::string accelerator, std::string record) {
    validation_.accelerator = std::move(accelerator);
    validation_.record = std::move(record);
    validation_.columns = {{{}, 0.0, false}, {{}, 0.0, true}};
  }
  void next_row() { ++validation_.rows; }
  void count(const Row& row, const std::string& name, double ours) {
    add(validation_.columns[0], name, std::abs(ours - real(row, name)));
  }
  void measure(const Row& row, const std::string& name, double ours) {
    add(validation_.columns[1], name, std::abs(ours / real(row, name) - 1.0));
  }
  const Validation& result() const { return validation_; }

 private:
  static void add(ComparedColumns& columns, const std::string& name, double difference) {
    if (std::find(columns.names.begin(), columns.names.end(), name) == columns.names.end())
      columns.names.push_back(name);
    if (!(difference <= columns.largest)) columns.largest = difference;  // a NaN stays
  }
  Validation validation_;
};

const BufferTraffic& traffic(const Accelerator& accelerator, const ProductCost& cost, const std::string& name) {
  for (std::size_t i = 0; i < accelerator.buffers.size(); ++i) {
    if (accelerator.buffers[i].name == name) return cost.buffers.at(i);
  }
  throw std::invalid_argument(accelerator.name + " has no buffer '" + name + "'");
}

/// A layer of SCALE-Sim's topologies: batch 1, no padding.
Product scalesim_product(const Row& layer, int bits) {
  Product product;
  Windows& w = product.windows;
  w.images = 1;
  w.height = whole(layer, "IFMAP Height");
  w.width = whole(layer, "IFMAP Width");
  w.kernel_height = whole(layer, "Filter Height");
  w.kernel_width = whole(layer, "Filter Width");
  w.channels = whole(layer, "Channels");
  w.stride_height = w.stride_width = whole(layer, "Strides");
  w.out_height = (w.height - w.kernel_height + 2 * w.stride_height - 1) / w.stride_height;
  w.out_width = (w.width - w.kernel_width + 2 * w.stride_height - 1) / w.stride_height;
  product.m = w.pixels();
  product.n = whole(layer, "Num Filter");
  product.k = w.taps();
  product.lhs_bits = product.rhs_bits = bits;
  return product;
}

Validation scalesim(const std::string& records, const std::string& accelerators, const std::string& dataflow) {
  // Its words are bytes, results included.
  const Accelerator accelerator =
      load_accelerator(accelerators + "/systolic-int8.yaml", {{"dataflow", dataflow}, {"output_bits", "8"}});
  Comparison compared("systolic-int8", "SCALE-Sim 2.0.2, ResNet-18, 32 x 32 array, " + dataflow);
  const auto layers = read_rows(records + "/topologies/resnet18.csv");
  for (const auto& row : read_rows(records + "/costs/scalesim_2.0.2_resnet18_32x32.csv")) {
    if (row.at("dataflow") != dataflow) continue;
    const auto layer =
        std::find_if(layers.begin(), layers.end(), [&](const Row& l) { return l.at("Layer name") == row.at("layer"); });
    if (layer == layers.end()) throw std::invalid_argument("resnet18.csv has no layer '" + row.at("layer") + "'");
    const ProductCost cost = cost_of(accelerator, scalesim_product(*layer, 8));
    compared.next_row();
    compared.count(row, "total_cycles", cost.total_cycles());
    compared.count(row, "stall_cycles", cost.stall_cycles);
    const BufferTraffic &lhs = traffic(accelerator, cost, "ifmap"), &rhs = traffic(accelerator, cost, "filter"),
                        &out = traffic(accelerator, cost, "ofmap");
    compared.count(row, "sram_ifmap_reads_words", lhs.read_bits / 8);
    compared.count(row, "sram_filter_reads_words", rhs.read_bits / 8);
    compared.count(row, "sram_ofmap_writes_words", out.write_bits / 8);
    compared.count(row, "dram_ifmap_reads_words", lhs.write_bits / 8);
    compared.count(row, "dram_filter_reads_words", rhs.write_bits / 8);
    compared.count(row, "dram_ofmap_writes_words", cost.dram_write_bits / 8);
    compared.measure(row, "overall_util_pct", 100.0 * cost.utilisation());
    compared.measure(row, "mapping_eff_pct", 100.0 * cost.mapped_macs / cost.mapped_slots);
    compared.measure(row, "compute_util_pct", scalesim_compute_utilisation(accelerator, cost));
  }
  return compared.result();
}

Product fusion_product(const Row& row) {
  Product product;
  product.batch = whole(row, "B");
  product.out = whole(row, "O");
  product.kernel = whole(row, "K");
  product.stride = whole(row, "S");
  product.in_channels = whole(row, "IC");
  product.out_channels = whole(row, "OC");
  product.im2col = row.at("im2col") == "1";
  product.lhs_bits = static_cast<int>(whole(row, "iprec"));
  product.rhs_bits = static_cast<int>(whole(row, "wprec"));
  product.m = product.batch * product.out * product.out;
  product.n = product.out_channels;
  product.k = product.in_channels * product.kernel * product.kernel;
  return product;
}

Validation bitfusion(const std::string& records, const std::string& accelerators) {
  const Accelerator accelerator = load_accelerator(accelerators + "/bitfusion-45nm.yaml");
  Comparison compared("bitfusion-45nm", "Bit Fusion's simulator, ResNet-20 (CIFAR), batch 16, seven pairs of widths");
  for (const auto& row : read_rows(records + "/costs/bitfusion_resnet20_cifar_b16.csv")) {
    const ProductCost cost = cost_of(accelerator, fusion_product(row));
    compared.next_row();
    compared.count(row, "cycles", cost.total_cycles());
    compared.count(row, "stall_cycles", cost.stall_cycles);
    for (const char* buffer : {"wbuf", "ibuf", "obuf"}) {
      compared.count(row, std::string(buffer) + "_rd_bits", traffic(accelerator, cost, buffer).read_bits);
      compared.count(row, std::string(buffer) + "_wr_bits", traffic(accelerator, cost, buffer).write_bits);
    }
    compared.count(row, "dram_rd_bits", cost.dram_read_bits);
    compared.count(row, "dram_wr_bits", cost.dram_write_bits);
    compared.measure(row, "E_core_nJ", cost.compute_nj);
    compared.measure(row, "E_sram_nJ", cost.buffers_nj);
    compared.measure(row, "E_dram_nJ", cost.dram_nj);
    compared.measure(row, "E_total_nJ", cost.total_nj());
  }
  return compared.result();
}

/// One of Timeloop's recorded mappings: its loop nest, and the counts of each level and tensor.
struct RecordedNest {
  LoopNest nest;
  std::vector<std::string> levels;  // from DRAM inwards
  std::int64_t stride = 1;
  std::vector<Row> counts;
  std::string cycles;
};

std::map<std::string, RecordedNest> read_nests(const std::string& path) {
  const std::map<std::string, Loop> dimensions{{"N", kImages},       {"M", kOutChannels}, {"C", kInChannels},
                                               {"P", kOutRows},      {"Q", kOutColumns},  {"R", kKernelRows},
                                               {"S", kKernelColumns}};
  std::map<std::string, RecordedNest> nests;
  for (const auto& row : read_rows(path)) {
    RecordedNest& nest = nests[row.at("case")];
    const std::string& record = row.at("record");
    if (record == "keep" || record == "loop") {
      auto at = std::find(nest.levels.begin(), nest.levels.end(), row.at("level"));
      if (at == nest.levels.end()) {
        nest.levels.push_back(row.at("level"));
        nest.nest.push_back({{false, false, false}, {}});
        at = nest.levels.end() - 1;
      }
      NestLevel& level = nest.nest[static_cast<std::size_t>(at - nest.levels.begin())];
      if (record == "loop") {
        level.loops.push_back(
            {dimensions.at(row.at("key")), real(row, "value"), row.at("note").starts_with("spatial")});
      } else {
        level.holds.at(row.at("tensor") == "Inputs" ? 0 : (row.at("tensor") == "Weights" ? 1 : 2)) = true;
      }
    } else if (record == "problem" && row.at("key") == "Wstride") {
      nest.stride = whole(row, "value");
    } else if (record == "count" && !row.at("tensor").empty()) {
      nest.counts.push_back(row);
    } else if (record == "summary" && row.at("key") == "cycles") {
      nest.cycles = row.at("value");
    }
  }
  return nests;
}

Validation timeloop(const std::string& records) {
  Comparison compared("eyeriss-hierarchy",
                      "Timeloop's stored outputs, five mappings of convolutions: words of every level, not the search");
  for (const auto& [name, recorded] : read_nests(records + "/costs/timeloop_reference.csv")) {
    ProductLayout layout;
    layout.stride_height = layout.stride_width = recorded.stride;
    const NestCounts counts = count_words(recorded.nest, layout);
    compared.count({{"cycles", recorded.cycles}}, "cycles", counts.cycles);
    for (const auto& row : recorded.counts) {
      const auto at = std::find(recorded.levels.begin(), recorded.levels.end(), row.at("level"));
      if (at == recorded.levels.end()) throw std::invalid_argument(name + " has no level '" + row.at("level") + "'");
      const auto level = static_cast<std::size_t>(at - recorded.levels.begin());
      const std::size_t role = row.at("tensor") == "Inputs" ? 0 : (row.at("tensor") == "Weights" ? 1 : 2);
      const LevelCounts& ours = counts.levels.at(level).at(role);
      const std::map<std::string, double> values{{"reads", ours.reads},
                                                 {"fills", ours.fills},
                                                 {"updates", ours.updates},
                                                 {"used_instances", counts.instances.at(level)}};
      const auto value = values.find(row.at("key"));
      if (value == values.end()) continue;
      if (value->first == "reads") compared.next_row();
      compared.count({{value->first, row.at("value")}}, value->first, value->second);
    }
  }
  return compared.result();
}

/// A power of ten that the difference stays below, so that the text is the same on every machine.
std::string difference_text(const ComparedColumns& columns) {
  if (columns.largest == 0.0) return "0";
  if (!columns.relative || !std::isfinite(columns.largest)) {
    char text[64];
    std::snprintf(text, sizeof text, "%.6g", columns.largest);
    return text;
  }
  const int power = std::max(-9, static_cast<int>(std::floor(std::log10(columns.largest))) + 1);
  return "below 1e" + std::to_string(power) + " of the value";
}

}  // namespace

std::vector<Validation> validate_models(const std::string& records, const std::string& accelerators) {
  std::vector<Validation> all;
  for (const char* dataflow : {"os", "ws", "is"}) all.push_back(scalesim(records, accelerators, dataflow));
  all.push_back(bitfusion(records, accelerators));
  all.push_back(timeloop(records));
  for (const auto& name : accelerator_names(accelerators)) {
    if (std::none_of(all.begin(), all.end(), [&](const Validation& v) { return v.accelerator == name; })) {
      all.push_back({name, "", 0, {}});
    }
  }
  return all;
}

std::string validation_table(const std::vector<Validation>& validations) {
  std::string text = "| accelerator | recorded run | rows | columns | largest difference |\n|---|---|---|---|---|\n",
              unchecked;
  for (const auto& validation : validations) {
    if (validation.record.empty()) {
      unchecked += (unchecked.empty() ? "" : ", ") + validation.accelerator;
      continue;
    }
    for (const auto& columns : validation.columns) {
      if (columns.names.empty()) continue;
      std::string names;
      for (const auto& name : columns.names) names += (names.empty() ? "" : ", ") + name;
      text += "| " + validation.accelerator + " | " + validation.record + " | " + std::to_string(validation.rows) +
              " | " + names + " | " + difference_text(columns) + " |\n";
    }
  }
  if (!unchecked.empty()) text += "| " + unchecked + " | none | - | - | not checked |\n";
  return text;
}

}  // namespace bitcycle
