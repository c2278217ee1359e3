// SPDX-License-Identifier: Apache-2.0
// Bounds of magnitudes that are known before a reduction starts; the grids of order-free sums are taken from them
// (docs/numerics.md, 7.2, 7.5, 7.6 and 6.2). All in binary64, left to right.
#pragma once

#include <cmath>
#include <cstdint>

#include "sim/number/host_device.h"
#include "sim/number/ordered_key.h"
#include "sim/quantisers/affine.h"
#include "sim/quantisers/signed_grid.h"

namespace bitcycle {

BITCYCLE_HD double larger(double a, double b) { return a > b ? a : b; }

/// max(|lo|, |fma(step, 2^b - 1, lo)|): the largest magnitude that codes can stand for.
BITCYCLE_HD double code_bound(const Affine& affine) {
  return larger(fabs(affine.lo), fabs(fma(affine.step, static_cast<double>(affine.max_code), affine.lo)));
}

/// Bound of one operand: of its codes where it is an integer, of its exact range where it is float32.
BITCYCLE_HD double operand_bound(BitWidth width, const Affine& affine, Range range) {
  return width.is_integer() ? code_bound(affine) : static_cast<double>(magnitude_of(range));
}

/// The same for one group of weights; magnitude = max|w| of the master weights.
BITCYCLE_HD double weight_bound(BitWidth width, const Affine& affine, float magnitude) {
  return width.is_integer() ? code_bound(affine) : static_cast<double>(magnitude);
}

/// Largest magnitude of the weights of an error pass with `shared` weights: G * (2^(B-1) - 1).
BITCYCLE_HD double shared_weight_bound(double grid, int bits) { return grid * error_grid_max(bits); }

/// depth * X * W of an integer product; 2 * depth * X * W where an operand is float32, whose sum rounds.
BITCYCLE_HD double product_bound(bool integers, std::int64_t depth, double x, double w) {
  const double terms = static_cast<double>(depth);
  return integers ? terms * x * w : 2.0 * terms * x * w;
}

/// Bound of u = fl(first + second): V, or V + max|other| with a second contribution.
BITCYCLE_HD double gradient_sum_bound(double first, const float* other_bound) {
  return other_bound == nullptr ? first : first + static_cast<double>(*other_bound);
}

}  // namespace bitcycle
