// SPDX-License-Identifier: Apache-2.0
// ProtobufFields: the fields of one message in the wire format of protocol buffers, one after the other, as views into
// the bytes. That is all that reading the layers of an ONNX model needs, so no library is linked.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace bitcycle {

struct ProtobufField {
  /// The wire types that there are; groups (3 and 4) have been given up long ago and are an error.
  enum class Kind : std::uint8_t { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 } kind = Kind::kVarint;
  int number = 0;
  std::uint64_t bits = 0;  // of varints and fixed-width fields
  std::string_view bytes;  // of kBytes: a text, a message, or packed numbers

  bool is_bytes() const { return kind == Kind::kBytes; }
  bool is_integer() const { return kind == Kind::kVarint; }
  std::int64_t integer() const { return static_cast<std::int64_t>(bits); }
};

class ProtobufFields {
 public:
  explicit ProtobufFields(std::string_view message) : rest_(message) {}
  /// False at the end. Throws std::invalid_argument where the bytes are no message.
  bool next(ProtobufField& field);

 private:
  std::string_view rest_;
};

/// Appends the values of a repeated integer field, packed or not, up to `most` in all; throws std::invalid_argument
/// beyond, or where the field holds no integers.
void append_integers(const ProtobufField& field, std::vector<std::int64_t>& values, std::size_t most);

}  // namespace bitcycle
