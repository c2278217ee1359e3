// SPDX-License-Identifier: Apache-2.0
// The weight gradient's operands as tiles take them (weight_gradient.h).
#include <algorithm>
#include <cstring>

#include "sim/cpu/weight_gradient.h"

namespace bitcycle::cpu {
namespace {

constexpr std::int64_t kTilePositions = 64;  // positions that one tile multiplies

/// Visits the positions of `count` images in steps: visit(first position, pixels, present), where pixels are 64
/// addresses, a `pitch` apart, `nothing` where there is none. Of the last image's pixels only the first `last_pixels`
/// exist.
template <typename Visit>
void each_tile_step(const std::vector<std::int32_t>& pixel_of, const std::uint8_t* codes, std::int64_t pitch,
                    std::int64_t image_pixels, std::int64_t count, std::int64_t last_pixels,
                    const std::uint8_t* nothing, const Visit& visit) {
  const auto positions = static_cast<std::int64_t>(pixel_of.size());
  const std::uint8_t* pixels[kTilePositions];
  char present[kTilePositions];
  std::int64_t n = 0, within = 0;
  for (std::int64_t first = 0; first < count * positions; first += kTilePositions) {
    for (std::int64_t k = 0; k < kTilePositions; ++k) {
      const std::int64_t pixel = n < count ? pixel_of[static_cast<std::size_t>(within)] : -1;
      const bool exists = pixel >= 0 && (n + 1 < count || pixel < last_pixels);
      pixels[k] = exists ? codes + (n * image_pixels + pixel) * pitch : nothing;
      present[k] = exists ? 1 : 0;
      if (++within == positions) {
        within = 0;
        ++n;
      }
    }
    visit(first, pixels, present);
  }
}

}  // namespace

void WeightGradient::plan_tiles() {
  const ConvShape& s = shape_;
  const std::int64_t oh = s.out_h(), ow = s.out_w();
  x_lanes_ = lanes_for(s.c + 1);
  g_lanes_ = lanes_for(s.o + 1);
  tile_columns_ = ow + (s.kw - 1) / s.stride;
  const std::int64_t rows = oh + (s.kh - 1) / s.stride;
  image_positions_ = rows * tile_columns_;
  const auto pixels_of = [&](const auto& pixel) {
    std::vector<std::int32_t> pixels;
    for (std::int64_t r = 0; r < rows; ++r) {
      for (std::int64_t c = 0; c < tile_columns_; ++c) pixels.push_back(static_cast<std::int32_t>(pixel(r, c)));
    }
    return pixels;
  };
  g_pixels_ = pixels_of([&](std::int64_t r, std::int64_t c) { return r < oh && c < ow ? r * ow + c : -1; });
  for (std::int64_t i = 0; i < s.stride; ++i) {
    for (std::int64_t j = 0; j < s.stride; ++j) {
      const bool used = i < s.kh && j < s.kw;
      x_pixels_.push_back(!used ? std::vector<std::int32_t>{} : pixels_of([&](std::int64_t r, std::int64_t c) {
        const std::int64_t row = r * s.stride + i - s.padding, column = c * s.stride + j - s.padding;
        return row >= 0 && row < s.h && column >= 0 && column < s.w ? row * s.w + column : -1;
      }));
    }
  }
  // Enough positions to amortise a tile's loads and stores, and a call for each of two threads.
  constexpr std::int64_t kWanted = 1280;
  const std::int64_t wanted = std::min(kWanted / std::max<std::int64_t>(1, image_positions_), (s.n + 1) / 2);
  images_at_once_ = std::clamp<std::int64_t>(wanted, 1, std::max<std::int64_t>(1, kMaxPositions / (oh * ow)));
}

std::int64_t WeightGradient::tile_plane(std::int64_t count) const {
  const std::int64_t farthest = (shape_.kh - 1) / shape_.stride * tile_columns_ + (shape_.kw - 1) / shape_.stride;
  // An odd number of cache lines, so that 16 lanes fall into different sets.
  return ((tile_steps(count) * kTilePositions + farthest + 63) / 64 | 1) * 64;
}

void WeightGradient::stage_tiles(const KernelTable& kernels, const ByteCodes& x, const ByteCodes& g, std::int64_t count,
                                 std::int64_t short_row, Partial& partial) const {
  const ConvShape& s = shape_;
  const std::int64_t steps = tile_steps(count), plane = tile_plane(count), phase_bytes = x_lanes_ * plane;
  const auto phases = static_cast<std::int64_t>(x_pixels_.size());
  char* const x_out = partial.x.need(x.limbs * phases * phase_bytes);
  char* const g_out = partial.g.need(g.limbs * steps * kTilePositions * g_lanes_);
  std::uint8_t* const nothing_x = partial.nothing.zeroed(x_lanes_ + g_lanes_);
  std::uint8_t* const nothing_g = nothing_x + x_lanes_;
  std::fill_n(nothing_x, x_lanes_, std::uint8_t{128});
  const std::int64_t out_pixels = s.out_h() * s.out_w();
  for (int limb = 0; limb < g.limbs; ++limb) {
    char* const to = g_out + limb * steps * kTilePositions * g_lanes_;
    each_tile_step(g_pixels_, g.limb[limb], g_pitch_, out_pixels, count, short_row == 0 ? out_pixels : short_row,
                   nothing_g, [&](std::int64_t first, const std::uint8_t* const* pixels, const char* present) {
                     char* out = to + first * g_lanes_;
                     kernels.stage_g_positions({pixels, s.o, out, g_lanes_});
                     for (std::int64_t k = 0; k < kTilePositions; k += 4)
                       std::memcpy(out + (k * g_lanes_) + 4 * s.o, present + k, 4);
                   });
  }
  for (int limb = 0; limb < x.limbs; ++limb) {
    for (std::int64_t phase = 0; phase < phases; ++phase) {
      const auto& pixel_of = x_pixels_[static_cast<std::size_t>(phase)];
      char* const to = x_out + (limb * phases + phase) * phase_bytes;
      each_tile_step(pixel_of, x.limb[limb], x_pitch_, s.h * s.w, count, short_row == 0 ? s.h * s.w : short_row,
                     nothing_x, [&](std::int64_t first, const std::uint8_t* const* pixels, const char* present) {
                       kernels.stage_x_positions({pixels, s.c, to + first, plane});
                       std::memcpy(to + s.c * plane + first, present, kTilePositions);
                     });
    }
  }
}

void WeightGradient::accumulate_tiles(const KernelTable& kernels, std::int64_t count, const Partial& staged,
                                      std::int32_t* sums) const {
  const ConvShape& s = shape_;
  const std::int64_t steps = tile_steps(count), plane = tile_plane(count);
  const auto phases = static_cast<std::int64_t>(x_pixels_.size());
  TapGradient tap;
  tap.images = tap.rows = 1;
  tap.steps = steps;
  tap.x_lanes = x_lanes_;
  tap.x_plane = plane;
  tap.g_lanes = g_lanes_;
  tap.fresh = staged.fresh;
  for (int j = 0; j < staged.g_limbs; ++j) {
    for (int i = 0; i < staged.x_limbs; ++i) {
      for (std::int64_t t = 0; t < s.kh * s.kw; ++t) {
        const std::int64_t kh = t / s.kw, kw = t % s.kw;
        const std::int64_t phase = kh % s.stride * s.stride + kw % s.stride;
        tap.g = staged.g.data() + j * steps * kTilePositions * g_lanes_;
        tap.x =
            staged.x.data() + (i * phases + phase) * x_lanes_ * plane + kh / s.stride * tile_columns_ + kw / s.stride;
        tap.sums = sums + (j * staged.x_limbs + i) * sums_size() + t * g_lanes_ * x_lanes_;
        kernels.tap_gradient(tap);
      }
    }
  }
}

}  // namespace bitcycle::cpu
