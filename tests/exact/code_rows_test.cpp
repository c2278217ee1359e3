// SPDX-License-Identifier: Apache-2.0
// Rows that make codes, and their noise, on every instruction set: codes that come without a division equal those of
// the written one for every kind of number, and noise is Philox's wherever a row begins.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "sim/cpu/isa.h"
#include "sim/cpu/kernels.h"
#include "sim/number/philox.h"
#include "sim/quantisers/affine.h"

namespace bitcycle {
namespace {

struct Scale {
  float lo, step;
  int bits;
};

/// Steps at the ends of what is multiplied and beyond, with mantissas all zeros, all ones and between.
std::vector<Scale> scales() {
  return {{0.0F, 0.01F, 8},   {-1.5F, 0.0117647F, 8}, {0.0F, 0x1p-6F, 4},          {3.0F, 0x1.fffffep-3F, 8},
          {0.0F, 1e-8F, 8},   {-2e-5F, 1e-8F, 2},     {-1.0F, 0x1.000002p-5F, 16}, {0.0F, 0x1p-70F, 8},
          {0.0F, 0x1p70F, 8}, {0.0F, 0x1p-71F, 8},    {0.0F, 0x1.8p70F, 8},        {0.0F, 0x1p-140F, 8},
          {-1e30F, 1e28F, 8}, {0.0F, 0.0F, 8},        {0.25F, 0x1.555556p-9F, 16}};
}

/// What a row of codes may meet: neighbours of the borders between codes, numbers of every exponent, no numbers.
std::vector<float> values_for(const Scale& scale) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  std::vector<float> values{0.0F,           -0.0F,   kInfinity, -kInfinity, std::nanf(""),
                            -std::nanf(""), 3.4e38F, -3.4e38F,  1e-45F};
  const auto stream = philox_stream(7, 0, RandomPurpose::kSyntheticData, 0);
  for (std::uint64_t i = 0; values.size() < 30000; ++i) {
    const PhiloxBlock block = philox_block(stream, i);
    const float code = static_cast<float>(block.word[0] >> 8) * 0x1p-24F * 300.0F;
    const float border = scale.lo + (std::floor(code) + 0.5F) * scale.step;
    values.push_back(scale.lo + code * scale.step);
    values.push_back(border);
    values.push_back(std::nextafter(border, kInfinity));
    values.push_back(std::nextafter(border, -kInfinity));
    values.push_back(scale.lo + std::ldexp(scale.step, -static_cast<int>(block.word[1] % 40)) * (0.5F + code));
    values.push_back(std::ldexp(code, static_cast<int>(block.word[2] % 250) - 140));
  }
  return values;
}

TEST(CodeRows, CodesWithoutADivisionEqualThoseOfTheWrittenOne) {
  constexpr std::int64_t kChannels = 48;  // three blocks, so that groups of four begin at each of them
  const std::vector<float> zeros(kChannels, 0.0F), ones(kChannels, 1.0F);
  for (const Isa isa : machine_isas()) {
    const cpu::KernelTable& kernels = *cpu::isa_entry(isa)->kernels;
    for (const Scale& scale : scales()) {
      std::vector<float> values = values_for(scale);
      values.resize(values.size() / kChannels * kChannels);
      const auto size = static_cast<std::int64_t>(values.size());
      std::vector<float> noise(values.size());
      const auto stream = philox_stream(9, 1, RandomPurpose::kGradientRounding, 2);
      for (std::size_t i = 0; i < noise.size(); ++i) {
        noise[i] = i % 5 == 0 ? -0.5F : i % 5 == 1 ? 0.5F - 0x1p-24F : rounding_noise(philox_word(stream, i));
      }
      const float max_code = static_cast<float>((1 << scale.bits) - 1);
      const auto expected = [&](std::size_t i, bool noisy, bool rectified) {
        const float x = rectified && !(values[i] > 0.0F) ? 0.0F : values[i];
        return quantise_narrow(x, scale.lo, scale.step, max_code, noisy ? noise[i] : 0.0F);
      };
      std::vector<std::uint8_t> bytes(values.size());
      std::vector<std::uint16_t> words(values.size());
      const auto check = [&](const char* what, bool noisy, bool rectified) {
        for (std::size_t i = 0; i < values.size(); ++i) {
          const std::uint32_t code = scale.bits <= 8 ? bytes[i] : words[i];
          ASSERT_EQ(code, expected(i, noisy, rectified))
              << isa_name(isa) << ", " << what << ", x " << values[i] << ", lo " << scale.lo << ", step " << scale.step;
        }
      };
      cpu::CodeTarget to{scale.lo, scale.step, max_code};
      to.codes8 = scale.bits <= 8 ? bytes.data() : nullptr;
      to.codes16 = scale.bits <= 8 ? nullptr : words.data();
      for (const bool noisy : {false, true}) {
        cpu::QuantiseRow row;
        row.x = values.data();
        row.noise = noisy ? noise.data() : nullptr;
        row.count = size - 5;  // the last block's part
        row.lo = scale.lo;
        row.step = scale.step;
        row.max_code = max_code;
        row.codes8 = to.codes8;
        row.codes16 = to.codes16;
        for (std::size_t i = values.size() - 5; i < values.size(); ++i) {
          bytes[i] = static_cast<std::uint8_t>(expected(i, noisy, false));
          words[i] = static_cast<std::uint16_t>(expected(i, noisy, false));
        }
        kernels.quantise(row);
        check("quantise", noisy, false);
        // dy = fma(1, u, fma(0, y - 0, 0)) is u.
        kernels.gradient_codes({values.data(), noise.data(), row.noise, size / kChannels, kChannels, zeros.data(),
                                ones.data(), zeros.data(), zeros.data(), to});
        check("gradient codes", noisy, false);
      }
      kernels.norm_codes({values.data(), size / kChannels, kChannels, zeros.data(), ones.data(), zeros.data(), to});
      check("norm codes", false, true);
    }
  }
}

TEST(CodeRows, NoiseIsPhiloxsWhereverARowBegins) {
  // Block numbers of one word, of two, and rows in which the higher word changes.
  constexpr std::uint64_t kWord = std::uint64_t{4} << 32;
  for (const Isa isa : machine_isas()) {
    const cpu::KernelTable& kernels = *cpu::isa_entry(isa)->kernels;
    for (const std::uint64_t begin : {std::uint64_t{0}, std::uint64_t{5}, std::uint64_t{1022}, kWord - 4, kWord - 130,
                                      kWord - 3, kWord, 7 * kWord - 333, 7 * kWord + 2}) {
      for (const std::int64_t count : {1, 3, 127, 128, 130, 517}) {
        std::vector<float> noise(static_cast<std::size_t>(count) + 1, 2.0F);
        const PhiloxStream stream{0x123456789ABCDEFULL, 77, 0x1000005};
        kernels.noise({stream.seed, stream.step, stream.purpose_and_tensor, begin, count, noise.data()});
        for (std::size_t i = 0; i + 1 < noise.size(); ++i) {
          ASSERT_EQ(noise[i], rounding_noise(philox_word(stream, begin + i)))
              << isa_name(isa) << ", element " << begin << " + " << i;
        }
        ASSERT_EQ(noise.back(), 2.0F) << isa_name(isa) << " writes behind a row of " << count;
      }
    }
  }
}

}  // namespace
}  // namespace bitcycle
