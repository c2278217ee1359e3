// SPDX-License-Identifier: Apache-2.0
// Bilinear resampling of 8-bit pictures, to the bit as Pillow does it (docs/numerics.md, 8.5): antialiased, along the
// rows first and then along the columns, rounded to 8 bits between; a pass whose size does not change is left out.
#pragma once

#include <cstdint>
#include <vector>

namespace bitcycle {

/// Taps of the outputs first .. first + count - 1 of an axis of `in` pixels that becomes one of `out`. Output x is
/// clip((2^21 + sum over k of weight[k] p[begin + k]) >> 22, 0, 255).
struct ResampleAxis {
  std::int64_t taps = 0;              // weights an output, the last ones may be 0
  bool identity = false;              // in == out: values are copied
  std::vector<std::int32_t> begin;    // (count): the first tap
  std::vector<std::int32_t> weights;  // (count, taps), in units of 2^-22
  /// Inputs that the outputs read: [lowest, end).
  std::int64_t lowest = 0, end = 0;

  std::int64_t count() const { return static_cast<std::int64_t>(begin.size()); }
};
ResampleAxis resample_axis(std::int64_t in, std::int64_t out, std::int64_t first, std::int64_t count);

/// One row: pixels of `axis.count()` outputs from a row of RGB pixels, of which `row` is the one at axis.lowest.
void resample_row(const ResampleAxis& axis, const std::uint8_t* row, std::uint8_t* out);
/// Columns: rows of `row_bytes` bytes, of which `rows` is the one at axis.lowest, to axis.count() rows.
void resample_columns(const ResampleAxis& axis, const std::uint8_t* rows, std::int64_t row_bytes, std::uint8_t* out);

}  // namespace bitcycle
