// SPDX-License-Identifier: Apache-2.0
// TensorBoard's event files: records with masked CRC-32C sums around Event messages (tensorflow/core/util/event.proto).
// Pure functions from and to bytes.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bitcycle {

/// Numbers of one step.
struct ScalarEvent {
  double wall_time = 0.0;  // seconds since 1970
  std::int64_t step = 0;
  std::vector<std::pair<std::string, float>> values;  // tag, value
};

/// CRC-32C (Castagnoli) of bytes.
std::uint32_t crc32c(std::string_view bytes);
/// rotate_right(crc, 15) + 0xa282ead8, as the records hold it.
std::uint32_t masked_crc32c(std::string_view bytes);

/// What every file begins with: the record of the format's version.
std::string event_file_header(double wall_time);
std::string event_record(const ScalarEvent& event);

/// A whole record of a file: the step of its event, and where it ends.
struct EventExtent {
  std::int64_t step = 0;
  std::size_t end = 0;  // bytes from the file's begin
};
/// The whole records from the begin on, up to the first that is cut off or damaged. The first one is the header's.
std::vector<EventExtent> whole_event_records(std::string_view file);

}  // namespace bitcycle
