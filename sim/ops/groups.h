// SPDX-License-Identifier: Apache-2.0
// Groups: which elements of a tensor share one range and one grid (docs/numerics.md, 2.1 and 5.2).
#pragma once

#include <cstdint>
#include <vector>

namespace bitcycle::ops {

/// Weights are (o, kh, kw, c / convolution groups).
struct Groups {
  enum class By : std::uint8_t { kTensor, kOutputChannel, kInputChannel } by = By::kTensor;
  std::int64_t convolution_groups = 1;

  std::int64_t count(const std::vector<std::int64_t>& shape) const {
    switch (by) {
      case By::kTensor: return 1;
      case By::kOutputChannel: return shape.front();
      case By::kInputChannel: return shape.back() * convolution_groups;
    }
    return 1;
  }
  /// Group of element e of `size`.
  std::int64_t of(std::int64_t e, std::int64_t size, const std::vector<std::int64_t>& shape) const {
    switch (by) {
      case By::kTensor: return 0;
      case By::kOutputChannel: return e / (size / shape.front());
      case By::kInputChannel: return e / (size / convolution_groups) * shape.back() + e % shape.back();
    }
    return 0;
  }
};

inline Groups one_group() { return {}; }
inline Groups by_output_channel() { return {Groups::By::kOutputChannel, 1}; }
inline Groups by_input_channel(std::int64_t convolution_groups) {
  return {Groups::By::kInputChannel, convolution_groups};
}

}  // namespace bitcycle::ops
