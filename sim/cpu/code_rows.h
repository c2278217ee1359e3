// SPDX-License-Identifier: Apache-2.0
// Records of rows that make codes of what another convolution left, in one go: its batch norm and rectifier, or the
// gradient behind its batch norm, then the quantiser. Channels are a multiple of 16, widths up to 16 bits.
#pragma once

#include <cstdint>

namespace bitcycle::cpu {

/// A quantiser's scale, and codes in one of two containers.
struct CodeTarget {
  float lo = 0.0F, step = 1.0F, max_code = 0.0F;
  std::uint8_t* codes8 = nullptr;
  std::uint16_t* codes16 = nullptr;
};

/// codes of relu(fma(fl(y - mean), a, beta)), (pixels, channels) without gaps.
struct NormCodes {
  const float* y = nullptr;
  std::int64_t pixels = 0, channels = 0;
  const float* mean = nullptr;  // (channels) all three
  const float* a = nullptr;
  const float* beta = nullptr;
  CodeTarget to;
};

/// codes of fma(a, u, fma(k, fl(y - mean), c)), rounded with noise where there is some.
struct GradientCodes {
  const float* u = nullptr;
  const float* y = nullptr;
  const float* noise = nullptr;  // null: nearest
  std::int64_t pixels = 0, channels = 0;
  const float* mean = nullptr;  // (channels) all four
  const float* a = nullptr;
  const float* k = nullptr;
  const float* c = nullptr;
  CodeTarget to;
  bool fetched = false;  // u and y are on their way already
};

}  // namespace bitcycle::cpu
