// SPDX-License-Identifier: Apache-2.0
// Reductions that are too long for 32 bits, on every library: the largest codes over the first lengths that would
// overflow give the exact sums, as integers and as values.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tests/exact/library_fixture.h"
#include "tests/golden/devices.h"

namespace bitcycle {
namespace {

using test::all_libraries;

/// Affine whose values are the codes themselves.
Affine identity_affine(BitWidth width) {
  Affine affine;
  affine.max_code = width.max_code();
  return affine;
}

std::vector<Int128> accumulators(KernelLibrary& library, Pass pass, const ConvShape& s, Operand x, Operand g,
                                 const QuantisedWeights* weights, std::int64_t size) {
  Buffer sums(library, static_cast<std::size_t>(size) * sizeof(Int128));
  ConvAccumulators args;
  args.pass = pass;
  args.shape = s;
  args.x = x;
  args.g = g;
  args.weights = weights;
  args.sums = sums.as<Int128>();
  library.conv_accumulators(args);
  return test::download<Int128>(library, sums.as<Int128>(), size);
}

/// x all one code, dy all 2^b - 1: every weight gradient of the 3 x 3 taps is their product times the number of
/// positions of its tap.
void expect_weight_gradient(KernelLibrary& library, const ConvShape& s, std::uint32_t code, BitWidth width) {
  const auto size = static_cast<std::size_t>(s.weight_size());
  const std::uint32_t top = width.max_code();
  Buffer qx =
      test::upload_codes(library, std::vector<std::uint32_t>(static_cast<std::size_t>(s.input_size()), code), width);
  Buffer qg = test::code_buffer(library, width, s.output_size());
  Buffer affine = test::upload(library, std::vector<Affine>{identity_affine(width)});
  Buffer dy =
      test::upload(library, std::vector<float>(static_cast<std::size_t>(s.output_size()), static_cast<float>(top)));
  Buffer range = test::upload(library, std::vector<Range>{{0.0F, static_cast<float>(top)}});
  Buffer dw(library, size * sizeof(float));
  Buffer master = test::upload(library, std::vector<float>(size, 1.0F));
  const auto weights = library.make_weights(s);
  QuantiseWeights quantise_args;
  quantise_args.master = master.as<float>();
  quantise_args.width = width;
  library.quantise_weights(quantise_args, *weights);

  ConvBackward args;
  args.gradient.u = dy.as<float>();
  args.g = {qg.as<void>(), affine.as<Affine>(), width};
  args.g_range = range.as<Range>();
  args.stochastic = false;
  args.x = {qx.as<void>(), affine.as<Affine>(), width};
  args.x_range = range.as<Range>();
  args.weights = weights.get();
  args.shape = s;
  args.dw = dw.as<float>();
  library.conv_backward(args);
  const auto values = test::download<float>(library, dw);
  const auto sums = accumulators(library, Pass::kWeightGradient, s, args.x, args.g, weights.get(), s.weight_size());
  for (std::size_t e = 0; e < size; ++e) {
    const std::int64_t tap = static_cast<std::int64_t>(e) / s.c % 9;
    const std::int64_t terms = s.n * valid_outputs(s, tap / 3, tap % 3).size();
    const Int128 expected = static_cast<Int128>(code) * top * terms;
    EXPECT_TRUE(sums[e] == expected) << library.name() << " tap " << tap;
    EXPECT_EQ(values[e], static_cast<float>(static_cast<double>(expected))) << library.name() << " tap " << tap;
  }
}
/// The largest codes on 32 x 32. Four channels are what tensor cores take, one runs in the direct kernels.
void expect_weight_gradient(KernelLibrary& library, std::int64_t batch, std::int64_t channels, BitWidth width) {
  const Int128 top = width.max_code();
  EXPECT_TRUE(top * top * batch * 1024 > INT32_MAX) << "the case is not the one that it is meant to be";
  expect_weight_gradient(library, test::conv_shape(batch, 32, 32, channels, channels, 3, 1, 1), width.max_code(),
                         width);
}

TEST(Overflow, weight_gradient_of_8_bits_at_batch_128_and_256_on_32x32_is_exact) {
  for (const auto& library : all_libraries()) {
    for (const std::int64_t batch : {128, 256}) expect_weight_gradient(*library, batch, 1, BitWidth::integer(8));
    expect_weight_gradient(*library, 512, 4, BitWidth::integer(8));
  }
}

/// Minimal filtering makes 4 times the sum of g (x - 128), of which 32 bits hold 16448 terms: an image of 64 x 257.
TEST(Overflow, weight_gradients_at_the_limit_of_minimal_filtering_are_exact) {
  for (const auto& [height, width] : {std::pair<std::int64_t, std::int64_t>{64, 257}, {59, 279}}) {
    const ConvShape s = test::conv_shape(2, height, width, 1, 1, 3, 1, 1);
    for (const auto& library : all_libraries()) expect_weight_gradient(*library, s, 0, BitWidth::integer(8));
  }
}

TEST(Overflow, weight_gradient_of_16_bits_is_exact) {
  for (const auto& library : all_libraries()) {
    expect_weight_gradient(*library, 8, 1, BitWidth::integer(16));
    expect_weight_gradient(*library, 64, 4, BitWidth::integer(16));
  }
}

/// Weights of 8 bits, n x k, whose codes are all 255 in even rows but one 0, and all 0 in odd rows but one 255.
std::vector<float> extreme_rows(std::int64_t rows, std::int64_t columns) {
  std::vector<float> master;
  for (std::int64_t o = 0; o < rows; ++o) {
    for (std::int64_t i = 0; i < columns; ++i) master.push_back((o % 2 == 0) == (i != o) ? 255.0F : 0.0F);
  }
  return master;
}

/// A forward product of codes that are all the same with the master weights given: y and, where asked for, its exact
/// sums.
std::vector<float> forward_of_codes(KernelLibrary& library, const ConvShape& s, std::uint32_t code,
                                    const std::vector<float>& master_values, BitWidth width,
                                    std::vector<Int128>* sums = nullptr) {
  Buffer master = test::upload(library, master_values);
  const auto value = static_cast<float>(code);
  Buffer x = test::upload(library, std::vector<float>(static_cast<std::size_t>(s.input_size()), value));
  Buffer qx = test::code_buffer(library, width, s.input_size());
  Buffer affine = test::upload(library, std::vector<Affine>{identity_affine(width)});
  Buffer y(library, static_cast<std::size_t>(s.output_size()) * sizeof(float));
  const auto weights = library.make_weights(s);
  QuantiseWeights quantise_args;
  quantise_args.master = master.as<float>();
  quantise_args.width = width;
  library.quantise_weights(quantise_args, *weights);
  ConvForward args;
  args.input.x = x.as<float>();
  args.codes = {qx.as<void>(), affine.as<Affine>(), width};
  args.weights = weights.get();
  args.shape = s;
  args.y = y.as<float>();
  library.conv_forward(args);
  if (sums != nullptr) {
    *sums = accumulators(library, Pass::kForward, s, args.codes, {}, weights.get(), s.output_size());
  }
  return test::download<float>(library, y);
}
std::vector<float> forward_of_top_codes(KernelLibrary& library, const ConvShape& s,
                                        const std::vector<float>& master_values, BitWidth width,
                                        std::vector<Int128>* sums = nullptr) {
  return forward_of_codes(library, s, width.max_code(), master_values, width, sums);
}

/// Minimal filtering makes 4 times the sum of w (q - 128), of which 1827 channels of nine taps are the most that 32
/// bits hold.
TEST(Overflow, forward_convolutions_at_the_limit_of_minimal_filtering_are_exact) {
  for (const std::int64_t channels : {1827, 1828}) {
    const ConvShape s = test::conv_shape(1, 3, 3, channels, 2, 3, 1, 1);
    std::vector<float> master(static_cast<std::size_t>(s.weight_size()), 255.0F);
    for (std::int64_t o = 0; o < s.o; ++o) master[static_cast<std::size_t>(o * 9 * channels)] = 0.0F;
    for (const auto& library : all_libraries()) {
      for (const float value : forward_of_codes(*library, s, 0, master, BitWidth::integer(8))) {
        EXPECT_EQ(value, 0.0F) << library->name() << " channels " << channels;
      }
    }
  }
}

TEST(Overflow, forward_reductions_above_the_int32_limits_are_exact) {
  const BitWidth width = BitWidth::integer(8);
  // 20 outputs are what tensor cores take, up to the depth that their sums hold; 18 run in the direct kernels.
  for (const auto& [outputs, depth] : std::vector<std::pair<std::int64_t, std::int64_t>>{
           {18, 33025}, {18, 33026}, {18, 65793}, {18, 65794}, {18, 131073}, {20, 33025}, {20, 33026}, {20, 65794}}) {
    const ConvShape s = matmul_shape(2, outputs, depth);
    const std::vector<float> master_values = extreme_rows(s.o, depth);
    for (const auto& library : all_libraries()) {
      std::vector<Int128> sums;
      const auto values = forward_of_top_codes(*library, s, master_values, width, &sums);
      for (std::size_t e = 0; e < sums.size(); ++e) {
        const std::int64_t expected = 255 * 255 * (e % 2 == 0 ? depth - 1 : 1);
        EXPECT_TRUE(sums[e] == expected) << library->name() << " depth " << depth << " output " << e;
        EXPECT_EQ(values[e], static_cast<float>(expected)) << library->name() << " depth " << depth << " output " << e;
      }
    }
  }
}

/// Two limbs a side: the middle sums have two products of bytes a term, and hold half as many terms.
TEST(Overflow, forward_reductions_of_16_bits_at_the_limit_of_limbs_are_exact) {
  const BitWidth width = BitWidth::integer(16);
  for (const std::int64_t depth : {16512, 16513, 16514, 33025}) {
    const ConvShape s = matmul_shape(2, 4, depth);
    // All codes are 65535: rows are constant but for one 0 at their end.
    std::vector<float> master_values(static_cast<std::size_t>(s.weight_size()), 65535.0F);
    for (std::int64_t o = 0; o < s.o; ++o) master_values[static_cast<std::size_t>((o + 1) * depth - 1)] = 0.0F;
    for (const auto& library : all_libraries()) {
      const double expected = 65535.0 * 65535.0 * static_cast<double>(depth - 1);
      for (const float value : forward_of_top_codes(*library, s, master_values, width)) {
        EXPECT_EQ(value, static_cast<float>(expected)) << library->name() << " depth " << depth;
      }
    }
  }
}

TEST(Overflow, error_pass_reductions_above_the_int32_limits_are_exact) {
  const BitWidth width = BitWidth::integer(8);
  for (const auto& [inputs, depth] : std::vector<std::pair<std::int64_t, std::int64_t>>{
           {18, 33026}, {18, 65794}, {20, 33025}, {20, 33026}, {20, 65794}}) {
    const ConvShape s = matmul_shape(2, depth, inputs);
    // (o, c): the transpose, so that input channels have the extreme rows.
    const std::vector<float> rows = extreme_rows(s.c, depth);
    std::vector<float> master_values(rows.size());
    for (std::int64_t o = 0; o < depth; ++o) {
      for (std::int64_t i = 0; i < s.c; ++i) {
        master_values[static_cast<std::size_t>(o * s.c + i)] = rows[static_cast<std::size_t>(i * depth + o)];
      }
    }
    for (const auto& library : all_libraries()) {
      Buffer master = test::upload(*library, master_values);
      Buffer dy = test::upload(*library, std::vector<float>(static_cast<std::size_t>(s.output_size()), 255.0F));
      Buffer qg = test::code_buffer(*library, width, s.output_size());
      Buffer qx = test::code_buffer(*library, width, s.input_size());
      Buffer affine = test::upload(*library, std::vector<Affine>{identity_affine(width)});
      Buffer range = test::upload(*library, std::vector<Range>{{0.0F, 255.0F}});
      Buffer dx(*library, static_cast<std::size_t>(s.input_size()) * sizeof(float));
      const auto weights = library->make_weights(s);
      QuantiseWeights quantise_args;
      quantise_args.master = master.as<float>();
      quantise_args.width = width;
      quantise_args.error_weights = ErrorWeights::kRequantised;
      library->quantise_weights(quantise_args, *weights);
      ConvBackward args;
      args.gradient.u = dy.as<float>();
      args.g = {qg.as<void>(), affine.as<Affine>(), width};
      args.g_range = range.as<Range>();
      args.stochastic = false;
      args.x = {qx.as<void>(), affine.as<Affine>(), width};
      args.x_range = range.as<Range>();
      args.weights = weights.get();
      args.shape = s;
      args.dx = dx.as<float>();
      library->conv_backward(args);
      const auto sums = accumulators(*library, Pass::kError, s, args.x, args.g, weights.get(), s.input_size());
      const auto values = test::download<float>(*library, dx);
      for (std::size_t e = 0; e < sums.size(); ++e) {
        const std::int64_t expected = 255 * 255 * (e % 2 == 0 ? depth - 1 : 1);
        EXPECT_TRUE(sums[e] == expected) << library->name() << " depth " << depth << " input " << e;
        EXPECT_EQ(values[e], static_cast<float>(expected)) << library->name() << " depth " << depth << " input " << e;
      }
    }
  }
}

/// Weights (o, c) of a linear layer whose codes on the shared grid are 32767 in even input channels and -32767 in odd
/// ones.
std::vector<float> extreme_columns(std::int64_t outputs, std::int64_t inputs) {
  std::vector<float> master;
  for (std::int64_t e = 0; e < outputs * inputs; ++e) master.push_back(e % inputs % 2 == 0 ? 255.0F : -255.0F);
  return master;
}

/// Where words hold the weights, 255 * 32767 * 257 is the largest sum of its kind that 32 bits hold.
TEST(Overflow, error_passes_on_the_shared_grid_at_the_limit_of_words_are_exact) {
  const BitWidth width = BitWidth::integer(8);
  for (const std::int64_t depth : {255, 256, 257, 258, 600}) {
    const ConvShape s = matmul_shape(2, depth, 18);
    for (const auto& library : all_libraries()) {
      Buffer master = test::upload(*library, extreme_columns(s.o, s.c));
      Buffer dy = test::upload(*library, std::vector<float>(static_cast<std::size_t>(s.output_size()), 255.0F));
      Buffer qg = test::code_buffer(*library, width, s.output_size());
      Buffer affine = test::upload(*library, std::vector<Affine>{identity_affine(width)});
      Buffer range = test::upload(*library, std::vector<Range>{{0.0F, 255.0F}});
      Buffer dx(*library, static_cast<std::size_t>(s.input_size()) * sizeof(float));
      const auto weights = library->make_weights(s);
      QuantiseWeights quantise_args;
      quantise_args.master = master.as<float>();
      quantise_args.width = width;
      library->quantise_weights(quantise_args, *weights);
      ConvBackward args;
      args.gradient.u = dy.as<float>();
      args.g = {qg.as<void>(), affine.as<Affine>(), width};
      args.g_range = range.as<Range>();
      args.stochastic = false;
      args.weights = weights.get();
      args.shape = s;
      args.dx = dx.as<float>();
      library->conv_backward(args);
      const double expected = 255.0 / 32767.0 * (255.0 * 32767.0 * static_cast<double>(depth));
      const auto values = test::download<float>(*library, dx);
      for (std::size_t e = 0; e < values.size(); ++e) {
        EXPECT_EQ(values[e], static_cast<float>(e % 2 == 0 ? expected : -expected))
            << library->name() << " depth " << depth << " input " << e;
      }
    }
  }
}

TEST(Overflow, sums_of_32_bit_codes_need_and_have_128_bits) {
  const BitWidth width = BitWidth::integer(32);
  const ConvShape s = test::conv_shape(1, 3, 3, 2, 1, 3, 1, 0);
  for (const auto& library : all_libraries()) {
    Buffer qx = test::upload_codes(*library, std::vector<std::uint32_t>(18, 0xFFFFFFFFU), width);
    Buffer qg = test::upload_codes(*library, std::vector<std::uint32_t>(1, 0xFFFFFFFFU), width);
    std::vector<float> master_values(18, 1.0F);
    master_values[7] = 0.0F;
    Buffer master = test::upload(*library, master_values);
    Buffer affine = test::upload(*library, std::vector<Affine>{identity_affine(width)});
    const auto weights = library->make_weights(s);
    QuantiseWeights quantise_args;
    quantise_args.master = master.as<float>();
    quantise_args.width = width;
    library->quantise_weights(quantise_args, *weights);
    const Operand x{qx.as<void>(), affine.as<Affine>(), width}, g{qg.as<void>(), affine.as<Affine>(), width};
    const auto sums = accumulators(*library, Pass::kForward, s, x, g, weights.get(), 1);
    const Int128 product = static_cast<Int128>(0xFFFFFFFFU) * 0xFFFFFFFFU;
    EXPECT_TRUE(sums[0] == 17 * product) << library->name();
  }
}

}  // namespace
}  // namespace bitcycle
