// SPDX-License-Identifier: Apache-2.0
// Reads the wire format of protocol buffers, by itself: what the product's writer is checked with.
#pragma once

#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace bitcycle::test {

/// The fields of one message in their order.
class ProtobufReader {
 public:
  struct Field {
    int number = 0;
    int wire_type = 0;
    std::uint64_t integer = 0;  // varint, or the bits of a fixed-width field
    std::string_view bytes;     // wire type 2
  };

  explicit ProtobufReader(std::string_view bytes) {
    while (!bytes.empty()) {
      Field field;
      const std::uint64_t key = varint(bytes);
      field.number = static_cast<int>(key >> 3);
      field.wire_type = static_cast<int>(key & 7);
      switch (field.wire_type) {
        case 0: field.integer = varint(bytes); break;
        case 1: field.integer = fixed(bytes, 8); break;
        case 2: {
          const std::uint64_t size = varint(bytes);
          if (size > bytes.size()) throw std::runtime_error("a field is longer than its message");
          field.bytes = bytes.substr(0, size);
          bytes.remove_prefix(size);
          break;
        }
        case 5: field.integer = fixed(bytes, 4); break;
        default: throw std::runtime_error("wire type " + std::to_string(field.wire_type));
      }
      fields_.push_back(field);
    }
  }

  std::vector<Field> all(int number) const {
    std::vector<Field> found;
    for (const auto& field : fields_) {
      if (field.number == number) found.push_back(field);
    }
    return found;
  }
  bool has(int number) const { return !all(number).empty(); }
  std::string text(int number) const { return std::string(all(number).at(0).bytes); }
  std::int64_t integer(int number) const { return static_cast<std::int64_t>(all(number).at(0).integer); }
  ProtobufReader message(int number) const { return ProtobufReader(all(number).at(0).bytes); }
  /// Packed varints.
  std::vector<std::int64_t> integers(int number) const {
    std::vector<std::int64_t> values;
    for (const auto& field : all(number)) {
      for (auto rest = field.bytes; !rest.empty();) values.push_back(static_cast<std::int64_t>(varint(rest)));
    }
    return values;
  }

 private:
  static std::uint64_t varint(std::string_view& bytes) {
    std::uint64_t value = 0;
    for (int shift = 0; shift < 70; shift += 7) {
      if (bytes.empty()) throw std::runtime_error("a number is cut off");
      const auto byte = static_cast<unsigned char>(bytes.front());
      bytes.remove_prefix(1);
      value |= static_cast<std::uint64_t>(byte & 0x7F) << shift;
      if (byte < 0x80) return value;
    }
    throw std::runtime_error("a number of more than ten bytes");
  }
  static std::uint64_t fixed(std::string_view& bytes, std::size_t size) {
    if (bytes.size() < size) throw std::runtime_error("a field is cut off");
    std::uint64_t value = 0;
    std::memcpy(&value, bytes.data(), size);
    bytes.remove_prefix(size);
    return value;
  }
  std::vector<Field> fields_;
};

}  // namespace bitcycle::test
