// SPDX-License-Identifier: Apache-2.0
// What integer convolutions mean: at every shape, width and variant, y, dx and dw equal the convolution in binary64 of
// the values that the codes stand for, and statistics and bounds hold what they promise.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "sim/ops/bounds.h"
#include "sim/reference/reference_library.h"
#include "sim/reference/taps.h"
#include "tests/exact/library_fixture.h"

namespace bitcycle {
namespace {

/// The values of an operand's codes.
std::vector<double> values_of(const std::vector<std::uint32_t>& codes, const Affine& affine, BitWidth width) {
  std::vector<double> values;
  for (const std::uint32_t q : codes) {
    values.push_back(width.is_float32() ? static_cast<double>(float_of_bits(static_cast<std::int32_t>(q)))
                                        : dequantise(q, affine));
  }
  return values;
}

/// One convolution step on the reference library, host memory all through.
struct ConvolutionStep {
  ConvShape s;
  test::WidthPair widths;
  ReferenceLibrary library;
  std::vector<float> x, w, dy, y, dx, dw;
  Buffer qx, qg;
  Affine affine_x, affine_g;
  Range range_x, range_g;
  std::vector<ChannelStatistics> statistics;
  std::vector<NormGradientSums> sums;
  std::unique_ptr<QuantisedWeights> weights;

  ConvolutionStep(const ConvShape& shape, const test::WidthPair& chosen, ErrorWeights error_weights, int grid_bits)
      : s(shape),
        widths(chosen),
        x(test::random_rectified(s.input_size(), 1)),
        w(test::random_normal(s.weight_size(), 2, 0.1F)),
        dy(test::random_normal(s.output_size(), 3, 1e-2F)),
        y(static_cast<std::size_t>(s.output_size())),
        dx(static_cast<std::size_t>(s.input_size())),
        dw(static_cast<std::size_t>(s.weight_size())),
        qx(test::code_buffer(library, widths.forward, s.input_size())),
        qg(test::code_buffer(library, widths.gradient, s.output_size())),
        statistics(static_cast<std::size_t>(s.o)),
        sums(static_cast<std::size_t>(s.c)),
        weights(library.make_weights(s)) {
    QuantiseWeights quantise_args;
    quantise_args.master = w.data();
    quantise_args.width = widths.forward;
    quantise_args.error_weights = error_weights;
    quantise_args.error_grid_bits = grid_bits;
    library.quantise_weights(quantise_args, *weights);
    forward();
    backward();
  }

  void forward() {
    library.tensor_range(x.data(), s.input_size(), &range_x);
    float running[2] = {0.0F, 0.0F};
    ActivationScale scale;
    scale.now = &range_x;
    scale.running = running;
    scale.width = widths.forward;
    scale.affine = &affine_x;
    library.activation_scale(scale);
    ConvForward args;
    args.input.x = x.data();
    args.codes = {qx.as<void>(), &affine_x, widths.forward};
    args.weights = weights.get();
    args.shape = s;
    args.y = y.data();
    args.statistics = statistics.data();
    args.input_range = &range_x;
    library.conv_forward(args);
  }

  void backward() {
    ConvBackward args;
    args.gradient.u = dy.data();
    library.gradient_scale({args.gradient, s.n * s.out_h() * s.out_w(), s.o, widths.gradient, nullptr, MinScale{},
                            false, &range_g, &affine_g});
    args.g = {qg.as<void>(), &affine_g, widths.gradient};
    args.g_range = &range_g;
    args.noise = philox_stream(1, 2, RandomPurpose::kGradientRounding, 3);
    args.x = {qx.as<void>(), &affine_x, widths.forward};
    args.x_range = &range_x;
    args.weights = weights.get();
    args.shape = s;
    args.dw = dw.data();
    args.dx = dx.data();
    std::vector<float> u(dx.size());
    std::vector<NormChannel> norm(static_cast<std::size_t>(s.c));
    GradientSum gradient_sum;
    gradient_sum.u = u.data();
    gradient_sum.norm[0] = {x.data(), norm.data(), sums.data()};
    args.gradient_sum = &gradient_sum;
    library.conv_backward(args);
    EXPECT_TRUE(test::same_bits(dx, u));
  }

  std::vector<double> x_values() {
    return values_of(test::download_codes(library, qx, widths.forward), affine_x, widths.forward);
  }
  std::vector<double> g_values() {
    return values_of(test::download_codes(library, qg, widths.gradient), affine_g, widths.gradient);
  }
  /// of_error_pass: the values that the error pass reads.
  std::vector<double> w_values(bool of_error_pass) {
    std::vector<double> values;
    for (std::int64_t e = 0; e < s.weight_size(); ++e) {
      const std::int64_t o = e / (s.kh * s.kw * s.c_per_group());
      const std::int64_t i = o / s.o_per_group() * s.c_per_group() + e % s.c_per_group();
      if (widths.forward.is_float32()) {
        values.push_back(static_cast<double>(w[static_cast<std::size_t>(e)]));
      } else if (!of_error_pass) {
        values.push_back(dequantise(weights->codes.as<std::uint32_t>()[e], weights->affine.as<Affine>()[o]));
      } else if (weights->error_weights == ErrorWeights::kShared) {
        values.push_back(weights->error_affine.as<Affine>()->step * weights->error_codes.as<std::int32_t>()[e]);
      } else {
        const Affine& of_channel = weights->error_affine.as<Affine>()[i];
        values.push_back(dequantise(weights->error_codes.as<std::uint32_t>()[e], of_channel));
      }
    }
    return values;
  }

