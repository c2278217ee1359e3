// SPDX-License-Identifier: Apache-2.0
#include "sim/cpu/winograd_gradient.h"

#include <algorithm>
#include <cstring>

namespace bitcycle::cpu {
namespace {

constexpr std::int64_t kXColumns = 4, kGColumns = 2;  // of a tile
constexpr std::int64_t kTaps = 9, kKernel = 3;
constexpr std::int64_t kPairsAtOnce = 64;  // some: a product's loads and stores of its sums are few beside its steps

}  // namespace

bool WinogradGradient::takes(const KernelTable& kernels, const ConvShape& s) {
  return kernels.winograd.weights != nullptr && s.kh == kKernel && s.kw == kKernel && s.stride == 1 &&
         s.out_h() * s.out_w() <= kMaxPositions;
}

WinogradGradient::WinogradGradient(const ConvShape& shape, std::int64_t x_lanes, std::int64_t x_pitch,
                                   std::int64_t g_lanes, std::int64_t g_pitch)
    : shape_(shape), x_lanes_(x_lanes), x_pitch_(x_pitch), g_lanes_(g_lanes), g_pitch_(g_pitch) {
  for (std::int64_t t = 0; t < kTaps; ++t) valid_.push_back(valid_outputs(shape, t / kKernel, t % kKernel));
  tile_rows_ = (shape.out_h() + 1) / 2;
  tile_columns_ = (shape.out_w() + 1) / 2;
  pairs_ = (tile_columns_ + 1) / 2;
  x_rows_ = 2 * tile_rows_ + 2;
  x_row_ = pairs_ * x_lanes * 4;
  x_image_ = kXColumns * x_rows_ * x_row_;
  g_row_ = pairs_ * g_lanes * 4;
  g_image_ = kGColumns * 2 * tile_rows_ * g_row_;
}

std::int64_t WinogradGradient::images_at_once() const {
  const std::int64_t positions = shape_.out_h() * shape_.out_w();
  return std::clamp<std::int64_t>(kPairsAtOnce / (tile_rows_ * pairs_), 1, kMaxPositions / positions);
}

void WinogradGradient::clear(State& state) const {
  state.products.zeroed(kFrequencies * g_lanes_ * x_lanes_);
  state.positions = 0;
  state.targets.need(2 * kKernel);
  // Words of 0 and 1, by column of a tile and tile: the outputs that have an x for each column tap; then all tiles, and
  // those of which the second output exists.
  char* const present = state.present.zeroed((kKernel * kGColumns + 2) * pairs_ * 4);
  const auto set = [&](std::int64_t table, std::int64_t tile) { present[(table * pairs_ * 2 + tile) * 2] = 1; };
  for (std::int64_t tile = 0; tile < tile_columns_; ++tile) {
    for (std::int64_t j = 0; j < kGColumns; ++j) {
      const std::int64_t output = 2 * tile + j;
      for (std::int64_t kw = 0; kw < kKernel; ++kw) {
        const TapRectangle& valid = valid_[static_cast<std::size_t>(kw)];
        if (output >= valid.ow_begin && output < valid.ow_end) set(kw * kGColumns + j, tile);
      }
      if (output < shape_.out_w()) set(kKernel * kGColumns + j, tile);
    }
  }
}

void WinogradGradient::stage_x(const KernelTable& kernels, const std::uint8_t* x, std::int64_t image, State& state,
                               std::int32_t* sum_x) const {
  const ConvShape& s = shape_;
  const char* const present = state.present.data() + kKernel * kGColumns * pairs_ * 4;
  std::int32_t** const targets = state.targets.data();
  for (std::int64_t j = 0; j < kXColumns; ++j) {
    for (std::int64_t r = 0; r < x_rows_; ++r) {
      char* const out = state.x.data() + image * x_image_ + (j * x_rows_ + r) * x_row_;
      const std::int64_t row = r - s.padding;
      if (row < 0 || row >= s.h) {
        std::memset(out, 0, static_cast<std::size_t>(x_row_));
        continue;
      }
      StagePixels stage;
      stage.row = x + (image * s.h + row) * s.w * x_pitch_;
      stage.pixels = s.w;
      stage.pixel_step = x_pitch_;
      stage.channels = s.c;
      stage.first = j - s.padding;
      stage.step = 2;
      stage.count = tile_columns_;
      stage.lanes = x_lanes_;
      stage.offset_binary = true;
      stage.out = out;
      kernels.stage_pixels(stage);
      // Column j of a tile is under its first output for tap j and under its second for tap j - 1.
      for (std::int64_t second = 0; second < 2; ++second) {
        const std::int64_t kw = j - second;
        if (kw < 0 || kw >= kKernel) continue;
        std::int64_t taps = 0;
        for (std::int64_t kh = 0; kh < kKernel; ++kh) {
          if (r >= kh && r - kh < s.out_h()) targets[taps++] = sum_x + (kh * kKernel + kw) * x_lanes_;
        }
        kernels.pixel_sums({out, pairs_, x_lanes_, present + second * pairs_ * 4, true, targets, taps});
      }
    }
  }
}

void WinogradGradient::stage_g(const KernelTable& kernels, const std::uint8_t* g, std::int64_t image, State& state,
                               std::int32_t* sum_g) const {
  const ConvShape& s = shape_;
  std::int32_t** const targets = state.targets.data();
  for (std::int64_t j = 0; j < kGColumns; ++j) {
    for (std::int64_t r = 0; r < 2 * tile_rows_; ++r) {
      char* const out = state.g.data() + image * g_image_ + (j * 2 * tile_rows_ + r) * g_row_;
      if (r >= s.out_h()) {
        std::memset(out, 0, static_cast<std::size_t>(g_row_));
        continue;
      }
      StagePixels stage;
      stage.row = g + (image * s.out_h() + r) * s.out_w() * g_pitch_;
      stage.pixels = s.out_w();
      stage.pixel_step = g_pitch_;
      stage.channels = s.o;
      stage.first = j;
      stage.step = 2;
      stage.count = tile_columns_;
      stage.lanes = g_lanes_;
      stage.out = out;
      kernels.stage_pixels(stage);
      for (std::int64_t kw = 0; kw < kKernel; ++kw) {
        std::int64_t taps = 0;
        for (std::int64_t kh = 0; kh < kKernel; ++kh) {
          const TapRectangle& valid = valid_[static_cast<std::size_t>(kh * kKernel + kw)];
          if (r >= valid.oh_begin && r < valid.oh_end) targets[taps++] = sum_g + (kh * kKernel + kw) * g_lanes_;
        }
        const char* const present = state.present.data() + (kw * kGColumns + j) * pairs_ * 4;
        kernels.pixel_sums({out, pairs_, g_lanes_, present, false, targets, taps});
      }
    }
  }
}

void WinogradGradient::add(const KernelTable& kernels, const std::uint8_t* x, const std::uint8_t* g, std::int64_t count,
                           State& state, std::int32_t* sum_x, std::int32_t* sum_g) const {
  state.positions += count * shape_.out_h() * shape_.out_w();
  state.x.need(count * x_image_);
  state.g.need(count * g_image_);
  const std::int64_t rows = count * tile_rows_;
  WinogradColumns x_columns, g_columns;
  x_columns.row_pitch = x_columns.bytes = x_row_;
  x_columns.column_pitch = x_rows_ * x_row_;
  x_columns.pitch = frequency_pitch(rows * x_row_);
  g_columns.row_pitch = g_columns.bytes = g_row_;
  g_columns.column_pitch = 2 * tile_rows_ * g_row_;
  g_columns.pitch = frequency_pitch(rows * g_row_);
  char* const x_out = state.x_frequencies.need(kFrequencies * x_columns.pitch);
  char* const g_out = state.g_frequencies.need(kFrequencies * g_columns.pitch);
  for (std::int64_t n = 0; n < count; ++n) {
    stage_x(kernels, x, n, state, sum_x);
    stage_g(kernels, g, n, state, sum_g);
    for (std::int64_t r = 0; r < tile_rows_; ++r) {
      x_columns.from = state.x.data() + n * x_image_ + 2 * r * x_row_;
      x_columns.out = x_out + (n * tile_rows_ + r) * x_row_;
      kernels.winograd.gradient_x(x_columns);
      g_columns.from = state.g.data() + n * g_image_ + 2 * r * g_row_;
      g_columns.out = g_out + (n * tile_rows_ + r) * g_row_;
      kernels.winograd.gradient_g(g_columns);
    }
  }
  TapGradient product;
  product.images = product.rows = 1;
  product.steps = rows * pairs_;
  product.x_lanes = x_lanes_;
  product.g_lanes = g_lanes_;
  for (int f = 0; f < kFrequencies; ++f) {
    product.x = x_out + f * x_columns.pitch;
    product.g = g_out + f * g_columns.pitch;
    product.sums = state.products.data() + f * g_lanes_ * x_lanes_;
    kernels.tap_gradient(product);
  }
}

void WinogradGradient::fold(State& state, std::int32_t* sums) const {
  if (state.positions == 0) return;
  const std::int64_t size = g_lanes_ * x_lanes_;
  std::int32_t* const products = state.products.data();
  // C of winograd_kernels.h, modulo 2^32.
  const auto taps_of = [](std::uint32_t m0, std::uint32_t m1, std::uint32_t m2, std::uint32_t m3,
                          std::uint32_t(&out)[3]) {
    out[0] = m0 + m1 + m2;
    out[1] = m1 - m2;
    out[2] = m1 + m2 - m3;
  };
  for (std::int64_t e = 0; e < size; ++e) {
    const auto product = [&](std::int64_t i, std::int64_t j) {
      return static_cast<std::uint32_t>(products[(4 * i + j) * size + e]);
    };
    std::uint32_t rows[4][3];
    for (std::int64_t j = 0; j < 4; ++j) taps_of(product(0, j), product(1, j), product(2, j), product(3, j), rows[j]);
    for (std::int64_t kh = 0; kh < kKernel; ++kh) {
      std::uint32_t taps[3];
      taps_of(rows[0][kh], rows[1][kh], rows[2][kh], rows[3][kh], taps);
      // Four times a sum that fits: the shift is its exact quarter.
      for (std::int64_t kw = 0; kw < kKernel; ++kw) {
        sums[(kh * kKernel + kw) * size + e] += static_cast<std::int32_t>(taps[kw]) >> 2;
      }
    }
  }
  std::memset(products, 0, static_cast<std::size_t>(kFrequencies * size) * sizeof(std::int32_t));
  state.positions = 0;
}

}  // namespace bitcycle::cpu
