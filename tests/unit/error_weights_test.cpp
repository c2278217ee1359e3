// SPDX-License-Identifier: Apache-2.0
// The weights of the error pass in both variants (docs/numerics.md, section 5).
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <vector>

#include "sim/reference/reference_library.h"
#include "tests/exact/library_fixture.h"

namespace bitcycle {
namespace {

struct Quantised {
  ReferenceLibrary library;
  std::vector<float> master;
  std::unique_ptr<QuantisedWeights> weights;

  Quantised(const ConvShape& shape, std::vector<float> values, QuantiseWeights args) : master(std::move(values)) {
    weights = library.make_weights(shape);
    args.master = master.data();
    library.quantise_weights(args, *weights);
  }
};

QuantiseWeights with(BitWidth width, ErrorWeights error_weights, int grid_bits = 16) {
  QuantiseWeights args;
  args.width = width;
  args.error_weights = error_weights;
  args.error_grid_bits = grid_bits;
  return args;
}

TEST(ErrorWeights, shared_puts_the_forward_values_on_one_signed_grid) {
  const ConvShape s = test::conv_shape(1, 4, 4, 6, 8, 3, 1, 1, 2);
  for (const int grid_bits : {16, 24}) {
    const Quantised q(s, test::random_normal(s.weight_size(), 1),
                      with(BitWidth::integer(5), ErrorWeights::kShared, grid_bits));
    const auto* codes = q.weights->codes.as<std::uint32_t>();
    const auto* affine = q.weights->affine.as<Affine>();
    const auto* error = q.weights->error_codes.as<std::int32_t>();
    const double grid = q.weights->error_affine.as<Affine>()->step;
    double largest = 0.0;
    std::int32_t largest_code = 0;
    for (std::int64_t e = 0; e < s.weight_size(); ++e) {
      const double value = dequantise(codes[e], affine[e / 27]);
      EXPECT_NEAR(grid * error[e], value, 0.5000001 * grid);
      largest = std::max(largest, std::fabs(value));
      largest_code = std::max(largest_code, std::abs(error[e]));
    }
    EXPECT_EQ(largest_code, (1 << (grid_bits - 1)) - 1);
    EXPECT_EQ(grid, largest / largest_code);
  }
}

TEST(ErrorWeights, requantised_has_one_group_an_input_channel_of_its_convolution_group) {
  const ConvShape s = test::conv_shape(1, 4, 4, 6, 8, 3, 1, 1, 2);
  const BitWidth width = BitWidth::integer(6);
  const Quantised q(s, test::random_normal(s.weight_size(), 2), with(width, ErrorWeights::kRequantised));
  for (std::int64_t i = 0; i < s.c; ++i) {
    const Affine& affine = q.weights->error_affine.as<Affine>()[i];
    float lo = INFINITY, hi = -INFINITY;
    for (std::int64_t o = i / 3 * 4; o < i / 3 * 4 + 4; ++o) {
      for (std::int64_t tap = 0; tap < 9; ++tap) {
        const std::int64_t e = (o * 9 + tap) * 3 + i % 3;
        lo = std::min(lo, q.master[static_cast<std::size_t>(e)]);
        hi = std::max(hi, q.master[static_cast<std::size_t>(e)]);
        EXPECT_EQ(q.weights->error_codes.as<std::uint32_t>()[e],
                  quantise(q.master[static_cast<std::size_t>(e)], affine, width, 0.0F));
      }
    }
    EXPECT_EQ(affine.lo, static_cast<double>(lo));
    EXPECT_EQ(affine.step, static_cast<double>((hi - lo) / 63.0F));
  }
}

TEST(ErrorWeights, all_zero_weights_have_zero_codes) {
  const ConvShape s = test::conv_shape(1, 4, 4, 4, 4, 3, 1, 1);
  for (const int bits : {8, 20}) {
    for (const ErrorWeights error_weights : {ErrorWeights::kShared, ErrorWeights::kRequantised}) {
      const Quantised q(s, std::vector<float>(static_cast<std::size_t>(s.weight_size()), 0.0F),
                        with(BitWidth::integer(bits), error_weights));
      for (std::int64_t e = 0; e < s.weight_size(); ++e) {
        EXPECT_EQ(q.weights->codes.as<std::uint32_t>()[e], 0U);
        EXPECT_EQ(q.weights->error_codes.as<std::uint32_t>()[e], 0U);
      }
      EXPECT_EQ(q.weights->magnitude.as<float>()[s.o], 0.0F);
    }
  }
}

TEST(ErrorWeights, magnitudes_are_those_of_the_master_weights) {
  const ConvShape s = test::conv_shape(1, 2, 2, 3, 5, 1, 1, 0);
  const Quantised q(s, test::random_normal(15, 3), with(BitWidth::float32(), ErrorWeights::kShared));
  float largest = 0.0F;
  for (std::size_t o = 0; o < 5; ++o) {
    float of_channel = 0.0F;
    for (std::size_t i = 0; i < 3; ++i) of_channel = std::max(of_channel, std::fabs(q.master[o * 3 + i]));
    EXPECT_EQ(q.weights->magnitude.as<float>()[o], of_channel);
    largest = std::max(largest, of_channel);
  }
  EXPECT_EQ(q.weights->magnitude.as<float>()[5], largest);
}

}  // namespace
}  // namespace bitcycle
