// SPDX-License-Identifier: Apache-2.0
// Small steps between sim/number and the kernels' records.
#pragma once

#include "sim/cpu/kernels.h"
#include "sim/number/bit_width.h"
#include "sim/number/ordered_key.h"
#include "sim/quantisers/affine.h"

namespace bitcycle::cpu {

/// Range of the kernels' keys, which tell -0 from +0; ranges do not.
inline Range canonical_range(const KeyRange& found) {
  KeyRange keys;
  if (found.lo <= found.hi) {
    include(keys, float_of_key(found.lo));
    include(keys, float_of_key(found.hi));
  }
  return range_of_keys(keys);
}

/// A quantiser's scale, widths up to 16.
inline QuantiseRow quantise_row(const Affine& affine) {
  QuantiseRow row;
  row.lo = static_cast<float>(affine.lo);
  row.step = static_cast<float>(affine.step);
  row.max_code = static_cast<float>(affine.max_code);
  return row;
}

/// The same, with where the codes of elements begin.. go.
inline CodeTarget code_target(const Affine& affine, BitWidth width, void* codes, std::int64_t begin) {
  CodeTarget to{static_cast<float>(affine.lo), static_cast<float>(affine.step), static_cast<float>(affine.max_code)};
  if (width.container() == Container::kUint8) {
    to.codes8 = static_cast<std::uint8_t*>(codes) + begin;
  } else {
    to.codes16 = static_cast<std::uint16_t*>(codes) + begin;
  }
  return to;
}

/// What code_rows.h is for.
inline bool has_code_rows(BitWidth width, std::int64_t channels) {
  return width.is_integer() && width.is_narrow() && channels % kLanes == 0;
}

}  // namespace bitcycle::cpu
