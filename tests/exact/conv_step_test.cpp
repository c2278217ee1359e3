// SPDX-License-Identifier: Apache-2.0
// Every operation between two batch norms, on every shape, width, instruction set and number of threads, equals the
// reference: codes, outputs, statistics, gradients, their sums and the sums for norms, bit by bit.
#include "tests/exact/recorded_outcome.h"

namespace bitcycle {
namespace {

using test::upload;
using test::zeros;
using Variant = test::StepVariant;

class ExactStep : public ::testing::TestWithParam<test::NamedShape> {
 protected:
  /// Every available instruction set, 1, 2 and 7 threads, against the reference.
  void compare(const test::WidthPair& widths, const Variant& variant) {
    int threads = 1;
    for (const Isa isa : machine_isas()) {
      for (int i = 0; i < (widths.forward.bits() <= 8 && widths.gradient.bits() <= 8 ? 3 : 1); ++i) {
        auto library = make_cpu_library(isa, threads);
        EXPECT_TRUE(test::step_equals_reference(*library, GetParam(), widths, variant))
            << isa_name(isa) << ", " << threads << " threads";
        threads = threads == 1 ? 2 : (threads == 2 ? 7 : 1);
      }
    }
  }
};

TEST_P(ExactStep, EveryWidthEqualsTheReference) {
  int i = 0;
  for (const auto& widths : test::backend_widths()) {
    Variant variant;
    variant.error_weights = i % 2 == 0 ? ErrorWeights::kRequantised : ErrorWeights::kShared;
    variant.mask = i % 3;
    variant.fused_input = i % 2 == 1;
    compare(widths, variant);
    ++i;
  }
}

TEST_P(ExactStep, EveryVariantMaskAndRoundingEqualsTheReference) {
  const test::WidthPair eight{BitWidth::integer(8), BitWidth::integer(8)};
  compare(eight, {ErrorWeights::kShared, 16, true, true, 1});
  compare(eight, {ErrorWeights::kShared, 24, false, false, 2});
  compare(eight, {ErrorWeights::kRequantised, 16, true, false, 2});
  compare(eight, {ErrorWeights::kRequantised, 16, false, true, 0});
}

/// Two bytes a code where channels are sliced or lanes: the widest word and beyond, sums of codes, a grid of 24 bits.
class ExactGroups : public ExactStep {
 public:
  static std::vector<test::NamedShape> shapes() {
    auto all = test::backend_shapes();
    std::erase_if(all, [](const auto& named) { return named.shape.groups == 1; });
    return all;
  }
};

TEST_P(ExactGroups, EveryVariantOfTwoByteCodesEqualsTheReference) {
  const auto widths = [](int b, int g) { return test::WidthPair{BitWidth::integer(b), BitWidth::integer(g)}; };
  compare(widths(15, 12), {ErrorWeights::kRequantised, 16, true, true, 1});
  compare(widths(16, 9), {ErrorWeights::kRequantised, 16, true, false, 2});
  compare(widths(16, 16), {ErrorWeights::kShared, 24, false, true, 0});
  compare(widths(8, 16), {ErrorWeights::kShared, 24, true, false, 1});
}

/// More outputs than a sum of the error pass has terms in 32 bits, and more weights than threads have sums of.
class ExactHead : public ExactStep {};

TEST_P(ExactHead, EveryVariantEqualsTheReference) {
  const auto widths = [](int b, int g) { return test::WidthPair{BitWidth::integer(b), BitWidth::integer(g)}; };
  const Variant variant{ErrorWeights::kShared, 16, true, false, 0};
  if (GetParam().shape.weight_size() >= 1 << 22) {  // these take a while
    for (const Isa isa : {machine_isas().front(), machine_isas().back()}) {
      auto library = make_cpu_library(isa, 2);
      EXPECT_TRUE(test::step_equals_reference(*library, GetParam(), widths(8, 8), variant)) << isa_name(isa);
    }
    return;
  }
  compare(widths(8, 8), variant);
  compare(widths(5, 8), {ErrorWeights::kRequantised, 16, true, false, 1});
  compare(widths(8, 8), {ErrorWeights::kShared, 24, true, false, 2});
  compare(widths(13, 16), {ErrorWeights::kRequantised, 16, false, false, 0});
}

TEST_P(ExactStep, ResultsThatOverflowAreSeenAsTheReferenceSeesThem) {
  const test::WidthPair widths{BitWidth::integer(8), BitWidth::integer(8)};
  for (const auto error_weights : {ErrorWeights::kShared, ErrorWeights::kRequantised}) {
    for (const bool infinite : {false, true}) {
      for (const Isa isa : machine_isas()) {
        auto library = make_cpu_library(isa, 2);
        EXPECT_TRUE(test::overflow_equals_reference(*library, GetParam(), widths, error_weights, infinite))
            << isa_name(isa);
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, ExactStep, ::testing::ValuesIn(test::backend_shapes()),
                         [](const auto& shape) { return std::string(shape.param.reason); });

INSTANTIATE_TEST_SUITE_P(
    Shapes, ExactHead,
    ::testing::Values(test::NamedShape{"head_of_40013_words", test::conv_shape(3, 1, 1, 9, 40'013, 1, 1, 0)},
                      test::NamedShape{"head_of_4200000_weights", test::conv_shape(1, 1, 1, 420, 10'000, 1, 1, 0)}),
    [](const auto& shape) { return std::string(shape.param.reason); });

INSTANTIATE_TEST_SUITE_P(Shapes, ExactGroups, ::testing::ValuesIn(ExactGroups::shapes()),
                         [](const auto& shape) { return std::string(shape.param.reason); });

/// 8 x 8 bits, all codes 255, batch 128 and 256 on 32x32: 131,072 and 262,144 terms of 65,025, beyond any int32.
TEST(ExactOverflow, TheWeightGradientOfLargeBatchesDoesNotOverflow) {
  for (const std::int64_t batch : {128, 256}) {
    const ConvShape s = test::conv_shape(batch, 32, 32, 1, 1, 1, 1, 0);
    for (const Isa isa : machine_isas()) {
      auto library = make_cpu_library(isa, 1);
      auto weights = library->make_weights(s);
      const Buffer master = upload(*library, std::vector<float>{0.5F});
      const auto eight = BitWidth::integer(8);
      library->quantise_weights({master.as<float>(), eight, ErrorWeights::kRequantised, 16, {}, true}, *weights);
      const Buffer x = upload(*library, std::vector<std::uint8_t>(static_cast<std::size_t>(s.input_size()), 255));
      const Buffer u = upload(*library, std::vector<float>(static_cast<std::size_t>(s.output_size()), 255.0F));
      const Buffer affine = upload(*library, std::vector<Affine>{{0.0, 1.0, 255, 0}});
      Buffer g = zeros<std::uint8_t>(*library, s.output_size()), dw = zeros<float>(*library, 1);
      ConvBackward backward;
      backward.gradient.u = u.as<float>();
      backward.g = {g.as<void>(), affine.as<Affine>(), eight};
      backward.stochastic = false;
      backward.x = {const_cast<void*>(x.as<void>()), affine.as<Affine>(), eight};
      backward.weights = weights.get();
      backward.shape = s;
      backward.dw = dw.as<float>();
      library->conv_backward(backward);
      EXPECT_EQ(*dw.as<float>(), static_cast<float>(255.0 * 255.0 * 1024.0 * static_cast<double>(batch)))
          << isa_name(isa);
    }
  }
}

}  // namespace
}  // namespace bitcycle
