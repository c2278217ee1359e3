// SPDX-License-Identifier: Apache-2.0
// Product: one matrix-like product as an accelerator sees it, (m x k) * (k x n), and its cost. The three passes of a
// layer with batch B (docs/cost-models.md, 3):
//   forward          m = B * out_h * out_w   n = o   k = kh * kw * c     lhs = x, rhs = w
//   error            m = B * h * w           n = c   k = kh * kw * o     lhs = g, rhs = w; stride s: zero-inserted, or
//                    s * s products of the taps that meet an error
//   weight gradient  m = kh * kw * c         n = o   k = B * out_h * out_w   lhs = x, rhs = g
// of each group.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "cost_models/accelerator.h"
#include "cost_models/passes.h"
#include "cost_models/windows.h"
#include "sim/workload.h"

namespace bitcycle {

struct Product {
  std::int64_t m = 1, n = 1, k = 1;
  std::int64_t repeat = 1;  // as often: groups, phases of a strided error pass
  /// Elements of the operands and of the result as tensors, all repeats: what memory must move at least.
  double lhs_elements = 0.0, rhs_elements = 0.0, out_elements = 0.0;
  int lhs_bits = 8, rhs_bits = 8;
  bool float32 = false;
  /// A square convolution, for models that tile one as it is; batch 0: a plain matrix product.
  std::int64_t batch = 0, out = 1, kernel = 1, stride = 1, in_channels = 1, out_channels = 1;
  bool im2col = false;
  Windows windows;      // of the left operand, one of `repeat`
  double useful = 1.0;  // share of the multiplications that are not by an inserted zero
  double macs() const {
    return static_cast<double>(m) * static_cast<double>(n) * static_cast<double>(k) * static_cast<double>(repeat);
  }
  auto operator<=>(const Product&) const = default;
};

struct BufferTraffic {
  double read_bits = 0.0, write_bits = 0.0;
};

/// Everything of one product or of many, added up.
struct ProductCost {
  double macs = 0.0, bitops = 0.0, effective_macs = 0.0;  // effective: macs * a/32 * b/32
  double compute_cycles = 0.0, stall_cycles = 0.0;
  double array_macs = 0.0;  // cycles times multiply-accumulates of a full array: what utilisation divides by
  double mapped_macs = 0.0, mapped_slots = 0.0;  // elements used, and there, over the folds: mapping efficiency
  std::vector<BufferTraffic> buffers;            // in the accelerator's order
  double dram_read_bits = 0.0, dram_write_bits = 0.0, compulsory_bits = 0.0;
  double compute_nj = 0.0, buffers_nj = 0.0, dram_nj = 0.0, leakage_nj = 0.0;

  double total_cycles() const { return compute_cycles + stall_cycles; }
  double total_nj() const { return compute_nj + buffers_nj + dram_nj + leakage_nj; }
  /// Share of the array's multiply-accumulates, over all cycles; 0 where there is no time.
  double utilisation() const { return array_macs > 0.0 ? macs / array_macs : 0.0; }
  void add(const ProductCost& other, double times = 1.0);
};

/// The products of a layer's pass, for a batch. first_layer: the network's first operation.
std::vector<Product> products_of(const MatrixOperation& operation, Pass pass, OperandBits bits, std::int64_t batch,
                                 bool first_layer, bool zero_inserted_errors);

/// Cost of one product. Throws std::invalid_argument naming the accelerator, the widths and what it takes, where it
/// cannot do them. explain: lines with the formulas, numbers put in; may be null.
ProductCost cost_of(const Accelerator& accelerator, const Product& product,
                    std::vector<std::string>* explain = nullptr);

/// Elementwise work: float32 operations and bits moved.
struct ElementwiseWork {
  double operations = 0.0;  // priced as float32 multiply-accumulates
  double read_bits = 0.0, write_bits = 0.0;
};
ProductCost cost_of(const Accelerator& accelerator, const ElementwiseWork& work);

// The models, each its own file.
ProductCost systolic_cost(const Accelerator& accelerator, const Product& product, std::vector<std::string>* explain);
ProductCost bit_serial_cost(const Accelerator& accelerator, const Product& product, std::vector<std::string>* explain);
ProductCost hierarchy_cost(const Accelerator& accelerator, const Product& product, std::vector<std::string>* explain);
ProductCost fusion_array_cost(const Accelerator& accelerator, const Product& product,
                              std::vector<std::string>* explain);

/// "pJ" of the prefix "p"; of a design of ratios the unit's number: "units" for "p", "thousand units" for "n".
std::string energy_unit(const Accelerator& accelerator, const std::string& prefix);

/// Number with as many digits as it has, for --explain.
std::string number_text(double value);

}  // namespace bitcycle
