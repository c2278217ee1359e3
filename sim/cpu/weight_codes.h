// SPDX-License-Identifier: Apache-2.0
// Codes of weights as the CPU keeps them: bytes up to 8 bits, 32 bits above. A buffer's size tells which.
#pragma once

#include <cstdint>

#include "sim/device/buffer.h"

namespace bitcycle::cpu {

class WeightCodes {
 public:
  WeightCodes(const Buffer& buffer, std::int64_t size)
      : narrow_(static_cast<std::int64_t>(buffer.bytes()) == size ? buffer.as<std::uint8_t>() : nullptr),
        wide_(buffer.as<std::uint32_t>()) {}

  /// Null where they are 32-bit.
  const std::uint8_t* narrow() const { return narrow_; }
  const std::int32_t* wide() const { return reinterpret_cast<const std::int32_t*>(wide_); }
  std::uint32_t operator[](std::int64_t e) const { return narrow_ != nullptr ? narrow_[e] : wide_[e]; }

 private:
  const std::uint8_t* narrow_;
  const std::uint32_t* wide_;
};

}  // namespace bitcycle::cpu
