// SPDX-License-Identifier: Apache-2.0
#include "cost_models/onnx/protobuf_fields.h"

#include <stdexcept>
#include <string>

namespace bitcycle {
namespace {

constexpr std::uint64_t kLargestNumber = (std::uint64_t{1} << 29) - 1;

std::uint64_t varint(std::string_view& bytes) {
  std::uint64_t value = 0;
  for (int shift = 0; shift < 70; shift += 7) {
    if (bytes.empty()) throw std::invalid_argument("a number is cut off");
    const auto byte = static_cast<unsigned char>(bytes.front());
    bytes.remove_prefix(1);
    if (shift < 63 || byte < 2) value |= static_cast<std::uint64_t>(byte & 0x7F) << shift;
    if (byte < 0x80) return value;
  }
  throw std::invalid_argument("a number has more than ten bytes");
}

std::uint64_t fixed(std::string_view& bytes, std::size_t size) {
  if (bytes.size() < size) throw std::invalid_argument("a number is cut off");
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < size; ++i) {
    value |= static_cast<std::uint64_t>(static_cast<unsigned char>(bytes[i])) << (8 * i);
  }
  bytes.remove_prefix(size);
  return value;
}

}  // namespace

bool ProtobufFields::next(ProtobufField& field) {
  if (rest_.empty()) return false;
  const std::uint64_t key = varint(rest_);
  if (key >> 3 == 0 || key >> 3 > kLargestNumber) throw std::invalid_argument("a field has an impossible number");
  field = {};
  field.number = static_cast<int>(key >> 3);
  switch (key & 7) {
    case 0: field.bits = varint(rest_); break;
    case 1:
      field.kind = ProtobufField::Kind::kFixed64;
      field.bits = fixed(rest_, 8);
      break;
    case 2: {
      field.kind = ProtobufField::Kind::kBytes;
      const std::uint64_t size = varint(rest_);
      if (size > rest_.size()) {
        throw std::invalid_argument("a field of " + std::to_string(size) + " bytes is cut off after " +
                                    std::to_string(rest_.size()));
      }
      field.bytes = rest_.substr(0, static_cast<std::size_t>(size));
      rest_.remove_prefix(static_cast<std::size_t>(size));
      break;
    }
    case 5:
      field.kind = ProtobufField::Kind::kFixed32;
      field.bits = fixed(rest_, 4);
      break;
    default: throw std::invalid_argument("a field has an unknown kind");
  }
  return true;
}

void append_integers(const ProtobufField& field, std::vector<std::int64_t>& values, std::size_t most) {
  const auto put = [&](std::uint64_t value) {
    if (values.size() == most) {
      throw std::invalid_argument("a list has more than " + std::to_string(most) + " numbers");
    }
    values.push_back(static_cast<std::int64_t>(value));
  };
  if (field.is_integer()) {
    put(field.bits);
  } else if (field.is_bytes()) {
    for (auto rest = field.bytes; !rest.empty();) put(varint(rest));
  } else {
    throw std::invalid_argument("a list of whole numbers holds something else");
  }
}

}  // namespace bitcycle
