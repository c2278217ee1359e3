// SPDX-License-Identifier: Apache-2.0
// BitWidth: the number of bits of an operand, 2..32, or float32 for an operand that is not quantised.
// Promises that an impossible width cannot be represented.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <string>

namespace bitcycle {

/// How the codes of one width are stored: bytes up to 8 bits, 16-bit words up to 16, 32-bit words
/// up to 32; kFloat32 holds the values themselves.
enum class Container : std::uint8_t { kUint8, kUint16, kUint32, kFloat32 };

/// Bytes of one element in a container: 1, 2, 4, 4.
constexpr std::size_t bytes_of(Container container) {
  switch (container) {
    case Container::kUint8: return 1;
    case Container::kUint16: return 2;
    case Container::kUint32:
    case Container::kFloat32: return 4;
  }
  return 4;
}

class BitWidth {
 public:
  static constexpr int kMinBits = 2;
  static constexpr int kMaxBits = 32;
  /// Widths up to this one quantise in binary32, wider ones in binary64 (docs/numerics.md, 2.2).
  static constexpr int kMaxNarrowBits = 16;

  /// Not quantised.
  constexpr BitWidth() = default;
  static constexpr BitWidth float32() { return {}; }

  /// 2..32 bits. Throws std::invalid_argument naming the value and the legal range otherwise.
  static BitWidth integer(int bits);

  /// "float32" or the number of bits.
  static BitWidth parse(const std::string& text);

  constexpr bool is_float32() const { return bits_ == 0; }
  constexpr bool is_integer() const { return bits_ != 0; }
  /// Bits as they are counted by cost models: float32 counts as 32.
  constexpr int bits() const { return bits_ == 0 ? 32 : bits_; }
  /// Largest code, 2^b - 1. Meaningless for float32.
  constexpr std::uint32_t max_code() const {
    return bits_ == 0 ? 0 : static_cast<std::uint32_t>((std::uint64_t{1} << bits_) - 1);
  }
  constexpr bool is_narrow() const { return bits_ != 0 && bits_ <= kMaxNarrowBits; }
  constexpr Container container() const {
    if (bits_ == 0) return Container::kFloat32;
    if (bits_ <= 8) return Container::kUint8;
    return bits_ <= 16 ? Container::kUint16 : Container::kUint32;
  }
  std::string text() const { return bits_ == 0 ? "float32" : std::to_string(bits_); }

  constexpr auto operator<=>(const BitWidth&) const = default;

 private:
  constexpr explicit BitWidth(std::uint8_t bits) : bits_(bits) {}
  std::uint8_t bits_ = 0;  // 0 stands for float32
};

}  // namespace bitcycle
