// SPDX-License-Identifier: Apache-2.0
// What layers with a quantised product share: operands on the grids of their widths (docs/numerics.md, 2 to 5) or in
// float32 where the schedule says so (6.2), and the products of the three passes. An integer operand that meets a
// float32 one is replaced by its values (1.5).
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "nn/builder/builder.h"

namespace bitcycle::builder {

/// An operand of a product: codes on a grid, or values with their range.
struct Operand {
  ops::Quantised codes;  // integer
  BitWidth widest;
  Tensor values;  // float32
  Tensor range;
  bool is_integer() const { return static_cast<bool>(codes.codes); }
};

/// A layer's weight, its widths, and what one use of it leaves for the backward pass. A layer that is used several
/// times in a step, as a recurrent one is, has a copy for each, with a `use` that tells their tensors apart.
struct ProductLayer {
  Builder& builder;
  std::string name;
  ConvShape shape;
  LayerWidths widest;
  Builder::Parameter weight;
  Tensor weight_gradient;  // that the product of this use writes
  Tensor forward_width, gradient_width;
  Operand x, w;
  std::string use;        // " 3": the fourth of several
  bool quantised = true;  // false: float32 whatever the schedule says
  /// Some rows of input and gradient are zeros because they are not the layer's: a code stands for exactly 0 (2.7).
  bool has_absent_rows = false;

  Tensor tensor(const std::string& what, Element element, std::vector<std::int64_t> extents = {},
                Lifetime lifetime = Lifetime::kStep) const {
    return builder.tensor(name, what + use, element, std::move(extents), lifetime);
  }
  Tensor samples(const std::string& what, Element element, std::vector<std::int64_t> extents) const {
    return builder.samples(name, what + use, element, std::move(extents));
  }
  template <typename Op>
  void write(Pass pass, const Op& op) const {
    builder.write(name, pass, op);
  }
  const QuantisationOptions& quantisation() const { return builder.options().quantisation; }
  std::string input_quantiser() const { return has_absent_rows ? kAffineWithZero : quantisation().quantiser; }
  std::string gradient_quantiser() const {
    return has_absent_rows || quantisation().zero_on_grid ? kAffineWithZero : quantisation().quantiser;
  }
  /// Of the stream that rounds this use's gradient.
  std::uint32_t noise_id() const;
};

/// The container of codes up to a width.
Element codes_element(BitWidth widest);
std::vector<std::int64_t> weight_shape(const ConvShape& shape);

/// The layer with its parameter. `quantised`: false: float32 whatever the schedule says.
ProductLayer product_layer(Builder& builder, const std::string& name, const ConvShape& shape,
                           const std::vector<std::int64_t>& canonical_shape, bool quantised,
                           const InitialValues& initial = {});

/// The layer with a parameter that is there, and where its part of the gradient goes.
ProductLayer product_layer(Builder& builder, const std::string& name, const ConvShape& shape,
                           const Builder::Parameter& weight, Tensor weight_gradient, bool quantised);

/// The inputs that say at which widths a step runs the layer.
void write_widths(ProductLayer& layer, bool quantised);

/// Bound of the product's results, of each group of rhs, or of all.
Tensor bound_of(const ProductLayer& layer, const ops::Contraction& over, const Operand& lhs, const Operand& rhs,
                const std::string& what, std::int64_t depth, std::vector<std::int64_t> extents = {});
/// lhs x rhs: exact sums, the plain sums that the offsets need, and one rounding; or a float32 product.
Tensor product(const ProductLayer& layer, const ops::Contraction& over, const Operand& lhs, const Operand& rhs,
               const std::string& what);
/// Codes to values; values as they are.
Tensor values_of(const ProductLayer& layer, Pass pass, const Operand& operand, const std::string& what);

/// The layer's input: in training on the grid of this step's range, in evaluation on that of the running one.
Operand input_operand(const ProductLayer& layer, Value* x, Tensor running);
/// Weights with one group an output or an input channel; float32 ones as they are.
Operand weight_operand(const ProductLayer& layer, Pass pass, const std::string& what, const ops::Groups& groups);
/// What the error pass multiplies with: the forward codes' values on one grid, or codes of their own (5).
Operand error_operand(const ProductLayer& layer);
/// The gradient at the layer's output, which both backward products read.
Operand gradient_operand(const ProductLayer& layer, Tensor dy);
/// Whether min_scale was the step of the weights' forward codes, or of codes that the error pass has of its own.
void report_step_bounds(const ProductLayer& layer, const Operand& error);

}  // namespace bitcycle::builder
