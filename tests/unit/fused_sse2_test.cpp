// SPDX-License-Identifier: Apache-2.0
// The fused multiply-add of kernels without the instruction equals std::fma, bit by bit, where two roundings differ
// from one: beside the middle of two neighbours, among subnormal numbers, at the ends of the range.
#include <gtest/gtest.h>

#if defined(__SSE2__)
#include <emmintrin.h>

#include <bit>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "sim/cpu/kernels.h"

namespace bitcycle::cpu {
namespace {

// The second needs the first.
// clang-format off
#include "sim/cpu/simd_sse2.inl"
#include "sim/cpu/fused_sse2.inl"
// clang-format on

bool same(float a, float b) {
  return std::bit_cast<std::uint32_t>(a) == std::bit_cast<std::uint32_t>(b) || (std::isnan(a) && std::isnan(b));
}

struct Triple {
  float x, y, z;
};

/// How many of the triples a sum in binary64, rounded once more, gets wrong; every one must be right in `fused`.
int check(std::vector<Triple> triples) {
  while (triples.size() % kLanes != 0) triples.push_back({0.0F, 0.0F, 0.0F});
  int hard = 0;
  for (std::size_t i = 0; i < triples.size(); i += kLanes) {
    float x[kLanes], y[kLanes], z[kLanes], out[kLanes];
    for (std::size_t j = 0; j < kLanes; ++j) {
      x[j] = triples[i + j].x;
      y[j] = triples[i + j].y;
      z[j] = triples[i + j].z;
    }
    store(out, fused(load(x), load(y), load(z)));
    for (std::size_t j = 0; j < kLanes; ++j) {
      const float expected = std::fma(x[j], y[j], z[j]);
      EXPECT_TRUE(same(out[j], expected)) << std::hexfloat << x[j] << " * " << y[j] << " + " << z[j] << ": " << out[j];
      const auto twice = static_cast<float>(static_cast<double>(x[j]) * static_cast<double>(y[j]) + double{z[j]});
      if (!same(twice, expected)) ++hard;
    }
  }
  return hard;
}

TEST(FusedSse2, EqualsFmaOnBitsOfAnyKind) {
  std::mt19937 random(1);
  std::vector<Triple> triples;
  const auto any = [&] { return std::bit_cast<float>(static_cast<std::uint32_t>(random())); };
  for (int i = 0; i < 400000; ++i) triples.push_back({any(), any(), any()});
  const float special[] = {0.0F,
                           -0.0F,
                           1.0F,
                           -1.0F,
                           std::numeric_limits<float>::denorm_min(),
                           -std::numeric_limits<float>::min(),
                           std::numeric_limits<float>::max(),
                           std::numeric_limits<float>::infinity(),
                           -std::numeric_limits<float>::infinity(),
                           std::numeric_limits<float>::quiet_NaN()};
  for (const float x : special) {
    for (const float y : special) {
      for (const float z : special) triples.push_back({x, y, z});
    }
  }
  check(std::move(triples));
}

/// z is a number of 24 bits; the product is half a unit of its last place and something too small for 53 bits.
TEST(FusedSse2, EqualsFmaBesideTheMiddleOfTwoNeighbours) {
  std::mt19937 random(2);
  std::vector<Triple> triples;
  for (int i = 0; i < 100000; ++i) {
    const int exponent = static_cast<int>(random() % 40) - 20;
    const auto z = std::ldexp(static_cast<float>((1U << 23) | (random() & 0x7FFFFFU)), exponent);  // unit: 2^exponent
    // (2^k + 1)(2^m - 1) and the like: a power of two, and small bits far below it.
    const int k = 1 + static_cast<int>(random() % 23);
    const float small = std::ldexp(1.0F, -k);
    const float x = 1.0F + (random() % 2 == 0 ? small : -small), y = 1.0F - (random() % 2 == 0 ? small : -small);
    const float sign = random() % 2 == 0 ? 1.0F : -1.0F;
    triples.push_back({sign * x, std::ldexp(y, exponent - 1), random() % 2 == 0 ? z : -z});
  }
  EXPECT_GT(check(std::move(triples)), 500);
}

TEST(FusedSse2, EqualsFmaAmongSubnormalNumbers) {
  std::mt19937 random(3);
  std::vector<Triple> triples;
  for (int i = 0; i < 100000; ++i) {
    const auto z = std::bit_cast<float>(static_cast<std::uint32_t>(random() & 0x807FFFFFU));
    const int k = 1 + static_cast<int>(random() % 23);
    const float small = std::ldexp(1.0F, -k), x = 1.0F + (random() % 2 == 0 ? small : -small);
    const float y = std::ldexp(1.0F - (random() % 2 == 0 ? small : -small), -100);
    triples.push_back({std::ldexp(random() % 2 == 0 ? x : -x, -50), y, z});  // half of 2^-149 and a little
  }
  EXPECT_GT(check(std::move(triples)), 500);
}

TEST(RescaledSse2, EqualsTwoFusedStepsAndOneRounding) {
  std::mt19937_64 random(4);
  const auto value = [&](int exponent) {
    return std::ldexp(static_cast<double>(static_cast<std::int64_t>(random())), exponent - 63);
  };
  for (int round = 0; round < 60000; ++round) {
    double a[kLanes], acc[kLanes], b[kLanes], sum[kLanes], e[kLanes];
    float out[kLanes];
    for (int i = 0; i < kLanes; ++i) {
      const int kind = static_cast<int>(random() % 8);
      a[i] = kind == 0 ? 0.0 : value(-10);
      acc[i] = static_cast<double>(static_cast<std::int32_t>(random()) >> static_cast<int>(random() % 31));
      b[i] = kind == 1 ? 0.0 : value(-8);
      sum[i] = static_cast<double>(static_cast<std::int32_t>(random()) >> static_cast<int>(random() % 31));
      e[i] = kind == 2 ? 0.0 : value(0);
      // Terms that cancel, to the last bit or to the middle of two binary32 numbers.
      if (kind == 3) e[i] = -std::fma(b[i], sum[i], a[i] * acc[i]);
      if (kind == 4)
        e[i] = static_cast<double>(static_cast<float>(value(3))) * (1.0 + 0x1p-24) - a[i] * acc[i] - b[i] * sum[i];
      if (kind == 5) a[i] = b[i] = e[i] = 0.0;
      if (kind == 6 && round % 100 == 0) e[i] = std::numeric_limits<double>::infinity();
      if (kind == 7 && round % 100 == 0) a[i] = std::numeric_limits<double>::quiet_NaN();
    }
    store(out, rescaled(load(a), load(acc), load(b), load(sum), load(e)));
    for (int i = 0; i < kLanes; ++i) {
      const auto expected = static_cast<float>(std::fma(a[i], acc[i], std::fma(b[i], sum[i], e[i])));
      ASSERT_TRUE(same(out[i], expected)) << std::hexfloat << a[i] << " * " << acc[i] << " + " << b[i] << " * "
                                          << sum[i] << " + " << e[i] << ": " << out[i] << ", not " << expected;
    }
  }
}

}  // namespace
}  // namespace bitcycle::cpu
#endif
