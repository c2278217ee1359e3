// SPDX-License-Identifier: Apache-2.0
// Quantiser: how the grid of a group follows from its range (the one statistic that programs take; the largest
// magnitude follows from it). A small file each, registered by name; docs/extending.md shows how to add one. Which
// codes values get, and what codes stand for, is the same for all: quantise and dequantise of affine.h on that grid,
// which is what products and their rescaling rest on.
#pragma once

#include <string>
#include <vector>

#include "sim/quantisers/affine.h"

namespace bitcycle {

struct Quantiser {
  /// Contract: IEEE operations in the written order, so that every machine gives the same grid. max_code = 2^b - 1;
  /// lo and step hold binary32 values up to 16 bits; step >= 0; 0 for lo, 1 for step where the width is float32.
  Affine (*grid)(Range range, BitWidth width, MinScale min_scale) = nullptr;
  /// In evaluation, from the running zero point and the running range (docs/numerics.md, 2.5).
  Affine (*running_grid)(float zero_point, float range, BitWidth width, MinScale min_scale) = nullptr;
};

/// Names of quantisers that devices have kernels for; nodes of all others run their reference loops.
constexpr const char* kAffine = "affine";
constexpr const char* kAffineWithZero = "affine_with_zero";

/// Throws std::invalid_argument for an unknown name, listing the known ones.
const Quantiser& find_quantiser(const std::string& name);
std::vector<std::string> quantiser_names();

/// Registration: one namespace-scope constant a file, `const bool NAME_quantiser_registered = register_quantiser(...)`,
/// and a line in list.inl.
bool register_quantiser(const std::string& name, const Quantiser& quantiser);

}  // namespace bitcycle
