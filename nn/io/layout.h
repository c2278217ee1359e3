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
  for (std::size_t e = 0; e < from.size(); ++e) {
    const std::size_t p = e % p_count, c = e / p_count % c_count, n = e / p_count / c_count;
    to[(n * p_count + p) * c_count + c] = from[e];
  }
  return to;
}

/// (a, c, d, b) -> (a, b, c, d): NHWC to NCHW, OHWI to OIHW.
template <typename T>
std::vector<T> channels_first(const std::vector<T>& from, std::int64_t channels, std::int64_t positions) {
  return channels_last(from, positions, channels);
}

}  // namespace bitcycle
