// SPDX-License-Identifier: Apache-2.0
// Cycles, traffic and energies against recorded runs of SCALE-Sim 2.0.2 and of Bit Fusion's simulator, every row.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <map>

#include "cost_models/pricing.h"
#include "recorded_costs.h"

namespace bitcycle::test {
namespace {

using Row = std::map<std::string, std::string>;

std::vector<Row> rows_of(const std::string& path) {
  std::ifstream file(path);
  std::string header;
  std::getline(file, header);
  if (!header.empty() && header.back() == '\r') header.pop_back();
  std::vector<std::string> names;
  std::stringstream stream(header);
  for (std::string cell; std::getline(stream, cell, ',');) names.push_back(cell);
  std::vector<Row> rows;
  for (const auto& cells : read_csv(path)) {
    rows.emplace_back();
    for (std::size_t i = 0; i < cells.size(); ++i) rows.back()[names.at(i)] = cells[i];
  }
  return rows;
}

std::int64_t whole(const Row& row, const std::string& name) { return std::stoll(row.at(name)); }
double real(const Row& row, const std::string& name) { return std::stod(row.at(name)); }

std::string shipped(const std::string& name) { return BITCYCLE_SOURCE "/configs/accelerators/" + name + ".yaml"; }

const BufferTraffic& traffic(const Accelerator& accelerator, const ProductCost& cost, const std::string& name) {
  for (std::size_t i = 0; i < accelerator.buffers.size(); ++i) {
    if (accelerator.buffers[i].name == name) return cost.buffers.at(i);
  }
  throw std::out_of_range(name);
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

/// Largest differences of a group of rows, for the page of validation.
struct Deviation {
  int rows = 0;
  double counts = 0.0;  // largest difference of cycles and words or bits
  double energy = 0.0;  // largest relative difference of energies
  void count(double ours, double theirs) { counts = std::max(counts, std::abs(ours - theirs)); }
  void price(double ours, double theirs) { energy = std::max(energy, std::abs(ours / theirs - 1.0)); }
};

std::string line_of(const std::string& what, const Deviation& deviation, bool energy) {
  char text[200];
  if (energy) {
    std::snprintf(text, sizeof text, "| %s | %d | %.0f | %s |\n", what.c_str(), deviation.rows, deviation.counts,
                  deviation.energy < 1e-6   ? "below 1e-6"
                  : deviation.energy < 1e-5 ? "below 1e-5"
                                            : "ABOVE 1e-5");
  } else {
    std::snprintf(text, sizeof text, "| %s | %d | %.0f | not reported |\n", what.c_str(), deviation.rows,
                  deviation.counts);
  }
  return text;
}

TEST(Validation, TheDocumentHoldsTheComparisons) {
  std::string text =
      "| recorded run | rows | largest difference of cycles, words and bits | largest relative difference of energies "
      "|\n|---|---|---|---|\n";
  std::map<std::string, Deviation> groups;
  for (const auto& row : rows_of(BITCYCLE_GOLDEN "/costs/scalesim_2.0.2_resnet18_32x32.csv")) {
    const Accelerator accelerator = load_accelerator(shipped("systolic-int8"), {{"dataflow", row.at("dataflow")}});
    Product product;
    product.m = whole(row, "M_ofmap_px");
    product.n = whole(row, "N_filters");
    product.k = whole(row, "K_window");
    const ProductCost cost = cost_of(accelerator, product);
    Deviation& deviation = groups["SCALE-Sim 2.0.2, ResNet-18, 32x32, " + row.at("dataflow")];
    ++deviation.rows;
    deviation.count(cost.total_cycles(), real(row, "total_cycles"));
    deviation.count(traffic(accelerator, cost, "ifmap").read_bits / 8, real(row, "sram_ifmap_reads_words"));
    deviation.count(traffic(accelerator, cost, "filter").read_bits / 8, real(row, "sram_filter_reads_words"));
    deviation.count(traffic(accelerator, cost, "ofmap").write_bits / 32, real(row, "sram_ofmap_writes_words"));
  }
  for (const auto& [name, deviation] : groups) text += line_of(name, deviation, false);
  groups.clear();
  const Accelerator accelerator = load_accelerator(shipped("bitfusion-45nm"));
  for (const auto& row : rows_of(BITCYCLE_GOLDEN "/costs/bitfusion_resnet20_cifar_b16.csv")) {
    const ProductCost cost = cost_of(accelerator, fusion_product(row));
    Deviation& deviation =
        groups["Bit Fusion, ResNet-20, batch 16, " + row.at("iprec") + " x " + row.at("wprec") + " bits"];
    ++deviation.rows;
    deviation.count(cost.total_cycles(), real(row, "cycles"));
    deviation.count(cost.stall_cycles, real(row, "stall_cycles"));
    for (const char* buffer : {"wbuf", "ibuf", "obuf"}) {
      deviation.count(traffic(accelerator, cost, buffer).read_bits, real(row, std::string(buffer) + "_rd_bits"));
      deviation.count(traffic(accelerator, cost, buffer).write_bits, real(row, std::string(buffer) + "_wr_bits"));
    }
    deviation.count(cost.dram_read_bits, real(row, "dram_rd_bits"));
    deviation.count(cost.dram_write_bits, real(row, "dram_wr_bits"));
    deviation.price(cost.compute_nj, real(row, "E_core_nJ"));
    deviation.price(cost.buffers_nj, real(row, "E_sram_nJ"));
    deviation.price(cost.dram_nj, real(row, "E_dram_nJ"));
    deviation.price(cost.total_nj(), real(row, "E_total_nJ"));
  }
  for (const auto& [name, deviation] : groups) text += line_of(name, deviation, true);
  std::ifstream file(BITCYCLE_SOURCE "/docs/cost-models.md");
  std::stringstream document;
  document << file.rdbuf();
  EXPECT_NE(document.str().find(text), std::string::npos) << "docs/cost-models.md should hold:\n" << text;
}

TEST(ScaleSim, EveryRowHasItsCyclesAndWords) {
  const auto rows = rows_of(BITCYCLE_GOLDEN "/costs/scalesim_2.0.2_resnet18_32x32.csv");
  ASSERT_EQ(rows.size(), 63U);
  for (const auto& row : rows) {
    const Accelerator accelerator = load_accelerator(shipped("systolic-int8"), {{"dataflow", row.at("dataflow")}});
    Product product;
    product.m = whole(row, "M_ofmap_px");
    product.n = whole(row, "N_filters");
    product.k = whole(row, "K_window");
    const ProductCost cost = cost_of(accelerator, product);
    const std::string name = row.at("dataflow") + " " + row.at("layer");
    EXPECT_EQ(cost.total_cycles(), real(row, "total_cycles")) << name;
    EXPECT_EQ(cost.stall_cycles, real(row, "stall_cycles")) << name;
    EXPECT_EQ(traffic(accelerator, cost, "ifmap").read_bits, 8 * real(row, "sram_ifmap_reads_words")) << name;
    EXPECT_EQ(traffic(accelerator, cost, "filter").read_bits, 8 * real(row, "sram_filter_reads_words")) << name;
    EXPECT_EQ(traffic(accelerator, cost, "ofmap").write_bits, 32 * real(row, "sram_ofmap_writes_words")) << name;
    EXPECT_NEAR(100 * cost.mapped_macs / cost.mapped_slots, real(row, "mapping_eff_pct"), 1e-9) << name;
    EXPECT_NEAR(100 * cost.utilisation(), real(row, "overall_util_pct"), 1e-9) << name;
    EXPECT_NEAR(scalesim_compute_utilisation(accelerator, cost), real(row, "compute_util_pct"), 1e-9) << name;
  }
}

TEST(BitFusion, EveryRowHasItsCyclesTrafficAndEnergy) {
  const auto rows = rows_of(BITCYCLE_GOLDEN "/costs/bitfusion_resnet20_cifar_b16.csv");
  ASSERT_EQ(rows.size(), 140U);
  const Accelerator accelerator = load_accelerator(shipped("bitfusion-45nm"));
  for (const auto& row : rows) {
    const ProductCost cost = cost_of(accelerator, fusion_product(row));
    const std::string name = row.at("layer") + " " + row.at("iprec") + "x" + row.at("wprec");
    EXPECT_EQ(cost.total_cycles(), real(row, "cycles")) << name;
    EXPECT_EQ(cost.stall_cycles, real(row, "stall_cycles")) << name;
    for (const char* buffer : {"wbuf", "ibuf", "obuf"}) {
      EXPECT_EQ(traffic(accelerator, cost, buffer).read_bits, real(row, std::string(buffer) + "_rd_bits")) << name;
      EXPECT_EQ(traffic(accelerator, cost, buffer).write_bits, real(row, std::string(buffer) + "_wr_bits")) << name;
    }
    EXPECT_EQ(cost.dram_read_bits, real(row, "dram_rd_bits")) << name;
    EXPECT_EQ(cost.dram_write_bits, real(row, "dram_wr_bits")) << name;
    EXPECT_NEAR(cost.compute_nj / real(row, "E_core_nJ"), 1.0, 1e-5) << name;
    EXPECT_NEAR(cost.buffers_nj / real(row, "E_sram_nJ"), 1.0, 1e-5) << name;
    EXPECT_NEAR(cost.dram_nj / real(row, "E_dram_nJ"), 1.0, 1e-5) << name;
    EXPECT_NEAR(cost.total_nj() / real(row, "E_total_nJ"), 1.0, 1e-5) << name;
  }
}

}  // namespace
}  // namespace bitcycle::test
