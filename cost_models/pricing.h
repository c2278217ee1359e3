// SPDX-License-Identifier: Apache-2.0
// A training, or a topology, priced on an accelerator: every layer, pass and pair of widths, times the steps it lasted.
// A product of one shape and one pair of widths is priced once.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "cost_models/product.h"

namespace bitcycle {

struct PricingOptions {
  std::int64_t batch = 128;
  bool executed = false;  // widths of what ran; else the scheduled ones, as the paper counts
  ErrorReading reading;
  bool weight_update = false, quantisation = false, batch_norm = false;  // lines of their own
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

/// One forward product a row of a topology.
struct TopologyRow {
  std::string layer;
  Product product;
};
/// SCALE-Sim's CSV: convolutions (name, ifmap height, width, filter height, width, channels, filters, stride) without
/// padding and with a batch of 1, or `Layer, M, N, K`; both may have two more columns, lhs_bits and rhs_bits. Rows
/// without them have the widths given. Throws std::invalid_argument "FILE:LINE: ...".
std::vector<TopologyRow> read_topology(const std::string& path, int lhs_bits, int rhs_bits);
/// The same of a text; `file` names it in errors.
std::vector<TopologyRow> parse_topology(const std::string& text, const std::string& file, int lhs_bits, int rhs_bits);
Pricing price_topology(const Accelerator& accelerator, const std::vector<TopologyRow>& topology);

/// Bits that a training step must keep, at the widths of the first step.
struct MemoryNeed {
  double saved_activations = 0.0;  // codes written in the forward pass, read by the weight gradient
  double master_weights = 0.0, momentum = 0.0, ranges = 0.0;
};
MemoryNeed memory_need(const Workload& workload, const PrecisionPlan& plan, const PricingOptions& options);

/// How the cost of one layer comes about: lines for each pass at its largest widths.
std::vector<std::string> explain_layer(const Accelerator& accelerator, const Workload& workload,
                                       const PrecisionPlan& plan, const std::string& layer,
                                       const PricingOptions& options);

/// layer,pass,lhs_bits,rhs_bits,m,n,k,macs,total_cycles,compute_cycles,stall_cycles,utilisation, each buffer's
/// <name>_read_bits,<name>_write_bits,
/// dram_read_bits,dram_write_bits,compute_nj,buffers_nj,dram_nj,leakage_nj,total_nj,
/// compulsory_bits,bitops,steps,accelerator. Several accelerators share the header; what one has not is empty.
std::string pricing_csv(const std::vector<Pricing>& pricings);
/// SCALE-Sim's COMPUTE_REPORT.csv and DETAILED_ACCESS_REPORT.csv columns.
/// Its Compute Util %: MACs over the slots of the compute matrices, which for ws and is are rows - 1 longer a fold than
/// the demand that cycles are counted from.
double scalesim_compute_utilisation(const Accelerator& accelerator, const ProductCost& cost);
std::string scalesim_compute_report(const Pricing& pricing);
std::string scalesim_access_report(const Pricing& pricing);
nlohmann::ordered_json pricing_json_totals(const Accelerator& accelerator, const ProductCost& cost,
                                           const ProductCost& baseline);
nlohmann::ordered_json pricing_json(const Pricing& pricing, const Pricing* baseline);

}  // namespace bitcycle
