// SPDX-License-Identifier: Apache-2.0
// Results do not depend on the grid, nor on the order of blocks, warps and lanes: every operation equals the reference
// for grids of 1 to 132 multiprocessors and shuffled orders. (Every width: tests/device/step_test.cpp.)
#include <gtest/gtest.h>

#include "cuda/host/host_runtime.h"
#include "tests/exact/recorded_outcome.h"

namespace bitcycle {
namespace {

using cuda_on_host::HostOptions;
using cuda_on_host::make_cuda_library_on_host;
using test::StepVariant;

class CudaOnHostStep : public ::testing::TestWithParam<test::NamedShape> {
 protected:
  void compare(const test::WidthPair& widths, const StepVariant& variant, const HostOptions& options = {}) {
    EXPECT_TRUE(test::step_equals_reference(*make_cuda_library_on_host(options), GetParam(), widths, variant))
        << options.processors << " multiprocessors, seed " << options.seed;
  }
};

/// Grids and shared memory of any size, blocks, warps and lanes in any order.
TEST_P(CudaOnHostStep, EveryVariantMaskGridAndOrderEqualsTheReference) {
  const auto pair = [](int forward, int gradient) {
    return test::WidthPair{BitWidth::integer(forward), BitWidth::integer(gradient)};
  };
  constexpr std::size_t kSmall = 99 * 1024, kHopper = 227 * 1024;  // shared memory, which decides how patches are cut
  compare(pair(8, 8), {ErrorWeights::kShared, 16, true, true, 1}, {1, 0, 11, false, true, kHopper});
  compare(pair(8, 8), {ErrorWeights::kShared, 24, false, false, 2}, {3, 0, 12, false, true, kSmall});
  compare(pair(8, 8), {ErrorWeights::kRequantised, 16, true, false, 2}, {132, 0, 13, false, true, kHopper});
  compare(pair(8, 8), {ErrorWeights::kRequantised, 16, false, true, 0}, {7, 0, 14, false, true, kSmall});
  compare(pair(12, 8), {ErrorWeights::kRequantised, 16, false, true, 1}, {2, 0, 15, false});
  compare(pair(8, 12), {ErrorWeights::kRequantised, 16, false, true, 1}, {2, 0, 16, false});
  compare(pair(16, 16), {ErrorWeights::kShared, 24, true, true, 1}, {2, 0, 17, false});
  compare(pair(16, 16), {ErrorWeights::kShared, 16, true, true, 2}, {2, 0, 18, false});
  const test::WidthPair floats{BitWidth::float32(), BitWidth::float32()};
  compare(floats, {ErrorWeights::kShared, 16, true, true, 1}, {1, 0, 19, false});
  compare(floats, {ErrorWeights::kRequantised, 16, true, false, 0}, {132, 0, 20, false});
}

INSTANTIATE_TEST_SUITE_P(Shapes, CudaOnHostStep, ::testing::ValuesIn(test::backend_shapes()),
                         [](const auto& shape) { return std::string(shape.param.reason); });

}  // namespace
}  // namespace bitcycle
