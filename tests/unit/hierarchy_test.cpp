// SPDX-License-Identifier: Apache-2.0
// Hierarchies as data: what reads and what is refused, traffic that has closed forms, and the search for a mapping
// against all mappings of small products.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <functional>

#include "cost_models/mapping_search.h"

namespace bitcycle::test {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::HasSubstr;

/// A design with these levels; joules, 1 GHz, 8-bit operands, 16-bit sums.
std::string design(const std::string& levels, const std::string& rest = "") {
  return "name: mine\ndescription: a test\nmodel: hierarchy\n"
         "technology: {value: 7, unit: nm, source: t}\nclock: {value: 1, unit: ns, source: t}\n"
         "precision: {minimum: 1, maximum: 8}\noutput_bits: 16\nstrided_error_pass: skipped\nfloat32: none\n"
         "compute: {multiply: {value: 100, unit: fJ, source: t}, at_bits: 8, add: {value: 0, unit: pJ, source: t}}\n"
         "leakage: {value: 0, unit: mW, source: t}\n"
         "dram: {bandwidth: unlimited, energy: {value: 10, unit: pJ/bit, source: t}}\n" +
         rest + "hierarchy:\n" + levels;
}

std::string buffer(const std::string& name, const std::string& holds, const std::string& size,
                   const std::string& energy, const std::string& rest = "") {
  return "  " + name + ": {holds: [" + holds + "], size: {value: " + size + ", source: t}, double_buffered: false, " +
         "read: {value: " + energy + ", unit: pJ/bit, source: t}, write: {value: " + energy +
         ", unit: pJ/bit, source: t}" + rest + "}\n";
}

std::string array(const std::string& rest) {
  return "  array: {" + rest + ", transfer: {value: 0.05, unit: pJ/bit, source: t}}\n";
}

Accelerator read(const std::string& text) { return parse_accelerator(text, "mine.yaml"); }

std::string error_of(const std::string& text) {
  try {
    read(text);
  } catch (const std::invalid_argument& error) {
    return error.what();
  }
  return "no error";
}

Product matrix_product(std::int64_t m, std::int64_t n, std::int64_t k) {
  Product product;
  product.m = m;
  product.n = n;
  product.k = k;
  product.lhs_elements = static_cast<double>(m * k);
  product.rhs_elements = static_cast<double>(n * k);
  product.out_elements = static_cast<double>(m * n);
  return product;
}

Product convolution(Pass pass, std::int64_t stride = 1) {
  MatrixOperation operation;
  operation.shape = ConvShape{1, 14, 14, 24, 40, 3, 3, stride, 1, 1};
  return products_of(operation, pass, {8, 8}, 2, false, true).front();
}

TEST(Hierarchy, any_number_of_levels_shared_or_not_reads) {
  const Accelerator deep =
      read(design(buffer("l3", "lhs, rhs, out", "4, unit: MiB", "2") + buffer("l2", "lhs, out", "256, unit: KiB", "1") +
                  array("rows: 8, columns: 4, row_loops: [in_channels], column_loops: [out_channels, images]") +
                  buffer("weights", "rhs", "512, unit: B", "0.1") + buffer("sums", "out", "64, unit: B", "0.05")));
  ASSERT_EQ(deep.hierarchy.size(), 5U);
  EXPECT_EQ(deep.rows, 8);
  EXPECT_EQ(deep.columns, 4);
  EXPECT_EQ(peak_macs_per_cycle(deep, 8, 8), 32.0);
  EXPECT_THAT(deep.hierarchy[1].holds, ::testing::ElementsAre(true, false, true));
  EXPECT_TRUE(deep.hierarchy[2].array);
  EXPECT_THAT(deep.hierarchy[2].column_loops, ::testing::ElementsAre(kOutChannels, kImages));
  EXPECT_THAT(deep.constants, AllOf(Contains("hierarchy.array.rows = 8"), Contains("hierarchy.l2.holds = lhs, out"),
                                    Contains("hierarchy.weights.size = 512 B  (t)"),
                                    Contains("hierarchy.array.row_loops = in_channels")));
  const auto cost = cost_of(deep, convolution(Pass::kForward));
  ASSERT_EQ(cost.buffers.size(), 5U);
  EXPECT_EQ(deep.buffers[3].name, "weights");
  for (const auto& traffic : cost.buffers) EXPECT_GT(traffic.read_bits, 0.0);
}

TEST(Hierarchy, mistakes_are_named_with_their_line) {
  const std::string one = buffer("l1", "lhs, rhs, out", "64, unit: KiB", "1");
  const auto each = [&](const std::string& levels, const std::string& message) {
    EXPECT_THAT(error_of(design(levels)), AllOf(HasSubstr("mine.yaml:"), HasSubstr(message)));
  };
  each("  l1: {}\n", "mine.yaml:14: 'hierarchy.l1.holds' is missing");
  each(buffer("l1", "lhs, weights", "1, unit: KiB", "1"), "'hierarchy.l1.holds' is 'weights', must be one of lhs, rhs");
  each(buffer("l1", "lhs, lhs", "1, unit: KiB", "1"), "'lhs' is twice");
  each(buffer("l1", "lhs", "0, unit: KiB", "1"), "must be above 0");
  each(buffer("l1", "lhs", "1, unit: KiB", "1e40"), "'hierarchy.l1.read' = 1e+40 pJ/bit is not possible");
  each(buffer("l1", "lhs", "1, unit: KiB", "1", ", bandwidth: {value: 1e-300, unit: bit/cycle, source: t}"),
       "'hierarchy.l1.bandwidth' = 1e-300 bit/cycle is not possible");
  each(one + array("rows: 0, columns: 1"), "'hierarchy.array.rows' is 0");
  each(one + array("rows: 4, columns: 1, row_loops: [channels]"), "must be one of images, out_channels");
  each(one + array("rows: 4, columns: 1, row_loops: []"), "must be a list");
  each(one + one, "'hierarchy.l1' is given twice");
  each(one + "  l2: 5\n", "'hierarchy.l2' must be a mapping");
  EXPECT_THAT(error_of(design(one, "objective: fast\n")), HasSubstr("must be one of energy, cycles, energy-delay"));
  EXPECT_THAT(error_of(design("  {}\n")), HasSubstr("1 to 12 levels"));
  const Accelerator tiny = read(design(buffer("l1", "lhs, rhs, out", "8, unit: bit", "1")));
  EXPECT_THROW(cost_of(tiny, matrix_product(4, 4, 4)), std::invalid_argument);
}

TEST(Hierarchy, levels_can_be_set) {
  const std::string text = design(buffer("l1", "lhs, rhs, out", "64, unit: KiB", "1"));
  EXPECT_EQ(parse_accelerator(text, "mine.yaml", {{"hierarchy.l1.size", "1 MiB"}}).buffers[0].size_bits, 8388608.0);
  EXPECT_EQ(parse_accelerator(text, "mine.yaml", {{"objective", "energy"}}).objective, Objective::kEnergy);
}

TEST(Hierarchy, a_buffer_that_holds_everything_moves_every_tensor_once) {
  const Accelerator large = read(design(buffer("l1", "lhs, rhs, out", "1, unit: GiB", "1")));
  for (const Pass pass : {Pass::kForward, Pass::kError, Pass::kWeightGradient}) {
    const Product product = convolution(pass, 2);
    const auto cost = cost_of(large, product);
    const double lhs = touched_elements(product.windows) * 2;
    EXPECT_NEAR(cost.dram_read_bits, 8.0 * (lhs + product.rhs_elements), 1e-6 * cost.dram_read_bits);
    EXPECT_NEAR(cost.dram_write_bits, 16.0 * product.out_elements, 1e-6 * cost.dram_write_bits);
    EXPECT_EQ(cost.compute_cycles, product.macs());  // no array: one at a time
  }
}

TEST(Hierarchy, an_array_divides_the_time_and_shares_what_its_elements_need) {
  const std::string levels = buffer("l1", "lhs, rhs, out", "1, unit: MiB", "1");
  const Product product = matrix_product(64, 32, 16);
  const auto alone = cost_of(read(design(levels)), product);
  const auto spread = cost_of(
      read(design(levels + array("rows: 8, columns: 16, row_loops: [in_channels], column_loops: [out_channels]"))),
      product);
  EXPECT_EQ(alone.compute_cycles, 64.0 * 32 * 16);
  EXPECT_EQ(spread.compute_cycles, alone.compute_cycles / 128);
  EXPECT_EQ(spread.utilisation(), 1.0);
  // Rows add their products before they reach the buffer; columns get the same inputs by one read.
  const double macs = product.macs();
  EXPECT_EQ(spread.buffers[0].read_bits, 8 * macs / 16 + 8 * macs + 16 * (macs / 8 - 64 * 32));
  EXPECT_EQ(spread.buffers[0].write_bits, 8.0 * (64 * 16 + 32 * 16) + 16 * macs / 8);
  EXPECT_EQ(alone.buffers[0].read_bits, 8 * macs + 8 * macs + 16 * (macs - 64 * 32));
  // 20 rows take 16 channels: no more than 80 % are busy.
  const auto ragged = cost_of(
      read(design(levels + array("rows: 20, columns: 1, row_loops: [in_channels], column_loops: [images]"))), product);
  EXPECT_EQ(ragged.utilisation(), 0.8);
}

TEST(Hierarchy, a_bandwidth_makes_it_wait) {
  const std::string limited = ", bandwidth: {value: 16, unit: bit/cycle, source: t}";
  const auto free = cost_of(read(design(buffer("l1", "lhs, rhs, out", "1, unit: MiB", "1"))), matrix_product(8, 8, 8));
  const auto slow =
      cost_of(read(design(buffer("l1", "lhs, rhs, out", "1, unit: MiB", "1", limited))), matrix_product(8, 8, 8));
  EXPECT_EQ(free.stall_cycles, 0.0);
  EXPECT_EQ(slow.total_cycles(), std::ceil((slow.buffers[0].read_bits + slow.buffers[0].write_bits) / 16));
}

/// All tiles of powers of two of a matrix product on one or two buffers, and all orders of their loops.
double exhaustive(const Accelerator& accelerator, const Product& product) {
  const LoopProblem problem = loop_problem(product);
  const std::array<Loop, 3> loops{kImages, kOutChannels, kInChannels};
  const std::size_t levels = accelerator.hierarchy.size();
  double best = 1e300;
  LoopNest nest(levels + 1);
  for (std::size_t l = 0; l < levels; ++l) nest[l + 1].holds = accelerator.hierarchy[l].holds;
  const std::function<void(std::size_t, std::array<double, 3>)> divide = [&](std::size_t level,
                                                                             std::array<double, 3> left) {
    const auto order_all = [&](const std::array<double, 3>& trips, const auto& next) {
      std::array<std::size_t, 3> order{0, 1, 2};
      do {
        nest[level].loops.clear();
        for (const auto i : order) nest[level].loops.push_back({loops[i], trips[i], false});
        next();
      } while (std::next_permutation(order.begin(), order.end()));
    };
    if (level == levels) {
      order_all(left, [&] {
        if (!fits(accelerator, product, problem, nest)) return;
        best = std::min(best, objective_of(accelerator, product, cost_of_nest(accelerator, product, problem, nest)));
      });
      return;
    }
    for (double a = 1; a <= left[0]; a *= 2) {
      for (double b = 1; b <= left[1]; b *= 2) {
        for (double c = 1; c <= left[2]; c *= 2) {
          order_all({a, b, c}, [&] { divide(level + 1, {left[0] / a, left[1] / b, left[2] / c}); });
        }
      }
    }
  };
  divide(0, {problem.size[kImages], problem.size[kOutChannels], problem.size[kInChannels]});
  return best;
}

TEST(Hierarchy, the_search_is_near_the_best_of_all_mappings) {
  const std::vector<std::string> designs{
      buffer("l1", "lhs, rhs, out", "24, unit: B", "1"), buffer("l1", "lhs, rhs, out", "100, unit: B", "1"),
      buffer("l1", "lhs, rhs, out", "64, unit: B", "1") + buffer("weights", "rhs", "8, unit: B", "0.1"),
      buffer("l1", "lhs, rhs, out", "96, unit: B", "1") + buffer("rf", "lhs, rhs, out", "16, unit: B", "0.1"),
      buffer("in", "lhs", "32, unit: B", "1") + buffer("sums", "out", "16, unit: B", "0.2")};
  double worst = 0.0;
  for (const auto& levels : designs) {
    for (const char* objective : {"energy", "energy-delay"}) {
      const Accelerator accelerator = read(design(levels, "objective: " + std::string(objective) + "\n"));
      for (const auto& product : {matrix_product(8, 8, 8), matrix_product(16, 4, 8), matrix_product(2, 16, 4)}) {
        const double found = objective_of(accelerator, product, search_mapping(accelerator, product).cost);
        const double excess = found / exhaustive(accelerator, product) - 1.0;
        worst = std::max(worst, excess);
      }
    }
  }
  std::printf("largest excess over the best of all mappings: %.1f %%\n", 100.0 * worst);
  EXPECT_LE(worst, 0.05);
}

TEST(Hierarchy, what_is_found_fits_and_moves_at_least_the_tensors) {
  const Accelerator example = load_accelerator(BITCYCLE_SOURCE "/configs/accelerators/eyeriss-hierarchy.yaml");
  for (const Pass pass : {Pass::kForward, Pass::kError, Pass::kWeightGradient}) {
    double before = 0.0;
    for (const int bits : {2, 4, 8, 16}) {
      Product product = convolution(pass);
      product.lhs_bits = product.rhs_bits = bits;
      const Mapping mapping = search_mapping(example, product);
      const LoopProblem problem = loop_problem(product);
      EXPECT_TRUE(fits(example, product, problem, mapping.nest));
      Extents all = tile_of(mapping.nest, 0);
      for (std::size_t d = 0; d < kLoops; ++d) EXPECT_NEAR(all[d], problem.size[d], 1e-9 * all[d]);
      const auto cost = cost_of(example, product);
      EXPECT_GE(cost.dram_read_bits * (1 + 1e-9),
                bits * (touched_elements(product.windows) * 2 + product.rhs_elements));
      EXPECT_GE(cost.dram_write_bits * (1 + 1e-9), 32 * product.out_elements);
      EXPECT_GE(cost.compute_cycles * 168, product.macs());
      EXPECT_GT(cost.total_nj(), before);  // wider operands cost more
      before = cost.total_nj();
    }
  }
}

}  // namespace
}  // namespace bitcycle::test
