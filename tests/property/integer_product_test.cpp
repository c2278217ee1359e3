// SPDX-License-Identifier: Apache-2.0
// The three products are one bilinear form in exact integers: for every shape and width,
//   <g, forward(x, w)> = <x, error(g, w)> = <w, weight_gradient(x, g)>,
// and equal a direct sum over (sample, output, tap, channel) where one is affordable.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "sim/reference/reference_library.h"
#include "tests/exact/library_fixture.h"

namespace bitcycle {
namespace {

std::vector<std::uint32_t> random_codes(std::int64_t size, BitWidth width, std::uint64_t seed) {
  test::TestRandom random(seed);
  std::vector<std::uint32_t> codes(static_cast<std::size_t>(size));
  for (auto& q : codes) q = static_cast<std::uint32_t>(random.word() & width.max_code());
  return codes;
}

/// Products of given codes on the reference library, whose error codes may be set to the forward ones.
struct CodedProducts {
  ConvShape shape;
  BitWidth width, gradient_width;
  std::vector<std::uint32_t> x, w, g;
  ReferenceLibrary library;

  CodedProducts(const ConvShape& s, const test::WidthPair& widths)
      : shape(s),
        width(widths.forward),
        gradient_width(widths.gradient),
        x(random_codes(s.input_size(), width, 1)),
        w(random_codes(s.weight_size(), width, 2)),
        g(random_codes(s.output_size(), gradient_width, 3)) {}

  std::vector<Int128> sums(Pass pass, std::int64_t size) {
    Buffer qx = test::upload_codes(library, x, width);
    Buffer qg = test::upload_codes(library, g, gradient_width);
    const auto weights = library.make_weights(shape);
    weights->width = width;
    weights->error_weights = ErrorWeights::kRequantised;
    for (Buffer* codes : {&weights->codes, &weights->error_codes}) {
      library.to_device(codes->as<std::uint32_t>(), w.data(), codes->bytes());
    }
    std::vector<Int128> out(static_cast<std::size_t>(size));
    ConvAccumulators args;
    args.pass = pass;
    args.shape = shape;
    args.x = {qx.as<void>(), nullptr, width};
    args.g = {qg.as<void>(), nullptr, gradient_width};
    args.weights = weights.get();
    args.sums = out.data();
    library.conv_accumulators(args);
    return out;
  }
};

/// Inner product modulo 2^128, in which equal integers stay equal.
unsigned __int128 inner(const std::vector<std::uint32_t>& a, const std::vector<Int128>& b) {
  unsigned __int128 sum = 0;
  for (std::size_t e = 0; e < a.size(); ++e) sum += static_cast<unsigned __int128>(b[e]) * a[e];
  return sum;
}

TEST(IntegerProducts, are_one_bilinear_form_for_every_shape_and_width) {
  for (const auto& [reason, shape] : test::backend_shapes()) {
    if (shape.macs() > 2000000) continue;
    for (const auto& widths : test::backend_widths()) {
      if (widths.forward.is_float32() || widths.gradient.is_float32()) continue;
      CodedProducts products(shape, widths);
      const auto forward = inner(products.g, products.sums(Pass::kForward, shape.output_size()));
      const auto error = inner(products.x, products.sums(Pass::kError, shape.input_size()));
      const auto gradient = inner(products.w, products.sums(Pass::kWeightGradient, shape.weight_size()));
      EXPECT_TRUE(forward == error) << reason << " " << name_of(widths);
      EXPECT_TRUE(forward == gradient) << reason << " " << name_of(widths);
      EXPECT_TRUE(shape.macs() < 2 || forward != 0) << reason;
    }
  }
}

TEST(IntegerProducts, equal_a_direct_sum) {
  const ConvShape s = test::conv_shape(2, 5, 6, 4, 6, 3, 2, 1, 2);
  CodedProducts products(s, {BitWidth::integer(8), BitWidth::integer(8)});
  std::vector<Int128> y(static_cast<std::size_t>(s.output_size())), dx(static_cast<std::size_t>(s.input_size())),
      dw(static_cast<std::size_t>(s.weight_size()));
  const auto at = [](std::int64_t index) { return static_cast<std::size_t>(index); };
  for (std::int64_t n = 0; n < s.n; ++n) {
    for (std::int64_t oh = 0; oh < s.out_h(); ++oh) {
      for (std::int64_t ow = 0; ow < s.out_w(); ++ow) {
        for (std::int64_t o = 0; o < s.o; ++o) {
          for (std::int64_t kh = 0; kh < 3; ++kh) {
            for (std::int64_t kw = 0; kw < 3; ++kw) {
              for (std::int64_t i = 0; i < 2; ++i) {
                const std::int64_t h = 2 * oh - 1 + kh, w = 2 * ow - 1 + kw, c = o / 3 * 2 + i;
                if (h < 0 || h >= 5 || w < 0 || w >= 6) continue;
                const std::size_t out = at(((n * s.out_h() + oh) * s.out_w() + ow) * 6 + o);
                const std::size_t in = at(((n * 5 + h) * 6 + w) * 4 + c), tap = at(((o * 3 + kh) * 3 + kw) * 2 + i);
                y[out] += std::int64_t{products.x[in]} * products.w[tap];
                dx[in] += std::int64_t{products.g[out]} * products.w[tap];
                dw[tap] += std::int64_t{products.g[out]} * products.x[in];
              }
            }
          }
        }
      }
    }
  }
  EXPECT_TRUE(y == products.sums(Pass::kForward, s.output_size()));
  EXPECT_TRUE(dx == products.sums(Pass::kError, s.input_size()));
  EXPECT_TRUE(dw == products.sums(Pass::kWeightGradient, s.weight_size()));
}

TEST(IntegerProducts, do_not_depend_on_the_order_of_samples) {
  const ConvShape s = test::conv_shape(5, 6, 6, 3, 4, 3, 1, 1);
  CodedProducts products(s, {BitWidth::integer(8), BitWidth::integer(16)});
  const auto before = products.sums(Pass::kWeightGradient, s.weight_size());
  const auto rotate_samples = [&](std::vector<std::uint32_t>& codes) {
    std::rotate(codes.begin(), codes.begin() + 2 * static_cast<std::int64_t>(codes.size()) / s.n, codes.end());
  };
  rotate_samples(products.x);
  rotate_samples(products.g);
  EXPECT_TRUE(before == products.sums(Pass::kWeightGradient, s.weight_size()));
}

}  // namespace
}  // namespace bitcycle
