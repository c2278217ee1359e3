// SPDX-License-Identifier: Apache-2.0
#include "sim/ops/conv_shape.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <stdexcept>
#include <string>

#include "tests/exact/library_fixture.h"

namespace bitcycle {
namespace {

TEST(ConvShape, valid_outputs_are_exactly_those_whose_tap_lies_inside) {
  for (const auto& [reason, s] : test::backend_shapes()) {
    ASSERT_NO_THROW(check_shape(s)) << reason;
    for (std::int64_t kh = 0; kh < s.kh; ++kh) {
      for (std::int64_t kw = 0; kw < s.kw; ++kw) {
        const TapRectangle r = valid_outputs(s, kh, kw);
        std::int64_t count = 0;
        for (std::int64_t oh = 0; oh < s.out_h(); ++oh) {
          for (std::int64_t ow = 0; ow < s.out_w(); ++ow) {
            const std::int64_t h = oh * s.stride - s.padding + kh, w = ow * s.stride - s.padding + kw;
            const bool inside = h >= 0 && h < s.h && w >= 0 && w < s.w;
            const bool claimed = oh >= r.oh_begin && oh < r.oh_end && ow >= r.ow_begin && ow < r.ow_end;
            EXPECT_EQ(inside, claimed) << reason << " tap " << kh << "," << kw << " at " << oh << "," << ow;
            count += inside ? 1 : 0;
          }
        }
        EXPECT_EQ(r.size(), count) << reason;
      }
    }
  }
}

TEST(ConvShape, a_tap_that_never_reaches_the_input_has_no_outputs) {
  ConvShape s = test::conv_shape(1, 1, 1, 1, 1, 3, 2, 1);
  EXPECT_EQ(valid_outputs(s, 0, 0).size(), 0);
  EXPECT_EQ(valid_outputs(s, 1, 1).size(), 1);
  EXPECT_EQ(valid_outputs(s, 2, 2).size(), 0);
}

TEST(ConvShape, impossible_shapes_are_errors_naming_the_field) {
  const auto expect = [](const std::function<void(ConvShape&)>& change, const std::string& field) {
    ConvShape s = test::conv_shape(2, 8, 8, 16, 16, 3, 1, 1);
    change(s);
    try {
      check_shape(s);
      ADD_FAILURE() << field;
    } catch (const std::invalid_argument& error) {
      EXPECT_THAT(error.what(), ::testing::HasSubstr(field));
    }
  };
  expect([](ConvShape& s) { s.n = -1; }, "n is -1");
  expect([](ConvShape& s) { s.h = 0; }, "h is 0");
  expect([](ConvShape& s) { s.stride = 0; }, "stride is 0");
  expect([](ConvShape& s) { s.padding = -2; }, "padding is -2");
  expect([](ConvShape& s) { s.groups = 3; }, "groups must divide");
  expect([](ConvShape& s) { s.kh = 11; }, "larger than the padded input");
}

}  // namespace
}  // namespace bitcycle
