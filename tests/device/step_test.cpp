// SPDX-License-Identifier: Apache-2.0
// Every operation of a device equals the reference bit by bit, on the shapes and widths of the CPU's tests.
#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "tests/exact/recorded_outcome.h"
#include "tests/golden/devices.h"

namespace bitcycle {
namespace {

using test::StepVariant;

class DeviceStep : public ::testing::TestWithParam<test::NamedShape> {
 protected:
  void compare(const test::WidthPair& widths, const StepVariant& variant) {
    const auto devices = test::all_libraries();
    ASSERT_FALSE(devices.empty());
    for (const auto& library : devices) {
      EXPECT_TRUE(test::step_equals_reference(*library, GetParam(), widths, variant)) << library->name();
    }
  }
};

TEST_P(DeviceStep, EveryWidthEqualsTheReference) {
  int i = 0;
  for (const auto& widths : test::backend_widths()) {
    StepVariant variant;
    variant.error_weights = i % 2 == 0 ? ErrorWeights::kRequantised : ErrorWeights::kShared;
    variant.mask = i % 3;
    variant.fused_input = i % 2 == 1;
    compare(widths, variant);
    ++i;
  }
}

TEST_P(DeviceStep, EveryVariantMaskAndRoundingEqualsTheReference) {
  const auto pair = [](int forward, int gradient) {
    return test::WidthPair{BitWidth::integer(forward), BitWidth::integer(gradient)};
  };
  compare(pair(8, 8), {ErrorWeights::kShared, 16, true, true, 1});
  compare(pair(8, 8), {ErrorWeights::kShared, 24, false, false, 2});
  compare(pair(8, 8), {ErrorWeights::kRequantised, 16, true, false, 2});
  compare(pair(8, 8), {ErrorWeights::kRequantised, 16, false, true, 0});
  compare(pair(12, 8), {ErrorWeights::kRequantised, 16, false, true, 1});
  compare(pair(8, 12), {ErrorWeights::kRequantised, 16, false, true, 1});
  compare(pair(16, 16), {ErrorWeights::kShared, 24, true, true, 1});
  compare(pair(16, 16), {ErrorWeights::kShared, 16, true, true, 2});
}

TEST_P(DeviceStep, ResultsThatOverflowAreSeenAsTheReferenceSeesThem) {
  for (const int i : {0, 1, 2, 3, 4, 5, 6, 7}) {
    const auto error_weights = i % 2 == 0 ? ErrorWeights::kShared : ErrorWeights::kRequantised;
    const test::WidthPair widths{BitWidth::integer(i / 2 % 2 == 0 ? 8 : 12), BitWidth::integer(8)};
    const bool infinite = i >= 4;
    for (const auto& library : test::all_libraries()) {
      EXPECT_TRUE(test::overflow_equals_reference(*library, GetParam(), widths, error_weights, infinite))
          << library->name() << ", case " << i;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, DeviceStep, ::testing::ValuesIn(test::backend_shapes()),
                         [](const auto& shape) { return std::string(shape.param.reason); });

TEST(DeviceStep, AShapeThatItCannotDoIsRefusedWithTheAlternative) {
  for (const auto& library : test::all_libraries()) {
    if (!library->name().starts_with("cuda")) GTEST_SKIP() << library->name() << " does every shape";
    const ConvShape s = test::conv_shape(1, 40, 40, 1, 1, 33, 1, 0);
    try {
      library->make_weights(s);
      ADD_FAILURE() << "a kernel of 33 x 33 was taken";
    } catch (const std::invalid_argument& error) {
      EXPECT_NE(std::string(error.what()).find("--device cpu"), std::string::npos) << error.what();
    }
    EXPECT_THROW(library->tensor_range(nullptr, std::int64_t{1} << 31, nullptr), std::invalid_argument);
  }
}

TEST(DeviceStep, RecordsOfAStepArriveWholeHoweverManyTheyAre) {
  // A launch of CUDA carries 640 bytes of them: more take several, of which the first one begins the step.
  for (const auto& library : test::all_libraries()) {
    for (const std::size_t size : {1, 639, 640, 641, 1280, 2000}) {
      std::vector<std::uint8_t> records(size), arrived(size + 64);
      for (std::size_t i = 0; i < size; ++i) records[i] = static_cast<std::uint8_t>(1 + i % 251);
      Buffer memory(*library, arrived.size());
      for (const bool in_step : {true, false}) {
        library->fill_zero(memory.as<void>(), arrived.size());
        if (in_step) library->begin_step(3);
        library->write_records(memory.as<void>(), records.data(), size);
        if (in_step) library->end_step();
        library->to_host(arrived.data(), memory.as<void>(), arrived.size());
        EXPECT_TRUE(std::equal(records.begin(), records.end(), arrived.begin())) << library->name() << ", " << size;
        EXPECT_EQ(std::count(arrived.begin() + static_cast<std::ptrdiff_t>(size), arrived.end(), 0), 64)
            << library->name() << ", " << size;
      }
    }
  }
}

TEST(DeviceStep, TheFirstNumberThatIsNotFiniteIsFoundAgainAndAgain) {
  for (const auto& library : test::all_libraries()) {
    std::vector<float> values(5003, 1.0F);
    const auto first = [&] {
      const Buffer x = test::upload(*library, values);
      return library->first_non_finite(x.as<float>(), static_cast<std::int64_t>(values.size()));
    };
    EXPECT_EQ(first(), -1);
    values[5002] = std::numeric_limits<float>::infinity();
    values[5000] = std::nanf("");
    EXPECT_EQ(first(), 5000);
    values[5000] = 0.0F;
    EXPECT_EQ(first(), 5002);
    values[5002] = -1.0F;
    EXPECT_EQ(first(), -1);
  }
}

}  // namespace
}  // namespace bitcycle
