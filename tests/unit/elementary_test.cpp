// SPDX-License-Identifier: Apache-2.0
// Elementary functions against long double on dense samples, at special arguments, and where they matter most: the
// steps at which a cyclic schedule changes its width.
#include "sim/number/elementary.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <fstream>
#include <limits>
#include <map>
#include <numbers>
#include <sstream>
#include <string>
#include <tuple>
#include <vector>

#include "sim/number/philox.h"

namespace bitcycle {
namespace {

/// Largest error in units in the last place over `count` arguments made by argument(uniform in [0, 1)).
template <typename Real, typename Function, typename Exact, typename Argument>
double largest_error(Function function, Exact exact, Argument argument, int count = 400000) {
  constexpr int kDigits = std::numeric_limits<Real>::digits;
  const PhiloxStream stream = philox_stream(11, 0, RandomPurpose::kSyntheticData, 0);
  double worst = 0.0;
  for (int i = 0; i < count; ++i) {
    const auto element = static_cast<std::uint64_t>(2 * i);
    const std::uint64_t bits = (std::uint64_t{philox_word(stream, element)} << 21) ^ philox_word(stream, element + 1);
    const auto x = static_cast<Real>(argument(static_cast<double>(bits) * 0x1p-53));
    const long double expected = exact(static_cast<long double>(x));
    int exponent = 0;
    std::frexp(expected, &exponent);
    const long double error = std::fabs(static_cast<long double>(function(x)) - expected);
    worst = std::max(worst, static_cast<double>(std::ldexp(error, kDigits - exponent)));
  }
  return worst;
}

TEST(Elementary, sigmoid_and_tanh_are_rounded_once) {
  const auto around_zero = [](double t) { return 40.0 * t - 20.0; };
  const auto tiny = [](double t) { return std::exp2(-30.0 * t) * (t < 0.5 ? 1.0 : -1.0); };
  const auto sigmoid = [](long double x) { return 1.0L / (1.0L + std::exp(-x)); };
  const auto tangent = [](long double x) { return std::tanh(x); };
  EXPECT_LT(largest_error<float>(sigmoid_f32, sigmoid, around_zero), 0.5001);
  EXPECT_LT(largest_error<float>(tanh_f32, tangent, around_zero), 0.5001);
  EXPECT_LT(largest_error<float>(tanh_f32, tangent, tiny), 0.5001);
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  EXPECT_EQ(sigmoid_f32(kInfinity), 1.0F);
  EXPECT_EQ(sigmoid_f32(-kInfinity), 0.0F);
  EXPECT_EQ(sigmoid_f32(0.0F), 0.5F);
  EXPECT_EQ(tanh_f32(kInfinity), 1.0F);
  EXPECT_EQ(tanh_f32(-kInfinity), -1.0F);
  EXPECT_TRUE(std::signbit(tanh_f32(-0.0F)));
  EXPECT_TRUE(std::isnan(sigmoid_f32(std::nanf(""))));
  EXPECT_TRUE(std::isnan(tanh_f32(std::nanf(""))));
}

TEST(Elementary, binary64_functions_stay_below_one_unit_in_the_last_place) {
  const auto around_zero = [](double t) { return 20.0 * t - 10.0; };
  const auto far = [](double t) { return 2e6 * t - 1e6; };
  const auto cosine = [](long double x) { return std::cos(x); };
  const auto sine = [](long double x) { return std::sin(x); };
  EXPECT_LT(largest_error<double>(cos_f64, cosine, around_zero), 1.0);
  EXPECT_LT(largest_error<double>(cos_f64, cosine, far), 1.0);
  EXPECT_LT(largest_error<double>(sin_f64, sine, around_zero), 1.0);
  EXPECT_LT(largest_error<double>(sin_f64, sine, far), 1.0);
  EXPECT_LT(largest_error<double>(
                exp_f64, [](long double x) { return std::exp(x); }, [](double t) { return 1400.0 * t - 700.0; }),
            1.0);
  EXPECT_LT(
      largest_error<double>(
          log_f64, [](long double x) { return std::log(x); }, [](double t) { return std::exp2(2000.0 * t - 1000.0); }),
      1.0);
  EXPECT_LT(largest_error<double>(
                log_f64, [](long double x) { return std::log(x); }, [](double t) { return 0.5 + 1.5 * t; }),
            1.0);
}

TEST(Elementary, binary32_functions_stay_below_0_5001_units) {
  EXPECT_LT(largest_error<float>(
                exp_f32, [](long double x) { return std::exp(x); }, [](double t) { return 170.0 * t - 85.0; }),
            0.5001);
  EXPECT_LT(
      largest_error<float>(
          log_f32, [](long double x) { return std::log(x); }, [](double t) { return std::exp2(250.0 * t - 125.0); }),
      0.5001);
}

TEST(Elementary, special_arguments_have_exact_values) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  EXPECT_EQ(cos_f64(0.0), 1.0);
  EXPECT_EQ(sin_f64(0.0), 0.0);
  EXPECT_EQ(cos_f64(std::numbers::pi), -1.0);
  EXPECT_EQ(cos_f64(2.0 * std::numbers::pi), 1.0);
  EXPECT_EQ(exp_f64(0.0), 1.0);
  EXPECT_EQ(exp_f64(1000.0), kInfinity);
  EXPECT_EQ(exp_f64(-1000.0), 0.0);
  EXPECT_EQ(exp_f64(-kInfinity), 0.0);
  EXPECT_EQ(exp_f32(-200.0F), 0.0F);
  EXPECT_EQ(log_f64(1.0), 0.0);
  EXPECT_EQ(log_f64(0.0), -kInfinity);
  EXPECT_EQ(log_f64(kInfinity), kInfinity);
  EXPECT_TRUE(std::isnan(log_f64(-1.0)));
  EXPECT_TRUE(std::isnan(exp_f64(std::nan(""))));
  EXPECT_NEAR(log_f64(5e-324), -744.4400719213812, 1e-12);
}

/// b = rint(min + 0.5 (max - min) (1 + cos(pi ((t mod P) / P) + pi))), as docs/numerics.md, 1.3 writes it.
int cyclic_bits(int min, int max, std::int64_t period, std::int64_t step) {
  const double fraction = static_cast<double>(step % period) / static_cast<double>(period);
  const double cosine = cos_f64(std::numbers::pi * fraction + std::numbers::pi);
  return static_cast<int>(std::rint(min + 0.5 * (max - min) * (1.0 + cosine)));
}

TEST(Elementary, cosine_gives_the_recorded_dwell_tables_to_the_step) {
  std::ifstream in(std::string(BITCYCLE_GOLDEN) + "/schedules/cyclic_cosine.csv");
  std::string line;
  ASSERT_TRUE(std::getline(in, line));
  std::map<std::tuple<int, int, std::int64_t, std::int64_t>, std::vector<std::pair<std::int64_t, int>>> tables;
  while (std::getline(in, line)) {
    for (char& c : line) c = c == ',' ? ' ' : c;
    std::istringstream fields(line);
    int min = 0, max = 0, bits = 0;
    std::int64_t steps = 0, cycles = 0, first = 0;
    ASSERT_TRUE(fields >> min >> max >> steps >> cycles >> first >> bits) << line;
    tables[{min, max, steps, cycles}].emplace_back(first, bits);
  }
  ASSERT_GT(tables.size(), 3U);
  for (const auto& [key, changes] : tables) {
    const auto [min, max, steps, cycles] = key;
    std::vector<std::pair<std::int64_t, int>> found;
    for (std::int64_t step = 0; step <= changes.back().first; ++step) {
      const int bits = cyclic_bits(min, max, steps / cycles, step);
      if (found.empty() || found.back().second != bits) found.emplace_back(step, bits);
    }
    EXPECT_EQ(found, changes) << min << "-" << max << " " << steps << "/" << cycles;
  }
}

TEST(Elementary, the_midpoint_of_3_to_8_bits_is_6) { EXPECT_EQ(cyclic_bits(3, 8, 2000, 1000), 6); }

}  // namespace
}  // namespace bitcycle
