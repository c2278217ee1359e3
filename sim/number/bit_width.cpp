// SPDX-License-Identifier: Apache-2.0
// Checked construction of widths from numbers and text.
#include "sim/number/bit_width.h"

#include <charconv>
#include <stdexcept>

namespace bitcycle {

BitWidth BitWidth::integer(int bits) {
  if (bits < kMinBits || bits > kMaxBits) {
    throw std::invalid_argument("a width of " + std::to_string(bits) + (bits == 1 ? " bit" : " bits") +
                                " is impossible: 2..32, or float32 for " + "an operand that is not quantised");
  }
  return BitWidth(static_cast<std::uint8_t>(bits));
}

BitWidth BitWidth::parse(const std::string& text) {
  if (text == "float32") return float32();
  int bits = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, bits);
  if (error != std::errc() || stop != end) {
    throw std::invalid_argument("'" + text + "' is no width: a number of bits 2..32, or float32");
  }
  return integer(bits);
}

}  // namespace bitcycle
