// SPDX-License-Identifier: Apache-2.0
// Cycles, traffic and energies against recorded runs of SCALE-Sim 2.0.2 and of Bit Fusion's simulator, every row.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>

#include "cost_models/pricing.h"
#include "cost_models/scalesim_report.h"
#include "cost_models/validation.h"
#include "recorded_costs.h"
#include "temporary_folder.h"

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

TEST(Validation, TheDocumentHoldsTheComparisons) {
  const auto validations = validate_models(BITCYCLE_GOLDEN, BITCYCLE_SOURCE "/configs/accelerators");
  ASSERT_GE(validations.size(), 5U);
  for (const auto& validation : validations) {
    if (validation.record.empty()) continue;
    EXPECT_GE(validation.rows, 21) << validation.record;
    for (const auto& columns : validation.columns) {
      EXPECT_LE(columns.largest, columns.relative ? 1e-5 : 0.0) << validation.record;
    }
  }
  const std::string text = validation_table(validations);
  std::ifstream file(BITCYCLE_SOURCE "/docs/cost-models.md");
  std::stringstream document;
  document << file.rdbuf();
  EXPECT_NE(document.str().find(text), std::string::npos) << "docs/cost-models.md should hold:\n" << text;
}

TEST(Validation, ADifferenceIsSeen) {
  TemporaryFolder folder;
  std::filesystem::create_directories(folder.path() / "costs");
  std::filesystem::copy(BITCYCLE_GOLDEN "/topologies", folder.path() / "topologies");
  for (const char* name :
       {"scalesim_2.0.2_resnet18_32x32.csv", "bitfusion_resnet20_cifar_b16.csv", "timeloop_reference.csv"}) {
    std::filesystem::copy(std::string(BITCYCLE_GOLDEN "/costs/") + name, folder.path() / "costs" / name);
  }
  const auto path = folder.path() / "costs/scalesim_2.0.2_resnet18_32x32.csv";
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  std::string changed = text.str();
  changed.replace(changed.find(",326046,"), 8, ",326045,");
  std::ofstream(path) << changed;
  const auto validations = validate_models(folder.path().string(), BITCYCLE_SOURCE "/configs/accelerators");
  EXPECT_EQ(validations.at(0).columns.at(0).largest, 1.0);
  EXPECT_EQ(validations.at(1).columns.at(0).largest, 0.0);
  std::filesystem::remove(path);
  EXPECT_THROW(validate_models(folder.path().string(), BITCYCLE_SOURCE "/configs/accelerators"), std::invalid_argument);
}

TEST(ScaleSim, EveryRowHasItsCyclesAndWords) {
  const auto rows = rows_of(BITCYCLE_GOLDEN "/costs/scalesim_2.0.2_resnet18_32x32.csv");
  ASSERT_EQ(rows.size(), 63U);
  std::map<std::string, Product> layers;
  for (const auto& layer : read_topology(BITCYCLE_GOLDEN "/topologies/resnet18.csv").layers) {
    const auto products = products_of(layer.operation, Pass::kForward, {8, 8}, 1, false, false);
    ASSERT_EQ(products.size(), 1U);
    layers[layer.operation.layer] = products[0];
  }
  for (const auto& row : rows) {
    // Its words are bytes, results included.
    const Accelerator accelerator =
        load_accelerator(shipped("systolic-int8"), {{"dataflow", row.at("dataflow")}, {"output_bits", "8"}});
    const Product product = layers.at(row.at("layer"));
    ASSERT_EQ(product.m, whole(row, "M_ofmap_px"));
    ASSERT_EQ(product.n, whole(row, "N_filters"));
    ASSERT_EQ(product.k, whole(row, "K_window"));
    const ProductCost cost = cost_of(accelerator, product);
    const std::string name = row.at("dataflow") + " " + row.at("layer");
    EXPECT_EQ(cost.total_cycles(), real(row, "total_cycles")) << name;
    EXPECT_EQ(cost.stall_cycles, real(row, "stall_cycles")) << name;
    EXPECT_EQ(traffic(accelerator, cost, "ifmap").read_bits, 8 * real(row, "sram_ifmap_reads_words")) << name;
    EXPECT_EQ(traffic(accelerator, cost, "filter").read_bits, 8 * real(row, "sram_filter_reads_words")) << name;
    EXPECT_EQ(traffic(accelerator, cost, "ofmap").write_bits, 8 * real(row, "sram_ofmap_writes_words")) << name;
    EXPECT_EQ(traffic(accelerator, cost, "ifmap").write_bits, 8 * real(row, "dram_ifmap_reads_words")) << name;
    EXPECT_EQ(traffic(accelerator, cost, "filter").write_bits, 8 * real(row, "dram_filter_reads_words")) << name;
    EXPECT_EQ(cost.dram_write_bits, 8 * real(row, "dram_ofmap_writes_words")) << name;
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
