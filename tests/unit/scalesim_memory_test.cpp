// SPDX-License-Identifier: Apache-2.0
// DRAM words of systolic arrays: windows lie where the convolution puts them, in all passes; fetches against a plain
// simulation of the two halves, request by request.
#include "cost_models/scalesim_memory.h"

#include <gtest/gtest.h>

#include <functional>
#include <set>

#include "cost_models/product.h"

namespace bitcycle::test {
namespace {

/// Pairs of an output pixel and a tap that meet an input of one image.
double meetings(const Windows& w) {
  const auto axis = [](std::int64_t out, std::int64_t taps, std::int64_t stride, std::int64_t dilation,
                       std::int64_t pad, std::int64_t spread, std::int64_t size) {
    double count = 0.0;
    for (std::int64_t o = 0; o < out; ++o) {
      for (std::int64_t t = 0; t < taps; ++t)
        count += input_index(o, t * dilation, stride, pad, spread, size) >= 0 ? 1.0 : 0.0;
    }
    return count;
  };
  return axis(w.out_height, w.kernel_height, w.stride_height, w.dilation_height, w.pad_height, w.spread_height,
              w.height) *
         axis(w.out_width, w.kernel_width, w.stride_width, w.dilation_width, w.pad_width, w.spread_width, w.width);
}

TEST(Windows, all_passes_of_a_convolution_meet_the_same_pairs) {
  for (const int kernel : {1, 2, 3, 5}) {
    for (const int stride : {1, 2, 3}) {
      for (int padding = 0; padding < kernel; ++padding) {
        MatrixOperation operation;
        operation.shape = ConvShape{1, 11, 14, 6, 4, kernel, kernel, stride, padding, 2};
        const auto of = [&](Pass pass, bool zeros) {
          double pairs = 0.0;
          for (const auto& p : products_of(operation, pass, {8, 8}, 3, false, zeros)) {
            EXPECT_EQ(p.windows.images, 3);
            EXPECT_EQ(p.windows.pixels() * 3, p.windows.transposed ? p.k : p.m);
            EXPECT_EQ(p.windows.taps(), p.windows.transposed ? p.m : p.k);
            pairs += meetings(p.windows);
          }
          return pairs;
        };
        const double forward = of(Pass::kForward, false);
        EXPECT_EQ(of(Pass::kWeightGradient, false), forward) << kernel << "/" << stride << "/" << padding;
        EXPECT_EQ(of(Pass::kError, true), forward) << kernel << "/" << stride << "/" << padding;
        EXPECT_EQ(of(Pass::kError, false), forward) << kernel << "/" << stride << "/" << padding;
      }
    }
  }
}

TEST(Windows, axes_with_strides_and_padding_of_their_own_meet_the_same_pairs) {
  for (const int dilation : {1, 2}) {
    MatrixOperation operation;
    OperationShape& s = operation.shape;
    s.h = 13;
    s.w = 17;
    s.c = 2;
    s.o = 3;
    s.kh = 3;
    s.kw = 2;
    s.stride_h = dilation == 1 ? 2 : 1;
    s.stride_w = dilation == 1 ? 3 : 1;
    s.pad_top = 1;
    s.pad_right = 2;
    s.dilation_h = s.dilation_w = dilation;
    const auto of = [&](Pass pass, bool zeros) {
      double pairs = 0.0;
      for (const auto& p : products_of(operation, pass, {8, 8}, 1, false, zeros)) pairs += meetings(p.windows);
      return pairs;
    };
    const double forward = of(Pass::kForward, false);
    EXPECT_GT(forward, 0.0);
    EXPECT_EQ(of(Pass::kWeightGradient, false), forward) << dilation;
    EXPECT_EQ(of(Pass::kError, true), forward) << dilation;
    EXPECT_EQ(of(Pass::kError, false), forward) << dilation;
  }
}

TEST(Windows, very_long_axes_are_bounded_not_walked) {
  MatrixOperation operation;
  operation.shape.h = 1000000000;
  operation.shape.kh = 9;
  const Product product = products_of(operation, Pass::kForward, {8, 8}, 1, false, false).at(0);
  EXPECT_EQ(touched_elements(product.windows), 1e9);
  LhsFolds folds;
  folds.m = product.m;
  folds.k = product.k;
  folds.rows = folds.columns = 32;
  folds.column_folds = 2;
  EXPECT_EQ(lhs_fetches(folds, product.windows, 100.0), 2e9);
}

/// Plain simulation: a cycle's requests line by line, sets of words, nothing shared with the program.
double simulated(const LhsFolds& f, const Windows& w, std::size_t filling) {
  std::set<std::int64_t> half;
  double fetches = 0.0;
  const auto request = [&](std::int64_t pixel, std::int64_t tap) {
    const std::int64_t row = pixel / w.out_width * w.stride_height + tap / (w.kernel_width * w.channels) - w.pad_height;
    const std::int64_t column = pixel % w.out_width * w.stride_width + tap / w.channels % w.kernel_width - w.pad_width;
    if (row < 0 || column < 0 || row >= w.height || column >= w.width) return;
    if (!half.insert((row * w.width + column) * w.channels + tap % w.channels).second) return;
    fetches += 1.0;
    if (half.size() == filling) half.clear();
  };
  const std::int64_t pixels = w.pixels(), taps = w.taps();
  const bool ws = f.dataflow == Dataflow::kWeightStationary, is = f.dataflow == Dataflow::kInputStationary;
  for (std::int64_t fc = 0; fc < f.column_folds; ++fc) {
    for (std::int64_t fr = 0; fr * f.rows < (ws || is ? taps : pixels); ++fr) {
      for (std::int64_t cycle = 0; cycle < pixels + taps + f.rows; ++cycle) {
        for (std::int64_t lane = 0; lane < std::max(f.rows, f.columns); ++lane) {
          const std::int64_t line = fr * f.rows + lane, at = cycle - lane;
          if (is) {  // row of the array by row, the last first
            const std::int64_t tap = fr * f.rows + f.rows - 1 - cycle, pixel = fc * f.columns + lane;
            if (cycle < f.rows && lane < f.columns && tap < taps && pixel < pixels) request(pixel, tap);
          } else if (lane < f.rows && at >= 0 && line < (ws ? taps : pixels) && at < (ws ? pixels : taps)) {
            ws ? request(at, line) : request(line, at);
          }
        }
      }
    }
  }
  return fetches;
}

TEST(ScaleSimMemory, fetches_are_those_of_a_plain_simulation) {
  for (const Dataflow flow : {Dataflow::kOutputStationary, Dataflow::kWeightStationary, Dataflow::kInputStationary}) {
    for (const int padding : {0, 1}) {
      for (const int stride : {1, 2}) {
        Windows w;
        w.images = 1;
        w.height = 9;
        w.width = 7;
        w.channels = 5;
        w.kernel_height = w.kernel_width = 3;
        w.stride_height = w.stride_width = stride;
        w.pad_height = w.pad_width = padding;
        w.out_height = (w.height + 2 * padding - 3) / stride + 1;
        w.out_width = (w.width + 2 * padding - 3) / stride + 1;
        LhsFolds folds{flow, w.pixels(), w.taps(), 8, 4, 3};
        if (flow == Dataflow::kInputStationary) folds.column_folds = (w.pixels() + 3) / 4;
        for (const std::size_t filling : {1, 7, 50, 100, 314, 315, 316, 1000}) {
          EXPECT_EQ(lhs_fetches(folds, w, static_cast<double>(filling)), simulated(folds, w, filling))
              << static_cast<int>(flow) << " " << padding << " " << stride << " " << filling;
        }
      }
    }
  }
}

TEST(ScaleSimMemory, operands_read_in_order_are_those_of_a_plain_simulation) {
  for (int words = 1; words < 30; words += 3) {
    for (int last = 1; last <= words; last += 2) {
      for (const int repeats : {1, 2, 5}) {
        for (const std::size_t filling : {1, 10, 16, 17, 64}) {
          std::set<int> half;
          double fetches = 0.0;
          for (int part = 0; part < 4; ++part) {
            for (int repeat = 0; repeat < repeats; ++repeat) {
              for (int i = 0; i < (part == 3 ? last : words); ++i) {
                if (!half.insert(part * 1000 + i).second) continue;
                fetches += 1.0;
                if (half.size() == filling) half.clear();
              }
            }
          }
          EXPECT_EQ(fetches_in_order(words, last, 4, repeats, static_cast<double>(filling)), fetches)
              << words << " " << last << " " << repeats << " " << filling;
        }
      }
    }
  }
}

TEST(ScaleSimMemory, a_batch_fetches_between_what_it_touches_and_what_it_asks_for) {
  MatrixOperation operation;
  operation.shape = ConvShape{1, 14, 14, 32, 48, 3, 3, 1, 1, 1};
  for (const Pass pass : {Pass::kForward, Pass::kError, Pass::kWeightGradient}) {
    for (const Dataflow flow : {Dataflow::kOutputStationary, Dataflow::kWeightStationary, Dataflow::kInputStationary}) {
      const Product product = products_of(operation, pass, {8, 8}, 5, false, true).front();
      const double touched = touched_elements(product.windows) * 5, asked = static_cast<double>(product.m * product.k);
      double previous = 4 * asked;
      for (const double filling : {100.0, 1000.0, 10000.0, 100000.0}) {
        const double fetches = lhs_fetches({flow, product.m, product.k, 16, 16, 3}, product.windows, filling);
        EXPECT_GE(fetches, touched);
        EXPECT_LE(fetches, 3 * asked);
        EXPECT_LE(fetches, previous);  // of fillings so different, the larger one fetches less
        previous = fetches;
      }
      EXPECT_EQ(previous, touched);
    }
  }
}

}  // namespace
}  // namespace bitcycle::test
