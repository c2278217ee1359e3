// SPDX-License-Identifier: Apache-2.0
// The kernels in C++ alone, which `portable` means where there is no SSE2, compiled on this machine whatever it has: a
// step on every shape equals the reference.
#define BITCYCLE_PLAIN_KERNELS
#include "sim/cpu/cpu_library.h"
#include "sim/cpu/kernels_portable.cpp"
#include "tests/exact/recorded_outcome.h"

namespace bitcycle {
namespace {

class PlainKernels : public ::testing::TestWithParam<test::NamedShape> {};

TEST_P(PlainKernels, AStepEqualsTheReference) {
  cpu::CpuLibrary library(cpu::kPlainKernels, 1);
  for (const int forward : {8, 12}) {
    test::StepVariant variant;
    variant.error_weights = forward == 8 ? ErrorWeights::kShared : ErrorWeights::kRequantised;
    variant.fused_input = forward == 8;
    const test::WidthPair widths{BitWidth::integer(forward), BitWidth::integer(8)};
    EXPECT_TRUE(test::step_equals_reference(library, GetParam(), widths, variant)) << forward << " bits";
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, PlainKernels, ::testing::ValuesIn(test::backend_shapes()),
                         [](const auto& shape) { return std::string(shape.param.reason); });

}  // namespace
}  // namespace bitcycle
