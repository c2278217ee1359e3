// SPDX-License-Identifier: Apache-2.0
#include "cost_models/pricing.h"

#include <algorithm>
#include <functional>
#include <map>
#include <stdexcept>
#include <tuple>

namespace bitcycle {
namespace {

using Histogram = std::map<LayerWidths, std::int64_t>;

/// Costs of products that were priced already; resnet152 has a dozen shapes.
class Cache {
 public:
  explicit Cache(const Accelerator& accelerator) : accelerator_(accelerator) {}

  const ProductCost& of(const MatrixOperation& operation, Pass pass, const Product& p, const PricingOptions& options) {
    const auto found = costs_.find(p);
    if (found != costs_.end()) return found->second;
    return costs_.emplace(p, product_cost(accelerator_, operation, pass, p, options)).first->second;
  }

 private:
  const Accelerator& accelerator_;
  std::map<Product, ProductCost> costs_;
};

double elements(std::int64_t count, std::int64_t batch) {
  return static_cast<double>(count) * static_cast<double>(batch);
}

/// Adds rows to a pricing.
class Pricer {
 public:
  Pricer(const Accelerator& accelerator, const Workload& workload, const PricingOptions& options)
      : cache_(accelerator), workload_(workload), options_(options) {
    pricing_.accelerator = accelerator;
  }

  void pass(std::size_t index, Pass pass, const PassWidths& widths, std::int64_t steps) {
    const MatrixOperation& operation = workload_.matrix[index];
    PricedRow row;
    row.layer = operation.layer;
    row.pass = pass_name(pass);
    row.lhs_bits = widths.bits.lhs;
    row.rhs_bits = widths.bits.rhs;
    row.float32 = widths.float32;
    row.steps = steps;
    const std::int64_t uses = options_.uses_of(operation.layer);
    for (const auto& product :
         layer_products(pricing_.accelerator, workload_, index, pass, widths, options_.batch / uses)) {
      if (row.m == 0) {
        row.m = product.m;
        row.n = product.n;
        row.k = product.k;
      }
      row.cost.add(cache_.of(operation, pass, product, options_), static_cast<double>(steps * uses));
    }
    pricing_.rows.push_back(std::move(row));
  }

  void elementwise(const std::string& layer, const std::string& what, int bits, std::int64_t steps,
                   const ElementwiseWork& work) {
    PricedRow row;
    row.layer = layer;
    row.pass = what;
    row.lhs_bits = 32;
    row.rhs_bits = bits;
    row.steps = steps;
    row.cost.add(cost_of(pricing_.accelerator, work), static_cast<double>(steps));
    pricing_.rows.push_back(std::move(row));
  }

  Pricing take() {
    for (const auto& row : pricing_.rows) pricing_.total.add(row.cost);
    return std::move(pricing_);
  }

