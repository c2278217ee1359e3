// SPDX-License-Identifier: Apache-2.0
// Digest128: XXH3-128 of bytes, and the root over named tensors that identifies a state of a training
// (docs/numerics.md, 10.1). Written as 32 hexadecimal digits.
#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace bitcycle {

/// 16 bytes in canonical (big-endian) order.
struct Digest128 {
  std::array<std::uint8_t, 16> bytes{};
  auto operator<=>(const Digest128&) const = default;
};

/// 32 lower-case hexadecimal digits.
std::string to_text(const Digest128& digest);
/// Of 32 hexadecimal digits. Throws std::invalid_argument naming the text otherwise.
Digest128 parse_digest(std::string_view text);

/// XXH3-128, seed 0.
Digest128 digest_of(const void* data, std::size_t bytes);
/// The same of bytes that come in parts.
class BytesDigest {
 public:
  BytesDigest();
  ~BytesDigest();
  BytesDigest(const BytesDigest&) = delete;
  BytesDigest& operator=(const BytesDigest&) = delete;
  void add(std::string_view bytes);
  Digest128 value() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};
/// Of the values as little-endian binary32.
Digest128 digest_of(std::span<const float> values);

/// The root: XXH3-128 of, for each tensor, its name, a zero byte and its 16 digest bytes.
class RootDigest {
 public:
  RootDigest();
  ~RootDigest();
  RootDigest(RootDigest&&) noexcept;
  RootDigest& operator=(RootDigest&&) noexcept;

  /// Contract: names ascend (bytewise) and hold no zero byte; throws std::invalid_argument naming both otherwise.
  void add(const std::string& name, const Digest128& digest);
  Digest128 value() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace bitcycle
