// SPDX-License-Identifier: Apache-2.0
// Minimal filtering, which the instruction sets without products of bytes use for 3 x 3 taps: forward pass, error pass
// and weight gradient equal the reference, to the bit, where tiles end at odd rows and columns, rows of tiles do not
// fill what is made together, and channels are no multiple of a vector.
#include "sim/cpu/isa.h"
#include "sim/cpu/kernels.h"
#include "sim/cpu/packed_product.h"
#include "tests/exact/recorded_outcome.h"

namespace bitcycle {
namespace {

using test::conv_shape;

std::vector<test::NamedShape> tiled_shapes() {
  return {
      {"rows_of_tiles_left_over", conv_shape(3, 9, 20, 16, 16, 3, 1, 1)},
      {"one_row_of_many_columns", conv_shape(2, 1, 131, 18, 7, 3, 1, 1)},
      {"one_column", conv_shape(2, 11, 1, 3, 18, 3, 1, 1)},
      {"one_output", conv_shape(5, 3, 3, 33, 17, 3, 1, 0)},
      {"wide_padding_of_odd_maps", conv_shape(2, 5, 3, 17, 33, 3, 1, 2)},
      {"even_maps_without_padding", conv_shape(2, 10, 8, 32, 48, 3, 1, 0)},
      {"many_small_images", conv_shape(37, 2, 2, 16, 16, 3, 1, 1)},
  };
}

class Winograd : public ::testing::TestWithParam<test::NamedShape> {};

TEST_P(Winograd, AStepEqualsTheReference) {
  int i = 0;
  for (const Isa isa : machine_isas()) {
    if (cpu::isa_entry(isa)->kernels->winograd.weights == nullptr) continue;
    for (const auto& [forward, gradient] : {std::pair{8, 8}, {3, 8}, {8, 5}}) {
      for (const auto error_weights : {ErrorWeights::kRequantised, ErrorWeights::kShared}) {
        test::StepVariant variant;
        variant.error_weights = error_weights;
        auto library = make_cpu_library(isa, 1 + i++ % 2);
        const test::WidthPair widths{BitWidth::integer(forward), BitWidth::integer(gradient)};
        EXPECT_TRUE(test::step_equals_reference(*library, GetParam(), widths, variant))
            << isa_name(isa) << ", " << forward << "/" << gradient << " bits";
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, Winograd, ::testing::ValuesIn(tiled_shapes()),
                         [](const auto& shape) { return std::string(shape.param.reason); });

TEST(ErrorWeights, words_are_taken_for_weights_up_to_their_limit_and_no_further) {
  const cpu::KernelTable& kernels = *cpu::isa_entry(Isa::kPortable)->kernels;
  if (kernels.group != 2) GTEST_SKIP() << "the products of this processor are not made of words";
  cpu::Scratch<std::int32_t> sums;
  const auto fit = [&](std::int64_t rows, std::int32_t first, std::int32_t second) {
    std::vector<std::int32_t> codes;
    for (std::int64_t r = 0; r < rows; ++r) codes.insert(codes.end(), {first, second});
    return cpu::fit_words(kernels, codes.data(), rows, 2, sums);
  };
  EXPECT_TRUE(fit(256, 32767, 1));
  EXPECT_TRUE(fit(256, 1, -32767));
  EXPECT_FALSE(fit(257, 32767, 1));
  EXPECT_FALSE(fit(257, 1, -32767));
  EXPECT_TRUE(fit(8388607, 1, 0));
  EXPECT_FALSE(fit(8388608, 1, 0));
  EXPECT_FALSE(fit(1, 0, 32768)) << "no word";
}

}  // namespace
}  // namespace bitcycle
