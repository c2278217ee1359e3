// SPDX-License-Identifier: Apache-2.0
// Sums over a batch do not depend on its order (docs/numerics.md, section 7): samples in another order give the same
// bits of statistics, weight gradients, bias gradients and losses.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <vector>

#include "sim/reference/reference_library.h"
#include "tests/exact/library_fixture.h"

namespace bitcycle {
namespace {

/// A fixed shuffle of n samples.
std::vector<std::size_t> shuffled_samples(std::size_t n) {
  std::vector<std::size_t> order(n);
  for (std::size_t i = 0; i < n; ++i) order[i] = i;
  test::TestRandom random(99);
  for (std::size_t i = n; i > 1; --i) std::swap(order[i - 1], order[random.below(static_cast<std::uint32_t>(i))]);
  return order;
}

template <typename T>
std::vector<T> in_order(const std::vector<T>& x, const std::vector<std::size_t>& order) {
  const std::size_t row = x.size() / order.size();
  std::vector<T> out;
  for (const std::size_t sample : order) {
    out.insert(out.end(), x.begin() + static_cast<std::ptrdiff_t>(sample * row),
               x.begin() + static_cast<std::ptrdiff_t>((sample + 1) * row));
  }
  return out;
}

TEST(SampleOrder, changes_no_bit_of_the_classifiers_gradients) {
  constexpr std::int64_t kSamples = 129, kInputs = 16, kOutputs = 10;
  const auto gradients = [](const std::vector<float>& x, const std::vector<float>& dy) {
    const std::vector<float> w(kInputs * kOutputs, 0.0F);
    std::vector<float> out(kOutputs * kInputs + kOutputs);
    LinearBackward args;
    args.n = kSamples;
    args.inputs = kInputs;
    args.outputs = kOutputs;
    args.x = x.data();
    args.w = w.data();
    args.dy = dy.data();
    args.dw = out.data();
    args.dbias = out.data() + kOutputs * kInputs;
    ReferenceLibrary().linear_backward(args);
    return out;
  };
  const std::vector<float> x = test::random_normal(kSamples * kInputs, 1);
  const std::vector<float> dy = test::random_normal(kSamples * kOutputs, 2, 1e-3F);
  const auto order = shuffled_samples(kSamples);
  EXPECT_TRUE(test::same_bits(gradients(x, dy), gradients(in_order(x, order), in_order(dy, order))));
}

TEST(SampleOrder, changes_no_bit_of_the_loss) {
  constexpr std::size_t kSamples = 200, kClasses = 10;
  const auto loss = [](const std::vector<float>& logits, const std::vector<std::int32_t>& labels) {
    LossRecord record;
    SoftmaxCrossEntropy args;
    args.n = kSamples;
    args.classes = kClasses;
    args.logits = logits.data();
    args.labels = labels.data();
    args.record = &record;
    ReferenceLibrary().softmax_cross_entropy(args);
    return record;
  };
  const std::vector<float> logits = test::random_normal(kSamples * kClasses, 3, 4.0F);
  std::vector<std::int32_t> labels(kSamples);
  test::TestRandom random(4);
  for (auto& label : labels) label = static_cast<std::int32_t>(random.below(kClasses));
  const auto order = shuffled_samples(kSamples);
  const LossRecord first = loss(logits, labels), second = loss(in_order(logits, order), in_order(labels, order));
  EXPECT_EQ(first.loss, second.loss);
  EXPECT_EQ(first.correct, second.correct);
}

/// Statistics and weight gradient of a float32 and of an integer convolution.
struct ConvolutionSums {
  std::vector<ChannelStatistics> statistics;
  std::vector<float> dw;
};
ConvolutionSums convolution_sums(BitWidth width, const ConvShape& s, const std::vector<float>& x,
                                 const std::vector<float>& dy) {
  ReferenceLibrary library;
  const std::vector<float> w = test::random_normal(s.weight_size(), 7, 0.1F);
  ConvolutionSums result{std::vector<ChannelStatistics>(static_cast<std::size_t>(s.o)),
                         std::vector<float>(static_cast<std::size_t>(s.weight_size()))};
  const auto weights = library.make_weights(s);
  QuantiseWeights quantise_args;
  quantise_args.master = w.data();
  quantise_args.width = width;
  library.quantise_weights(quantise_args, *weights);
  Range range_x, range_g;
  library.tensor_range(x.data(), s.input_size(), &range_x);
  const Affine affine_x = affine_of(range_x, width, MinScale{});
  Affine affine_g;
  Buffer qx = test::code_buffer(library, width, s.input_size()),
         qg = test::code_buffer(library, width, s.output_size());
  std::vector<float> y(static_cast<std::size_t>(s.output_size()));
  ConvForward forward;
  forward.input.x = x.data();
  forward.codes = {qx.as<void>(), &affine_x, width};
  forward.weights = weights.get();
  forward.shape = s;
  forward.y = y.data();
  forward.statistics = result.statistics.data();
  forward.input_range = &range_x;
  library.conv_forward(forward);
  ConvBackward backward;
  backward.gradient.u = dy.data();
  library.gradient_scale(
      {backward.gradient, s.n * s.out_h() * s.out_w(), s.o, width, nullptr, MinScale{}, false, &range_g, &affine_g});
  backward.g = {qg.as<void>(), &affine_g, width};
  backward.g_range = &range_g;
  backward.stochastic = false;  // noise belongs to positions, not to samples
  backward.x = forward.codes;
  backward.x_range = &range_x;
  backward.weights = weights.get();
  backward.shape = s;
  backward.dw = result.dw.data();
  library.conv_backward(backward);
  return result;
}

TEST(SampleOrder, changes_no_bit_of_statistics_and_weight_gradients) {
  const ConvShape s = test::conv_shape(11, 6, 6, 4, 5, 3, 1, 1);
  const std::vector<float> x = test::random_normal(s.input_size(), 5), dy = test::random_normal(s.output_size(), 6);
  const auto order = shuffled_samples(static_cast<std::size_t>(s.n));
  for (const BitWidth width : {BitWidth::integer(8), BitWidth::integer(20), BitWidth::float32()}) {
    const ConvolutionSums first = convolution_sums(width, s, x, dy);
    const ConvolutionSums second = convolution_sums(width, s, in_order(x, order), in_order(dy, order));
    EXPECT_TRUE(test::same_bits(first.dw, second.dw)) << width.text();
    EXPECT_TRUE(test::same_bits(first.statistics, second.statistics)) << width.text();
  }
}

}  // namespace
}  // namespace bitcycle