 private:
  Pricing pricing_;
  Cache cache_;
  const Workload& workload_;
  const PricingOptions& options_;
};

/// The quantisers' and the optimiser's work of a layer.
void add_elementwise(Pricer& pricer, const MatrixOperation& operation, const LayerWidths& scheduled, std::int64_t steps,
                     const PricingOptions& options) {
  const OperationShape& s = operation.shape;
  const bool trains = operation.has(Pass::kError) || operation.has(Pass::kWeightGradient);
  if (options.quantisation && operation.scheduled && !scheduled.forward.is_float32()) {
    const double x = elements(s.input_size(), options.batch), g = trains ? elements(s.output_size(), options.batch) : 0;
    pricer.elementwise(operation.layer, "quantisation", scheduled.forward.bits(), steps,
                       {x + g, 32.0 * (x + g), x * scheduled.forward.bits() + g * scheduled.gradient.bits()});
  }
  if (options.weight_update && operation.has(Pass::kWeightGradient) && !operation.rhs_is_activation) {
    const auto w = static_cast<double>(s.weight_size());
    const int copy = operation.scheduled ? scheduled.forward.bits() : 0;  // float32 weights have none
    pricer.elementwise(
        operation.layer, "weight_update", operation.scheduled ? copy : 32, steps,
        {options.update.operations * w, 32.0 * options.update.read * w, (32.0 * options.update.written + copy) * w});
  }
}

/// The work of a batch norm, a max pooling, or a part of a language model, in float32.
ElementwiseWork work_of(const ElementwiseOperation& operation, bool trains, std::int64_t batch) {
  const double out = elements(operation.elements, batch), in = elements(operation.input_elements, batch);
  if (operation.kind == "batch_norm") {
    // Forward: y read for the statistics and again to be normalised, z written. Backward: u and y read, dy written.
    return {4.0 * out, 4.0 * 32.0 * out, 2.0 * 32.0 * out};
  }
  if (operation.kind == "embedding") {
    // A row read and written; its gradient read and added to the table's.
    return trains ? ElementwiseWork{out, 96.0 * out, 64.0 * out} : ElementwiseWork{0.0, 32.0 * out, 32.0 * out};
  }
  if (operation.kind == "softmax") {
    // Logits read for their maximum and again for the exponentials, the gradient written.
    return trains ? ElementwiseWork{6.0 * out, 64.0 * out, 32.0 * out} : ElementwiseWork{4.0 * out, 64.0 * out, 0.0};
  }
  if (operation.kind == "lstm_cell") {
    // Forward: both products' four gates and the cell read; gates, cell, its tangent and the output written. Backward:
    // these and two gradients read, those of gates and cell written.
    return trains ? ElementwiseWork{38.0 * out, 17.0 * 32.0 * out, 12.0 * 32.0 * out}
                  : ElementwiseWork{13.0 * out, 9.0 * 32.0 * out, 7.0 * 32.0 * out};
  }
  // Forward: x read, z written. Backward: x read again, for which element was the largest, and dz; dx written.
  const double compared = out * static_cast<double>(operation.window);
  if (!trains) return {compared, 32.0 * in, 32.0 * out};
  return {2.0 * compared, 32.0 * (2.0 * in + out), 32.0 * (out + in)};
}

Pricing price(const Accelerator& accelerator, const Workload& workload,
              const std::function<Histogram(const std::string&)>& histogram, const PricingOptions& options) {
  Pricer pricer(accelerator, workload, options);
  for (std::size_t i = 0; i < workload.matrix.size(); ++i) {
    const MatrixOperation& operation = workload.matrix[i];
    const Histogram steps_at = histogram(operation.layer);
    for (const Pass pass : kPasses) {
      if (!operation.has(pass)) continue;
      std::map<std::tuple<int, int, bool>, std::pair<PassWidths, std::int64_t>> widths;
      for (const auto& [scheduled, steps] : steps_at) {
        const PassWidths of = pass_widths(operation, pass, scheduled, options);
        auto& entry = widths[of.key()];
        entry.first = of;
        entry.second += steps;
      }
      for (const auto& [key, entry] : widths) {
        if (entry.first.bits.lhs != 0) pricer.pass(i, pass, entry.first, entry.second);
      }
    }
    for (const auto& [scheduled, steps] : steps_at) add_elementwise(pricer, operation, scheduled, steps, options);
  }
  const bool trains = std::any_of(workload.matrix.begin(), workload.matrix.end(),
                                  [](const auto& operation) { return operation.has(Pass::kWeightGradient); });
  for (const auto& operation : workload.elementwise) {
    const bool wanted = operation.kind == "batch_norm" ? options.batch_norm
                        : operation.kind == "max_pool" ? options.pooling
                                                       : options.language;
    if (!wanted) continue;
    std::int64_t steps = 0;
    for (const auto& [scheduled, count] : histogram(operation.layer)) steps += count;
    pricer.elementwise(operation.layer, operation.kind, 32, steps, work_of(operation, trains, options.batch));
  }
  return pricer.take();
}

}  // namespace

PassWidths pass_widths(const MatrixOperation& operation, Pass pass, const LayerWidths& scheduled,
                       const PricingOptions& options) {
  if (options.executed) {
    const OperandBits bits = executed_bits(operation, pass, scheduled, options.error_pass);
    return {bits, bits.lhs == 32 && bits.rhs == 32 &&
                      (!operation.quantised || scheduled.forward.is_float32() || scheduled.gradient.is_float32())};
  }
  const bool float32 = !operation.scheduled || scheduled.forward.is_float32() ||
                       (pass != Pass::kForward && scheduled.gradient.is_float32());
  return {float32 ? OperandBits{32, 32} : scheduled_bits(pass, scheduled), float32};
}

std::vector<Product> layer_products(const Accelerator& accelerator, const Workload& workload, std::size_t index,
                                    Pass pass, const PassWidths& widths, std::int64_t batch) {
  auto products = products_of(workload.matrix[index], pass, widths.bits, batch,
                              accelerator.im2col_first_layer && index == 0, accelerator.zero_inserted_errors);
  for (auto& product : products) product.float32 = widths.float32;
  return products;
}

ProductCost product_cost(const Accelerator& accelerator, const MatrixOperation& operation, Pass pass,
                         const Product& product, const PricingOptions& options) {
  if (!operation.scheduled && accelerator.has_energy() && !accelerator.float32) {
    throw std::invalid_argument(accelerator.name + " has no float32 arithmetic (float32: none in " + accelerator.file +
                                "), and layer " + operation.layer +
                                " is float32 by model.quantise; with model.quantise=linears+attention every product "
                                "is of integers, or choose another accelerator");
  }
  try {
    return cost_of(accelerator, product);
  } catch (const std::invalid_argument& error) {
    std::string message = error.what();
    message += "; layer " + operation.layer + ", " + pass_name(pass);
    const bool on_grid = options.executed && pass == Pass::kError && operation.quantised && !product.float32 &&
                         options.error_pass.weights == ErrorWeights::kShared &&
                         options.error_pass.grid_bits > accelerator.max_bits;
    if (on_grid) {
      message += ". The error pass reads its weights from one grid of " + std::to_string(options.error_pass.grid_bits) +
                 " bits (precision.error_weights=shared); with precision.error_weights=requantised they have the "
                 "scheduled width. The metric 'paper' prices the scheduled widths in any case";
    }
    throw std::invalid_argument(message);
  }
}

Pricing price_training(const Accelerator& accelerator, const Workload& workload, const PrecisionPlan& plan,
                       std::int64_t begin, std::int64_t end, const PricingOptions& options) {
  return price(
      accelerator, workload, [&](const std::string& layer) { return plan.histogram(layer, begin, end); }, options);
}

Pricing price_static(const Accelerator& accelerator, const Workload& workload, const PrecisionPlan& plan,
                     std::int64_t begin, std::int64_t end, const PricingOptions& options) {
  const auto fixed = [&](const std::string& layer) {
    return end > begin ? Histogram{{plan.max(layer), end - begin}} : Histogram{};
  };
  return price(accelerator, workload, fixed, options);
}

Pricing price_topology(const Accelerator& accelerator, const Topology& topology, OperandBits bits) {
  const Workload workload = topology.workload();
  PricingOptions options;
  options.batch = 1;
  Pricer pricer(accelerator, workload, options);
  for (std::size_t i = 0; i < topology.layers.size(); ++i) {
    const TopologyLayer& layer = topology.layers[i];
    for (const Pass pass : kPasses) {
      if (layer.names_passes ? !layer.operation.has(pass) : pass != Pass::kForward) continue;
      pricer.pass(i, pass, {layer.bits.value_or(bits), false}, 1);
    }
  }
  return pricer.take();
}

MemoryNeed memory_need(const Workload& workload, const PrecisionPlan& plan, const PricingOptions& options) {
  MemoryNeed need;
  for (const auto& operation : workload.matrix) {
    if (!operation.has(Pass::kWeightGradient)) continue;
    const LayerWidths widths = plan.max(operation.layer);
    const bool float32 = !operation.scheduled || (options.executed && !operation.quantised);
    const double bits = float32 ? 32.0 : widths.forward.bits();
    const OperationShape& s = operation.shape;
    need.saved_activations += elements(s.input_size(), options.batch) * bits;
    if (operation.rhs_is_activation) {
      need.saved_activations += elements(s.weight_size(), options.batch) * bits;
    } else {
      need.master_weights += 32.0 * static_cast<double>(s.weight_size());
    }
    need.ranges += 2.0 * 2.0 * 32.0;  // minimum and maximum of activations and of gradients
  }
  need.momentum = options.update.moments * need.master_weights;
  return need;
}

}  // namespace bitcycle