  /// The three convolutions in binary64.
  void exact(std::vector<double>& out, std::vector<double>& in, std::vector<double>& taps) {
    const std::vector<double> vx = x_values(), vg = g_values(), vw = w_values(false), ve = w_values(true);
    out.assign(y.size(), 0.0);
    in.assign(dx.size(), 0.0);
    taps.assign(dw.size(), 0.0);
    for (std::int64_t n = 0; n < s.n; ++n) {
      for (std::int64_t oh = 0; oh < s.out_h(); ++oh) {
        for (std::int64_t ow = 0; ow < s.out_w(); ++ow) {
          reference::for_each_tap_of_output(s, oh, ow, [&](auto kh, auto kw, auto h, auto width) {
            for (std::int64_t o = 0; o < s.o; ++o) {
              for (std::int64_t i = 0; i < s.c_per_group(); ++i) {
                const auto to = static_cast<std::size_t>(reference::output_index(s, n, oh, ow, o));
                const auto from = static_cast<std::size_t>(
                    reference::input_index(s, n, h, width, o / s.o_per_group() * s.c_per_group() + i));
                const auto tap = static_cast<std::size_t>(reference::weight_index(s, o, kh, kw, i));
                out[to] += vx[from] * vw[tap];
                in[from] += vg[to] * ve[tap];
                taps[tap] += vg[to] * vx[from];
              }
            }
          });
        }
      }
    }
  }
};

void expect_close(const ConvShape& shape, const std::vector<double>& expected, const std::vector<float>& actual,
                  double tolerance, const std::string& what) {
  double largest = 0.0, deviation = 0.0;
  for (std::size_t e = 0; e < expected.size(); ++e) {
    largest = std::max(largest, std::fabs(expected[e]));
    deviation = std::max(deviation, std::fabs(static_cast<double>(actual[e]) - expected[e]));
  }
  EXPECT_LE(deviation, tolerance * largest) << what;
  EXPECT_TRUE(shape.macs() < 2 || largest > 0.0) << what;
}

class ConvolutionValues : public ::testing::TestWithParam<test::NamedShape> {};

TEST_P(ConvolutionValues, equal_binary64_at_every_width_and_error_variant) {
  struct Variant {
    ErrorWeights weights;
    int grid_bits;
  };
  for (const auto& widths : test::backend_widths()) {
    for (const Variant& variant : {Variant{ErrorWeights::kShared, 16}, Variant{ErrorWeights::kShared, 24},
                                   Variant{ErrorWeights::kRequantised, 16}}) {
      ConvolutionStep step(GetParam().shape, widths, variant.weights, variant.grid_bits);
      std::vector<double> y, dx, dw;
      step.exact(y, dx, dw);
      const bool shared = variant.weights == ErrorWeights::kShared;
      const std::string what =
          name_of(widths) + (shared ? " shared " + std::to_string(variant.grid_bits) : std::string(" requantised"));
      // Integer results carry one rounding to binary32; float32 sums one a term.
      const double tolerance = widths.forward.is_float32() || widths.gradient.is_float32() ? 1e-5 : 1e-7;
      expect_close(step.s, y, step.y, tolerance, what + " y");
      expect_close(step.s, dx, step.dx, tolerance, what + " dx");
      expect_close(step.s, dw, step.dw, tolerance, what + " dw");
      // Grids are taken from bounds: no addend may leave its grid.
      const std::int64_t positions = step.s.n * step.s.out_h() * step.s.out_w();
      const double y_limit = std::exp2(std::min(22, (62 - ceil_log2(static_cast<std::uint64_t>(positions))) / 2));
      for (std::size_t e = 0; e < step.y.size(); ++e) {
        const int exponent = step.statistics[e % static_cast<std::size_t>(step.s.o)].exponent;
        EXPECT_LE(std::fabs(std::ldexp(static_cast<double>(step.y[e]), exponent)), y_limit * 1.0001) << what;
      }
      const std::int64_t pixels = step.s.n * step.s.h * step.s.w;
      const double u_limit = std::exp2(std::min(50, 61 - ceil_log2(static_cast<std::uint64_t>(pixels))));
      for (std::size_t e = 0; e < step.dx.size(); ++e) {
        const int exponent = step.sums[e % static_cast<std::size_t>(step.s.c)].exponent_u;
        EXPECT_LE(std::fabs(std::ldexp(static_cast<double>(step.dx[e]), exponent)), u_limit * 1.0001) << what;
      }
      if (::testing::Test::HasFailure()) return;
    }
  }
}

std::vector<test::NamedShape> affordable_shapes() {
  std::vector<test::NamedShape> shapes;
  for (const auto& named : test::backend_shapes()) {
    if (named.shape.macs() < 700000) shapes.push_back(named);
  }
  return shapes;
}

INSTANTIATE_TEST_SUITE_P(Shapes, ConvolutionValues, ::testing::ValuesIn(affordable_shapes()),
                         [](const auto& parameter) { return std::string(parameter.param.reason); });

}  // namespace
}  // namespace bitcycle
