// SPDX-License-Identifier: Apache-2.0
// Accelerators and topologies as files: what is shipped reads, what is wrong is refused with its location; and the cost
// of a schedule on them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "cost_models/bitops.h"
#include "cost_models/explain.h"
#include "cost_models/pricing.h"
#include "nn/config/config.h"
#include "nn/models/model.h"
#include "tests/golden/temporary_folder.h"

namespace bitcycle::test {
namespace {

using ::testing::HasSubstr;

const std::string kFolder = BITCYCLE_SOURCE "/configs/accelerators";

std::string read(const std::string& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

class AcceleratorFile : public ::testing::Test {
 protected:
  /// The message for a shipped file with a part of its text replaced.
  std::string error_of(const std::string& name, const std::string& from, const std::string& to) {
    std::string text = read(kFolder + "/" + name + ".yaml");
    const auto at = text.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    text.replace(at, from.size(), to);
    return error_of_text(text);
  }
  std::string error_of_text(const std::string& text) {
    const std::string path = (temporary_.path() / "a.yaml").string();
    std::ofstream(path) << text;
    try {
      load_accelerator(path);
    } catch (const std::invalid_argument& error) {
      return error.what();
    }
    return "no error";
  }
  std::string topology_error(const std::string& text) {
    const std::string path = (temporary_.path() / "t.csv").string();
    std::ofstream(path) << text;
    try {
      read_topology(path);
    } catch (const std::invalid_argument& error) {
      return error.what();
    }
    return "no error";
  }
  TemporaryFolder temporary_;
};

TEST_F(AcceleratorFile, everything_shipped_reads_and_says_what_float32_costs) {
  const auto names = accelerator_names(kFolder);
  for (const char* name : {"bitops", "effective-macs", "bitfusion-45nm", "stripes", "loom", "systolic-int8",
                           "eyeriss-relative", "horowitz-45nm", "tpu-7nm"}) {
    EXPECT_THAT(names, ::testing::Contains(name));
  }
  for (const auto& name : names) {
    const Accelerator accelerator = load_accelerator(kFolder + "/" + name + ".yaml");
    EXPECT_EQ(accelerator.name, name);
    EXPECT_EQ(accelerator.relative(), name.starts_with("eyeriss")) << name;
  }
}

TEST_F(AcceleratorFile, mistakes_are_named_with_their_line) {
  EXPECT_THAT(error_of("bitfusion-45nm", "clock:", "# clock:"),
              HasSubstr("'clock' is missing; it must be {value: NUMBER, unit: UNIT, source: TEXT} with the unit MHz"));
  EXPECT_THAT(error_of("bitfusion-45nm", "strided_error_pass:", "# strided_error_pass:"),
              HasSubstr("'strided_error_pass' is missing; it must be one of zero-inserted, skipped"));
  EXPECT_THAT(error_of("bitfusion-45nm", "im2col_first_layer:", "im2col_first_layr:"),
              HasSubstr("did you mean 'im2col_first_layer'"));
  EXPECT_THAT(error_of("bitfusion-45nm", "im2col_first_layer:", "im2col_first_layr:"), HasSubstr("a.yaml:14:"));
  // A misspelt key is named with its line, not the one that is missing for it.
  EXPECT_THAT(error_of("systolic-int8", "clock:", "clok:"),
              HasSubstr("a.yaml:10: unknown key 'clok'; did you mean 'clock'?"));
  EXPECT_THAT(error_of("systolic-int8", "role: lhs", "rolle: lhs"),
              HasSubstr("unknown key 'buffers.ifmap.rolle'; did you mean 'role'?"));
  EXPECT_THAT(error_of("systolic-int8", "columns: 32", "colums: 32"), HasSubstr("did you mean 'columns'?"));
  EXPECT_THAT(error_of("systolic-int8", "minimum: 1", "minimun: 1"), HasSubstr("did you mean 'minimum'?"));
  EXPECT_THAT(error_of("systolic-int8", "value: 1000", "vale: 1000"), HasSubstr("did you mean 'value'?"));
  EXPECT_THAT(error_of("eyeriss-hierarchy", "holds:", "hold:"), HasSubstr("did you mean 'holds'?"));
  EXPECT_THAT(error_of("bitfusion-45nm", "strided_error_pass:", "strided_pass:"),
              HasSubstr("the keys here are name, "));
  EXPECT_THAT(error_of("systolic-int8", "dataflow: os", "dataflow: os\nobjective: energy"),
              HasSubstr("'objective' means nothing in a design of this model"));
  // Results become operands again.
  EXPECT_THAT(error_of("systolic-int8", "output_bits: 32", "output_bits: 1"),
              HasSubstr("a.yaml:14: 'output_bits' is 1, must be 8..64"));
  EXPECT_THAT(error_of("systolic-int8", "maximum: 8}\noutput_bits: 32", "maximum: 4}\noutput_bits: 4"),
              HasSubstr("no error"));
  EXPECT_THAT(error_of("bitfusion-45nm", "{value: 500, unit: MHz,", "{value: 500,"), HasSubstr("'clock' has no unit"));
  EXPECT_THAT(error_of("bitfusion-45nm", "unit: MHz", "unit: pJ"), HasSubstr("must be one of MHz, GHz, kHz"));
  EXPECT_THAT(error_of("bitfusion-45nm", "value: 500", "value: -1"), HasSubstr("must be 0 or more"));
  EXPECT_THAT(error_of("bitfusion-45nm", "value: 500", "value: fast"), HasSubstr("must be a number"));
  EXPECT_THAT(error_of("bitfusion-45nm", "rows: 16", "rows: 0"), HasSubstr("'array.rows' is 0"));
  EXPECT_THAT(error_of("bitfusion-45nm", "maximum: 8", "maximum: 80"), HasSubstr("1..32"));
  EXPECT_THAT(error_of("bitfusion-45nm", "role: out", "role: lhs"), HasSubstr("two buffers have the role"));
  EXPECT_THAT(error_of("systolic-int8", "dataflow: os", "dataflow: rs"), HasSubstr("one of os, ws, is"));
  EXPECT_THAT(error_of("systolic-int8", "model: systolic", "model: systollic"), HasSubstr("did you mean 'systolic'"));
  EXPECT_THAT(error_of("systolic-int8", "rows: 32, columns: 32", "rows: 32, rows: 16"),
              HasSubstr("'array.rows' is given twice"));
  EXPECT_THAT(error_of("systolic-int8", "value: 45, unit: nm", "value: 0, unit: nm"), HasSubstr("must be above 0"));
  EXPECT_THAT(error_of_text("a: ["), HasSubstr("a.yaml:"));
  EXPECT_THAT(error_of_text("- 1\n"), HasSubstr("must be a mapping"));
  EXPECT_THAT(error_of_text(""), HasSubstr("must be a mapping"));
}

TEST_F(AcceleratorFile, keys_can_be_set) {
  const std::string path = kFolder + "/systolic-int8.yaml";
  const Accelerator set = load_accelerator(path, {{"dataflow", "ws"}, {"array.rows", "16"}, {"dram.energy", "10"}});
  EXPECT_EQ(set.dataflow, Dataflow::kWeightStationary);
  EXPECT_EQ(set.rows, 16);
  EXPECT_EQ(set.dram_pj_per_bit, 10.0);
  EXPECT_THAT(set.described(), HasSubstr("priced with dataflow=ws, array.rows=16, dram.energy=10 (--set)"));
  EXPECT_THAT(set.constants, ::testing::Contains("array.rows = 16  (--set)"));
  EXPECT_EQ(load_accelerator(path).described(), load_accelerator(path).description);
  EXPECT_THROW(load_accelerator(path, {{"array.rowz", "16"}}), std::invalid_argument);
  EXPECT_THROW(load_accelerator(path, {{"array", "16"}}), std::invalid_argument);
  // A word becomes a quantity and back, a key that the file leaves out is made, and a section too.
  EXPECT_EQ(load_accelerator(path, {{"dram.bandwidth", "16 bit/cycle"}}).dram_bits_per_cycle, 16.0);
  EXPECT_EQ(load_accelerator(kFolder + "/stripes.yaml", {{"dram.bandwidth", "unlimited"}}).dram_bits_per_cycle, 0.0);
  EXPECT_EQ(load_accelerator(path, {{"float32.macs_per_cycle", "8"}}).float32->macs_per_cycle, 8.0);
  EXPECT_FALSE(
      load_accelerator(kFolder + "/bitfusion-45nm.yaml", {{"im2col_first_layer", "false"}}).im2col_first_layer);
  const Accelerator with =
      load_accelerator(kFolder + "/bitfusion-45nm.yaml", {{"float32.mac", "4.6 pJ"}, {"float32.macs_per_cycle", "2"}});
  ASSERT_TRUE(with.float32.has_value());
  EXPECT_EQ(with.float32->mac_pj, 4.6);
  EXPECT_THROW(load_accelerator(path, {{"dram.bandwidth", "16"}}), std::invalid_argument) << "16 of what?";
  try {
    load_accelerator(path, {{"array.rows", "0"}});
    ADD_FAILURE() << "0 rows were taken";
  } catch (const std::invalid_argument& error) {
    EXPECT_THAT(error.what(), HasSubstr("--set accelerator.array.rows=0"));
  }
}

TEST_F(AcceleratorFile, the_constants_say_what_the_array_is) {
  const auto has = [](const std::string& name, const std::string& line) {
    const Accelerator accelerator = load_accelerator(kFolder + "/" + name + ".yaml");
    EXPECT_THAT(accelerator.constants, ::testing::Contains(HasSubstr(line))) << name;
  };
  has("systolic-int8", "model = systolic");
  has("systolic-int8", "array.rows = 32");
  has("systolic-int8", "array.columns = 32");
  has("systolic-int8", "dataflow = os");
  has("systolic-int8", "precision.maximum = 8 bit");
  has("systolic-int8", "output_bits = 32 bit");
  has("systolic-int8", "dram.bandwidth = unlimited");
  has("systolic-int8", "buffers.ifmap.size = 64 KiB");
  has("stripes", "array.lanes = 16");
  has("stripes", "precision.rhs_bits_per_cycle = all");
  has("eyeriss-relative", "energies.relative_to = a multiply-accumulate of 16 bits");
  has("bitfusion-45nm", "area = 2.14099 mm2");
  const std::string path = kFolder + "/systolic-int8.yaml";
  EXPECT_THAT(load_accelerator(path, {{"dataflow", "ws"}}).constants, ::testing::Contains("dataflow = ws  (--set)"));
}

TEST_F(AcceleratorFile, full_arrays_have_a_peak) {
  const auto peak = [](const std::string& name, int lhs, int rhs) {
    return peak_macs_per_cycle(load_accelerator(kFolder + "/" + name + ".yaml"), lhs, rhs);
  };
  EXPECT_EQ(peak("systolic-int8", 3, 8), 1024.0);
  EXPECT_EQ(peak("bitfusion-45nm", 8, 8), 512.0);
  EXPECT_EQ(peak("bitfusion-45nm", 4, 2), 4096.0);
  EXPECT_EQ(peak("stripes", 8, 8), 8192.0);
  EXPECT_EQ(peak("loom", 8, 8), 8192.0);
  EXPECT_EQ(peak("horowitz-45nm", 8, 8), 0.0);
}

TEST_F(AcceleratorFile, topologies_are_checked) {
  EXPECT_THAT(topology_error("Layer, M, N, K,\nfc, 1, 2, three,\n"), HasSubstr("t.csv:2: 'three' in column 'K'"));
  EXPECT_THAT(topology_error("Layer, M, N, K,\nfc, 1, 2,\n"), HasSubstr("t.csv:2: the cell of column 'K' is empty"));
  EXPECT_THAT(topology_error("Layer, M, N, K,\n"), HasSubstr("no layer"));
  EXPECT_THAT(topology_error("Layer, a\n"), HasSubstr("t.csv:1:"));
  EXPECT_THAT(topology_error("fc, 1, 2, 3, 3, 1, 1, 1\n"), HasSubstr("t.csv:1: this is a layer"));
  EXPECT_THAT(topology_error("Layer, M, N, K\nfc, 1000000000, 1000000000, 1000000000\n"), HasSubstr("2^53"));
  EXPECT_THAT(
      topology_error("layer,h,w,kh,kw,c,o,stride\nc, 1000000000, 1000000000, 1000000000, 1000000000, 9, 1, 1\n"),
      HasSubstr("2^53"));
  EXPECT_THAT(topology_error("Layer, M, N, K, bits\n"), HasSubstr("lhs_bits"));
  EXPECT_THAT(topology_error("Layer, M, N, K, lhs_bits, rhs_bits\nfc, 1, 2, 3, 33, 8\n"), HasSubstr("1..32"));
  EXPECT_THAT(topology_error("layer,h,w,kh,kw,c,o,stride\nconv, 4, 4, 5, 3, 1, 1, 1\n"), HasSubstr("1..4"));
}

TEST_F(AcceleratorFile, widths_that_a_design_cannot_do_are_an_error) {
  const Accelerator fusion = load_accelerator(kFolder + "/bitfusion-45nm.yaml");
  Product product;
  product.m = product.n = product.k = 16;
  product.lhs_bits = 9;
  EXPECT_THROW(cost_of(fusion, product), std::invalid_argument);
  product.lhs_bits = 8;
  product.float32 = true;
  EXPECT_THROW(cost_of(fusion, product), std::invalid_argument);
}

Config quick(std::int64_t steps) {
  return load_config(BITCYCLE_SOURCE "/configs/quickstart.yaml",
                     {parse_override("train.steps=" + std::to_string(steps))});
}

TEST(Pricing, bit_operations_are_those_of_the_paper_metric) {
  const Config config = quick(640);
  const Workload workload = model_workload(config);
  const PrecisionPlan plan(precision_spec(config), 640);
  PricingOptions options;
  options.batch = config.train.batch;
  BitOpsOptions count;
  count.batch = config.train.batch;
  const BitOps bitops = count_bitops(workload, plan, 0, 640, count);
  for (const auto& name : accelerator_names(kFolder)) {
    const Pricing priced =
        price_training(load_accelerator(kFolder + "/" + name + ".yaml"), workload, plan, 0, 640, options);
    EXPECT_NEAR(priced.total.bitops / bitops.paper, 1.0, 1e-12) << name;
    EXPECT_NEAR(priced.total.effective_macs, priced.total.bitops / 1024.0, 1.0) << name;
  }
  options.executed = true;
  count.error_weights = options.error_pass.weights;
  const Accelerator horowitz = load_accelerator(kFolder + "/horowitz-45nm.yaml");
  EXPECT_NEAR(price_training(horowitz, workload, plan, 0, 640, options).total.bitops / bitops.executed, 1.0, 1e-12);
}

TEST(Pricing, parts_add_up_and_lines_can_be_switched_on) {
  const Config config = quick(10);
  const Workload workload = model_workload(config);
  const PrecisionPlan plan(precision_spec(config), 10);
  PricingOptions options;
  const Accelerator systolic = load_accelerator(kFolder + "/systolic-int8.yaml");
  const Pricing bare = price_training(systolic, workload, plan, 0, 10, options);
  ProductCost sum;
  for (const auto& row : bare.rows) sum.add(row.cost);
  EXPECT_EQ(sum.total_nj(), bare.total.total_nj());
  EXPECT_GT(bare.total.dram_read_bits + bare.total.dram_write_bits, 0.0);
  EXPECT_GE(bare.total.dram_read_bits + bare.total.dram_write_bits, bare.total.compulsory_bits * (1.0 - 1e-12));
  options.weight_update = options.quantisation = options.batch_norm = true;
  const Pricing all = price_training(systolic, workload, plan, 0, 10, options);
  EXPECT_GT(all.total.total_nj(), bare.total.total_nj());
  for (const char* pass : {"weight_update", "quantisation", "batch_norm"}) {
    EXPECT_TRUE(std::any_of(all.rows.begin(), all.rows.end(), [&](const auto& row) { return row.pass == pass; }))
        << pass;
  }
}

TEST(Pricing, a_strided_error_pass_multiplies_what_is_there_or_the_zeros_too) {
  MatrixOperation operation;
  operation.layer = "a";
  operation.shape = ConvShape{1, 32, 32, 16, 32, 3, 3, 2, 1, 1};
  double skipped = 0.0, inserted = 0.0;
  for (const auto& product : products_of(operation, Pass::kError, {8, 8}, 4, false, false)) skipped += product.macs();
  for (const auto& product : products_of(operation, Pass::kError, {8, 8}, 4, false, true)) inserted += product.macs();
  EXPECT_EQ(skipped, 4.0 * static_cast<double>(operation.shape.macs()));
  EXPECT_EQ(inserted, 4.0 * skipped);
}

TEST(Pricing, phases_of_a_strided_error_pass_move_the_whole_tensors) {
  for (const int kernel : {1, 2, 3, 5}) {
    for (const int stride : {2, 3}) {
      MatrixOperation operation;
      operation.layer = "a";
      operation.shape = ConvShape{1, 16, 16, 32, 64, kernel, kernel, stride, kernel / 2, 1};
      double y = 0.0, w = 0.0, dx = 0.0;
      for (const auto& product : products_of(operation, Pass::kError, {8, 8}, 4, false, false)) {
        y += product.lhs_elements;
        w += product.rhs_elements;
        dx += product.out_elements;
      }
      const OperationShape& s = operation.shape;
      EXPECT_DOUBLE_EQ(y, 4.0 * static_cast<double>(s.output_size())) << kernel << " / " << stride;
      EXPECT_DOUBLE_EQ(w, static_cast<double>(s.weight_size())) << kernel << " / " << stride;
      EXPECT_DOUBLE_EQ(dx, 4.0 * static_cast<double>(s.input_size())) << kernel << " / " << stride;
    }
  }
}

TEST(Pricing, a_serial_array_costs_every_bit_and_a_fusion_array_classes) {
  Product product;
  product.m = product.n = product.k = 1024;
  product.lhs_elements = product.rhs_elements = product.out_elements = 1024.0 * 1024.0;
  const auto cycles = [&](const std::string& name, int lhs, int rhs) {
    product.lhs_bits = lhs;
    product.rhs_bits = rhs;
    return cost_of(load_accelerator(kFolder + "/" + name + ".yaml"), product).compute_cycles;
  };
  EXPECT_EQ(cycles("stripes", 5, 8) / cycles("stripes", 8, 8), 5.0 / 8.0);
  EXPECT_EQ(cycles("stripes", 8, 5), cycles("stripes", 8, 8));
  EXPECT_EQ(cycles("loom", 5, 3) / cycles("loom", 8, 8), 15.0 / 64.0);
  EXPECT_EQ(cycles("bitfusion-45nm", 5, 8), cycles("bitfusion-45nm", 8, 8));
  EXPECT_EQ(cycles("bitfusion-45nm", 4, 4) * 4.0, cycles("bitfusion-45nm", 8, 8));
}

TEST(Pricing, explains_every_layer_and_names_the_others) {
  const Config config = quick(10);
  const Workload workload = model_workload(config);
  const PrecisionPlan plan(precision_spec(config), 10);
  for (const auto& name : accelerator_names(kFolder)) {
    const auto lines = explanation_lines(
        explain_layer(load_accelerator(kFolder + "/" + name + ".yaml"), workload, plan, 0, 10, "conv1", {}));
    EXPECT_GT(lines.size(), 6U) << name;
  }
  EXPECT_THROW(explain_layer(load_accelerator(kFolder + "/bitops.yaml"), workload, plan, 0, 10, "conv9", {}),
               std::invalid_argument);
}

}  // namespace
}  // namespace bitcycle::test
