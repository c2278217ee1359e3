// SPDX-License-Identifier: Apache-2.0
// ProtobufWriter: one message of the protocol buffers' wire format, field by field. That is all that ONNX models and
// TensorBoard's events need, so no library is linked. Fields are written in the order of the calls.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

namespace bitcycle {

class ProtobufWriter {
 public:
  /// int64, uint64, enum: as 64-bit two's complement.
  void integer(int field, std::int64_t value) {
    key(field, 0);
    varint(static_cast<std::uint64_t>(value));
  }
  /// Repeated int64, packed.
  void integers(int field, const std::vector<std::int64_t>& values) {
    ProtobufWriter packed;
    for (const auto value : values) packed.varint(static_cast<std::uint64_t>(value));
    bytes(field, packed.text_);
  }
  void binary32(int field, float value) {
    key(field, 5);
    fixed(std::bit_cast<std::uint32_t>(value));
  }
  void binary64(int field, double value) {
    key(field, 1);
    fixed(std::bit_cast<std::uint64_t>(value));
  }
  /// string, bytes.
  void bytes(int field, std::string_view value) {
    key(field, 2);
    varint(value.size());
    text_ += value;
  }
  void message(int field, const ProtobufWriter& value) { bytes(field, value.text_); }

  const std::string& text() const { return text_; }

 private:
  static_assert(std::endian::native == std::endian::little, "fixed-width fields are little-endian");
  void key(int field, unsigned wire_type) { varint(static_cast<std::uint64_t>(field) << 3 | wire_type); }
  void varint(std::uint64_t value) {
    for (; value >= 0x80; value >>= 7) text_ += static_cast<char>(static_cast<unsigned char>(value | 0x80));
    text_ += static_cast<char>(static_cast<unsigned char>(value));
  }
  template <typename T>
  void fixed(T value) {
    char raw[sizeof value];
    std::memcpy(raw, &value, sizeof value);
    text_.append(raw, sizeof value);
  }

  std::string text_;
};

}  // namespace bitcycle
