// SPDX-License-Identifier: Apache-2.0
// Sums over taps, and the table of one instruction set. Included inside an unnamed namespace; kGroup is defined before.

void box_sums(const BoxSums& row) {
  for (std::int64_t p = 0; p < row.pixels; ++p) row.out[p] = row.addend[p];
  for (std::int64_t t = 0; t < row.taps; ++t) {
    const std::int32_t* sums = row.sums + row.offsets[t];
    for (std::int64_t p = 0; p < row.pixels; ++p) row.out[p] += sums[p];
  }
}

constexpr KernelTable table_named(const char* name) {
  return {.name = name,
          .group = kGroup,
          .row_product = row_product,
          .tap_gradient = tap_gradient,
          .stage_channels = stage_channels,
          .stage_pixels = stage_pixels,
          .channel_sums = channel_sums,
          .box_sums = box_sums,
          .pixel_sums = pixel_sums,
          .rescale_narrow = rescale_narrow,
          .rescale_limbs = rescale_limbs,
          .statistics = statistics,
          .norm_rows = norm_rows,
          .gradient_rows = gradient_rows,
          .quantise = quantise,
          .noise = noise,
          .join = join,
          .float_row = float_row,
          .float_gradient = float_gradient,
          .range = range,
          .magnitude = magnitude,
          .positive_bits = positive_bits,
          .add_on_grid = add_on_grid,
          .sgd = sgd,
          .non_finite = non_finite};
}
