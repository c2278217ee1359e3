// SPDX-License-Identifier: Apache-2.0
// Depthwise convolutions of more images than 16-bit words hold sums of their codes: maps so small that codes are first
// added position by position, in one thread.
#include "sim/cpu/depthwise_gradient.h"
#include "sim/cpu/isa.h"
#include "sim/cpu/kernels.h"
#include "tests/exact/recorded_outcome.h"

namespace bitcycle {
namespace {

TEST(Depthwise, ManyImagesOfASmallMapEqualTheReference) {
  const test::NamedShape shape{"many_images", test::conv_shape(600, 2, 1, 16, 16, 3, 1, 1, 16)};
  test::StepVariant variant;
  variant.error_weights = ErrorWeights::kRequantised;
  for (const Isa isa : machine_isas()) {
    auto library = make_cpu_library(isa, 1);
    const test::WidthPair widths{BitWidth::integer(8), BitWidth::integer(8)};
    EXPECT_TRUE(test::step_equals_reference(*library, shape, widths, variant)) << isa_name(isa);
  }
}

TEST(Depthwise, WordsHoldTheLargestCodesOfAsManyImagesAsAreAddedBeforeTheyAreFolded) {
  const std::vector<std::uint8_t> codes(50, 255);
  for (const Isa isa : machine_isas()) {
    std::vector<std::uint16_t> sums(51, 0);
    for (std::int64_t i = 0; i < cpu::TapSums::kMostImages; ++i) {
      cpu::isa_entry(isa)->kernels->add_codes(codes.data(), 50, sums.data());
    }
    for (std::size_t i = 0; i < 50; ++i) ASSERT_EQ(sums[i], 255 * cpu::TapSums::kMostImages) << isa_name(isa);
    EXPECT_EQ(sums[50], 0) << isa_name(isa) << " writes behind the codes";
  }
}

}  // namespace
}  // namespace bitcycle
