// SPDX-License-Identifier: Apache-2.0
// Convolutions of several groups of several channels: each group is a product of one group over its slice of every
// pixel, of the codes that it reads and of the values that it writes.
#pragma once

#include <cstdint>
#include <vector>

#include "sim/cpu/packed_product.h"
#include "sim/cpu/product_image.h"
#include "sim/cpu/weight_gradient.h"

namespace bitcycle::cpu {

struct GroupedProducts {
  GroupedProducts() = default;
  GroupedProducts(const ConvShape& s, const KernelTable& kernels) : shape(group_of(s)) {
    const auto products = [&](bool error_pass) {
      std::vector<PackedProduct> groups(static_cast<std::size_t>(s.groups));
      for (PackedProduct& product : groups) {
        product = PackedProduct(shape, error_pass, kernels);
        product.in_pitch = error_pass ? s.o : s.c;
        product.out_pitch = error_pass ? s.c : s.o;
        product.staged_as = groups.data();
      }
      return groups;
    };
    if (s.forward_depth() <= kMaxDepth) forward = products(false);
    if (s.error_depth() <= kMaxDepth) error = products(true);
    has_gradient = s.out_h() * s.out_w() <= kMaxDepth;
    if (has_gradient) gradient = WeightGradient(shape, kernels, s.c, s.o);
  }

  /// Does a group have enough channels for the kernels of bytes to be faster than the written order?
  static bool takes(const ConvShape& s) {
    constexpr std::int64_t kFew = 4;
    return s.groups > 1 && s.c_per_group() >= kFew && s.o_per_group() >= kFew;
  }
  static ConvShape group_of(ConvShape s) {
    s.c /= s.groups;
    s.o /= s.groups;
    s.groups = 1;
    return s;
  }

  ConvShape shape;                            // of one group
  std::vector<PackedProduct> forward, error;  // (groups), or none
  bool has_gradient = false;
  WeightGradient gradient;  // of any group
};

/// One image of codes to values; done(0, all rows, their values) follows. out: the whole image, or null: then values
/// live in `some` until done() returns.
template <typename Done>
void grouped_image(const KernelTable& kernels, const std::vector<PackedProduct>& groups,
                   const std::vector<ProductCoefficients>& coefficients, const ByteCodes& codes, float* out,
                   Scratch<float>& some, ProductScratch& scratch, const Done& done) {
  const PackedProduct& first = groups.front();
  float* const values = out != nullptr ? out : some.need(first.out_h * first.out_w * first.pixel_out());
  const auto later = [](std::int64_t, std::int64_t, const float*) {};
  for (std::size_t g = 0; g < groups.size(); ++g) {
    const auto group = static_cast<std::int64_t>(g);
    product_image(kernels, groups[g], coefficients[g], codes.from(group * first.in_c), 0, values + group * first.out_c,
                  some, scratch, later);
  }
  done(0, first.out_h, static_cast<const float*>(values));
}

}  // namespace bitcycle::cpu
