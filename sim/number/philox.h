// SPDX-License-Identifier: Apache-2.0
// Philox4x32-10 (Salmon et al., SC 2011) as a pure function: random numbers are a function of (seed,
// step, purpose, tensor, element) and of nothing else: not of threads, grids, ranks or restarts.
#pragma once

#include <cstdint>

#include "sim/number/host_device.h"

namespace bitcycle {

struct PhiloxBlock {
  std::uint32_t word[4];
};

/// What random numbers are for; keeps the streams of different uses apart.
enum class RandomPurpose : std::uint32_t {
  kGradientRounding = 1,
  kInitialisation = 2,
  kShuffle = 3,
  kAugmentation = 4,
  kSyntheticData = 5,
};

/// One stream: key = seed, counter words 2 and 3 = step and (purpose << 24 | tensor id).
struct PhiloxStream {
  std::uint64_t seed = 0;
  std::uint32_t step = 0;
  std::uint32_t purpose_and_tensor = 0;
};

/// `tensor_id` is below 2^24.
BITCYCLE_HD PhiloxStream philox_stream(std::uint64_t seed, std::uint32_t step, RandomPurpose purpose,
                                       std::uint32_t tensor_id) {
  return {seed, step, (static_cast<std::uint32_t>(purpose) << 24) | (tensor_id & 0xFFFFFFU)};
}

/// Ten rounds over the counter {block low, block high, step, purpose and tensor}.
BITCYCLE_HD PhiloxBlock philox_block(const PhiloxStream& stream, std::uint64_t block) {
  std::uint32_t c0 = static_cast<std::uint32_t>(block);
  std::uint32_t c1 = static_cast<std::uint32_t>(block >> 32);
  std::uint32_t c2 = stream.step;
  std::uint32_t c3 = stream.purpose_and_tensor;
  std::uint32_t k0 = static_cast<std::uint32_t>(stream.seed);
  std::uint32_t k1 = static_cast<std::uint32_t>(stream.seed >> 32);
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t p0 = std::uint64_t{0xD2511F53U} * c0;
    const std::uint64_t p1 = std::uint64_t{0xCD9E8D57U} * c2;
    const std::uint32_t n0 = static_cast<std::uint32_t>(p1 >> 32) ^ c1 ^ k0;
    const std::uint32_t n2 = static_cast<std::uint32_t>(p0 >> 32) ^ c3 ^ k1;
    c1 = static_cast<std::uint32_t>(p1);
    c3 = static_cast<std::uint32_t>(p0);
    c0 = n0;
    c2 = n2;
    k0 += 0x9E3779B9U;
    k1 += 0xBB67AE85U;
  }
  return {{c0, c1, c2, c3}};
}

/// Word of one element: block element/4, lane element mod 4.
BITCYCLE_HD std::uint32_t philox_word(const PhiloxStream& stream, std::uint64_t element) {
  return philox_block(stream, element >> 2).word[element & 3];
}

/// Rounding noise u = (r >> 8) * 2^-24 - 0.5, in [-0.5, 0.5), exact in binary32.
BITCYCLE_HD float rounding_noise(std::uint32_t word) { return static_cast<float>(word >> 8) * 0x1p-24F - 0.5F; }

/// Uniform integer in 0..bound-1 by multiply and shift: (word * bound) >> 32. bound > 0.
BITCYCLE_HD std::uint32_t bounded(std::uint32_t word, std::uint32_t bound) {
  return static_cast<std::uint32_t>((std::uint64_t{word} * bound) >> 32);
}

}  // namespace bitcycle
