// SPDX-License-Identifier: Apache-2.0
// Between the layouts of files (NCHW, OIHW) and of the arithmetic (NHWC, OHWI). Both moves are the same permutation of
// four axes: the second one goes last, or comes back.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace bitcycle {

/// (a, b, c, d) -> (a, c, d, b): NCHW to NHWC, OIHW to OHWI.
template <typename T>
std::vector<T> channels_last(const std::vector<T>& from, std::int64_t channels, std::int64_t positions) {
  std::vector<T> to(from.size());
  const auto c_count = static_cast<std::size_t>(channels), p_count = static_cast<std::size_t>(positions);
  for (std::size_t image = 0; image < from.size(); image += c_count * p_count) {
    for (std::size_t p = 0; p < p_count; ++p) {
      for (std::size_t c = 0; c < c_count; ++c) to[image + p * c_count + c] = from[image + c * p_count + p];
    }
  }
  return to;
}

/// (a, c, d, b) -> (a, b, c, d): NHWC to NCHW, OHWI to OIHW.
template <typename T>
std::vector<T> channels_first(const std::vector<T>& from, std::int64_t channels, std::int64_t positions) {
  return channels_last(from, positions, channels);
}

}  // namespace bitcycle
