// SPDX-License-Identifier: Apache-2.0
#include "nn/io/event_file.h"

#include <array>
#include <cstring>
#include <optional>

#include "nn/io/protobuf_writer.h"

namespace bitcycle {
namespace {

constexpr std::array<std::uint32_t, 256> kCrcTable = [] {
  constexpr std::uint32_t kPolynomial = 0x82F63B78;  // reflected
  std::array<std::uint32_t, 256> table{};
  for (std::uint32_t i = 0; i < 256; ++i) {
    std::uint32_t crc = i;
    for (int bit = 0; bit < 8; ++bit) crc = (crc & 1) != 0 ? crc >> 1 ^ kPolynomial : crc >> 1;
    table[i] = crc;
  }
  return table;
}();

// Field numbers of event.proto and summary.proto.
namespace event_field {
constexpr int kWallTime = 1, kStep = 2, kFileVersion = 3, kSummary = 5;
}
namespace summary_field {
constexpr int kValue = 1, kTag = 1, kNumber = 2;
}

constexpr std::size_t kBeforeData = 12, kAfterData = 4;

template <typename T>
void append(std::string& text, T value) {
  char raw[sizeof value];
  std::memcpy(raw, &value, sizeof value);
  text.append(raw, sizeof value);
}

template <typename T>
T load(std::string_view bytes, std::size_t at) {
  T value{};
  std::memcpy(&value, bytes.data() + at, sizeof value);
  return value;
}

/// length, its sum, data, their sum
std::string framed(const std::string& data) {
  std::string record;
  append(record, static_cast<std::uint64_t>(data.size()));
  append(record, masked_crc32c(record));
  record += data;
  append(record, masked_crc32c(data));
  return record;
}

std::optional<std::uint64_t> varint(std::string_view bytes, std::size_t& at) {
  std::uint64_t value = 0;
  for (int shift = 0; shift < 64 && at < bytes.size(); shift += 7) {
    const auto byte = static_cast<unsigned char>(bytes[at++]);
    value |= static_cast<std::uint64_t>(byte & 0x7F) << shift;
    if (byte < 0x80) return value;
  }
  return std::nullopt;
}

/// The step of an Event message; 0 where it has none, as the format says.
std::int64_t step_of(std::string_view event) {
  for (std::size_t at = 0; at < event.size();) {
    const auto key = varint(event, at);
    if (!key) return 0;
    const auto number = *key >> 3, wire_type = *key & 7;
    if (wire_type == 0) {
      const auto value = varint(event, at);
      if (!value) return 0;
      if (number == event_field::kStep) return static_cast<std::int64_t>(*value);
    } else if (wire_type == 1) {
      at += 8;
    } else if (wire_type == 2) {
      const auto size = varint(event, at);
      if (!size || *size > event.size() - at) return 0;
      at += *size;
    } else {
      at += 4;
    }
  }
  return 0;
}

}  // namespace

std::uint32_t crc32c(std::string_view bytes) {
  std::uint32_t crc = 0xFFFFFFFF;
  for (const char byte : bytes) crc = kCrcTable[(crc ^ static_cast<unsigned char>(byte)) & 0xFF] ^ crc >> 8;
  return crc ^ 0xFFFFFFFF;
}

std::uint32_t masked_crc32c(std::string_view bytes) {
  const std::uint32_t crc = crc32c(bytes);
  return (crc >> 15 | crc << 17) + 0xa282ead8U;
}

std::string event_file_header(double wall_time) {
  ProtobufWriter event;
  event.binary64(event_field::kWallTime, wall_time);
  event.bytes(event_field::kFileVersion, "brain.Event:2");
  return framed(event.text());
}

std::string event_record(const ScalarEvent& scalars) {
  ProtobufWriter summary;
  for (const auto& [tag, number] : scalars.values) {
    ProtobufWriter value;
    value.bytes(summary_field::kTag, tag);
    value.binary32(summary_field::kNumber, number);
    summary.message(summary_field::kValue, value);
  }
  ProtobufWriter event;
  event.binary64(event_field::kWallTime, scalars.wall_time);
  event.integer(event_field::kStep, scalars.step);
  event.message(event_field::kSummary, summary);
  return framed(event.text());
}

std::vector<EventExtent> whole_event_records(std::string_view file) {
  std::vector<EventExtent> records;
  std::size_t at = 0;
  while (file.size() - at >= kBeforeData + kAfterData) {
    const auto size = load<std::uint64_t>(file, at);
    if (load<std::uint32_t>(file, at + 8) != masked_crc32c(file.substr(at, 8))) break;
    if (size > file.size() - at - kBeforeData - kAfterData) break;
    const std::string_view data = file.substr(at + kBeforeData, size);
    if (load<std::uint32_t>(file, at + kBeforeData + size) != masked_crc32c(data)) break;
    at += kBeforeData + size + kAfterData;
    records.push_back({step_of(data), at});
  }
  return records;
}

}  // namespace bitcycle
