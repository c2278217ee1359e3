// SPDX-License-Identifier: Apache-2.0
// A training, or a topology, priced on an accelerator: every layer, pass and pair of widths, times the steps it lasted.
// A product of one shape and one pair of widths is priced once. pricing_tables.h writes the result, explain.h shows how
// the cost of one layer comes about.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "cost_models/product.h"
#include "cost_models/topology.h"

namespace bitcycle {

/// An optimiser's work for a weight, in numbers of 32 bits: SGD with momentum. The weight's codes are written beside.
struct UpdateWork {
  double operations = 3.0, read = 3.0, written = 2.0;
  double moments = 1.0;  // that it keeps
};

struct PricingOptions {
  std::int64_t batch = 128;
  bool executed = false;  // widths of what ran; else the scheduled ones, as the paper counts
  ErrorPassOptions error_pass;
  bool weight_update = false, quantisation = false, batch_norm = false, pooling = false;  // lines of their own
  bool language = false;  // the same for embeddings, gates of LSTMs, softmax cross-entropy
  UpdateWork update;
  /// Layers that a step multiplies several times, each time for an equal share of its samples: how often.
  std::map<std::string, std::int64_t> uses;
  std::int64_t uses_of(const std::string& layer) const {
    const auto found = uses.find(layer);
    return found == uses.end() ? 1 : found->second;
  }
};

struct PricedRow {
  std::string layer, pass;
  int lhs_bits = 0, rhs_bits = 0;
  bool float32 = false;
  std::int64_t m = 0, n = 0, k = 0;  // of the first product; 0: elementwise
  std::int64_t steps = 0;
  ProductCost cost;  // over all steps
};

struct Pricing {
  Accelerator accelerator;
  std::vector<PricedRow> rows;
  ProductCost total;
};

/// Cost of the plan's steps [begin, end).
Pricing price_training(const Accelerator& accelerator, const Workload& workload, const PrecisionPlan& plan,
                       std::int64_t begin, std::int64_t end, const PricingOptions& options);
/// The same steps at the plan's largest widths.
Pricing price_static(const Accelerator& accelerator, const Workload& workload, const PrecisionPlan& plan,
                     std::int64_t begin, std::int64_t end, const PricingOptions& options);
/// A topology without a schedule, once: the passes that its layers name, else the forward pass. Layers without widths
/// of their own have `bits`.
Pricing price_topology(const Accelerator& accelerator, const Topology& topology, OperandBits bits);

/// Bits that a training step must keep, at the largest widths.
struct MemoryNeed {
  double saved_activations = 0.0;  // codes written in the forward pass, read by the weight gradient
  double master_weights = 0.0, momentum = 0.0, ranges = 0.0;
};
MemoryNeed memory_need(const Workload& workload, const PrecisionPlan& plan, const PricingOptions& options);

/// Widths of a layer's pass, as scheduled (float32 where the layer has no schedule) or as multiplied; 0 x 0: it does
/// not run.
struct PassWidths {
  OperandBits bits;
  bool float32 = false;
  auto key() const { return std::tuple(bits.lhs, bits.rhs, float32); }
};
PassWidths pass_widths(const MatrixOperation& operation, Pass pass, const LayerWidths& scheduled,
                       const PricingOptions& options);
/// The products of one step.
std::vector<Product> layer_products(const Accelerator& accelerator, const Workload& workload, std::size_t index,
                                    Pass pass, const PassWidths& widths, std::int64_t batch);
/// Cost of one product of a layer's pass; where the accelerator cannot multiply its widths, the error names the layer
/// and, for a `shared` error pass, the remedy.
ProductCost product_cost(const Accelerator& accelerator, const MatrixOperation& operation, Pass pass,
                         const Product& product, const PricingOptions& options);

}  // namespace bitcycle
