// SPDX-License-Identifier: Apache-2.0
// Units and ranges of an accelerator's constants: every unit converts as it says, and what no design can have is an
// error with file and line.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <limits>
#include <sstream>
#include <stdexcept>

#include "cost_models/accelerator.h"

namespace bitcycle::test {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

std::string shipped(const std::string& name) {
  std::ifstream file(BITCYCLE_SOURCE "/configs/accelerators/" + name + ".yaml");
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

/// A shipped file with a part of its text replaced.
std::string with(const std::string& name, const std::string& from, const std::string& to) {
  std::string text = shipped(name);
  const auto at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return text.replace(at, from.size(), to);
}

std::string error_of(const std::string& text, const std::vector<AcceleratorSetting>& settings = {}) {
  try {
    parse_accelerator(text, "a.yaml", settings);
  } catch (const std::invalid_argument& error) {
    return error.what();
  }
  return "no error";
}

TEST(Quantity, every_unit_converts) {
  const auto size = [](const std::string& value) {
    return parse_accelerator(with("systolic-int8", "{value: 64, unit: KiB", value), "a.yaml").buffers[0].size_bits;
  };
  EXPECT_EQ(size("{value: 64, unit: KiB"), 524288.0);
  EXPECT_EQ(size("{value: 64, unit: KB"), 512000.0);
  EXPECT_EQ(size("{value: 64, unit: kB"), 512000.0);
  EXPECT_EQ(size("{value: 2, unit: MiB"), 16777216.0);
  EXPECT_EQ(size("{value: 2, unit: MB"), 16000000.0);
  EXPECT_EQ(size("{value: 5120, unit: bit"), 5120.0);
  EXPECT_THAT(error_of(with("systolic-int8", "{value: 64, unit: KiB", "{value: 799, unit: bit")),
              HasSubstr("a.yaml:26: 'size' is too small: this design needs 100 words of 8 bits"));
  EXPECT_THAT(error_of(with("stripes", "size: {value: ", "size: {value: 1, unit: bit, source: s} #")),
              HasSubstr("'size' is too small: this design needs a word of 16 bits"));
  const auto bandwidth = [](const std::string& value) {  // stripes: 980 MHz
    return parse_accelerator(with("stripes", "{value: 256, unit: bit/cycle", value), "a.yaml").dram_bits_per_cycle;
  };
  EXPECT_EQ(bandwidth("{value: 256, unit: bit/cycle"), 256.0);
  EXPECT_EQ(bandwidth("{value: 32, unit: B/cycle"), 256.0);
  EXPECT_DOUBLE_EQ(bandwidth("{value: 31.36, unit: GB/s"), 256.0);
  EXPECT_DOUBLE_EQ(bandwidth("{value: 31360, unit: MB/s"), 256.0);
  EXPECT_DOUBLE_EQ(bandwidth("{value: 250.88, unit: Gbit/s"), 256.0);
  const auto clock = [](const std::string& value) {
    return parse_accelerator(with("bitfusion-45nm", "{value: 500, unit: MHz", value), "a.yaml").clock_hz;
  };
  EXPECT_EQ(clock("{value: 2, unit: ns"), 500e6);
  EXPECT_EQ(clock("{value: 0.5, unit: GHz"), 500e6);
  const auto dram = [](const std::string& value) {
    return parse_accelerator(with("bitfusion-45nm", "{value: 15, unit: pJ/bit", value), "a.yaml").dram_pj_per_bit;
  };
  EXPECT_EQ(dram("{value: 120, unit: pJ/B"), 15.0);
  EXPECT_EQ(dram("{value: 0.015, unit: nJ/bit"), 15.0);
  const auto area = [](const std::string& value) {
    return parse_accelerator(with("bitfusion-45nm", "{value: 2.14099, unit: mm2", value), "a.yaml").area_mm2;
  };
  EXPECT_EQ(area("{value: 2140990, unit: um2"), 2.14099);
  EXPECT_EQ(parse_accelerator(shipped("stripes"), "a.yaml").area_mm2, 0.0);
}

TEST(Quantity, a_setting_may_bring_its_unit) {
  const std::string text = shipped("systolic-int8");
  EXPECT_EQ(parse_accelerator(text, "a.yaml", {{"dram.bandwidth", "16 GB/s"}}).dram_bits_per_cycle, 128.0);
  EXPECT_EQ(parse_accelerator(text, "a.yaml", {{"buffers.ifmap.size", "1MiB"}}).buffers[0].size_bits, 8388608.0);
  EXPECT_EQ(parse_accelerator(text, "a.yaml", {{"leakage", "2 W"}}).leakage_mw, 2000.0);
  EXPECT_THAT(error_of(text, {{"dram.bandwidth", "16 GB"}}),
              AllOf(HasSubstr("--set accelerator.dram.bandwidth=16 GB"), HasSubstr("must be one of bit/cycle")));
  EXPECT_THAT(error_of(text, {{"dram.energy", "1e308"}}), HasSubstr("not possible"));
}

TEST(Quantity, impossible_values_are_errors_with_their_line) {
  for (const char* value : {"1e308", "-1", ".nan", ".inf", "-.inf", "1e-300", "1e7", "nan", "ten", "[1]", "''"}) {
    const std::string error = error_of(
        with("bitfusion-45nm", "{value: 15, unit: pJ/bit", "{value: " + std::string(value) + ", unit: pJ/bit"));
    EXPECT_THAT(error, AllOf(HasSubstr("a.yaml:40: 'dram.energy"), Not(HasSubstr("no error")))) << value;
  }
  EXPECT_THAT(error_of(with("bitfusion-45nm", "{value: 15, unit: pJ/bit", "{value: 1e308, unit: pJ/bit")),
              HasSubstr("'dram.energy' = 1e+308 pJ/bit is not possible: it must lie between 1e-9 pJ/bit and 1 uJ/bit"));
  for (const char* value : {"1e-300", "1e300", "0", "-1", ".inf", ".nan"}) {
    EXPECT_THAT(error_of(with("bitfusion-45nm", "{value: 192,", "{value: " + std::string(value) + ",")),
                HasSubstr("a.yaml:39: 'dram.bandwidth' = "))
        << value;
  }
  const auto each = [](const std::string& from, const std::string& to, const std::string& message) {
    EXPECT_THAT(error_of(with("bitfusion-45nm", from, to)), HasSubstr(message)) << to;
  };
  each("{value: 500, unit: MHz", "{value: 0, unit: MHz", "'clock' = 0 MHz must be above 0");
  each("{value: 500, unit: MHz", "{value: 1e30, unit: MHz", "'clock' = 1e+30 MHz is not possible");
  each("{value: 45, unit: nm", "{value: 1e9, unit: nm", "'technology' = 1000000000 nm is not possible");
  each("{value: 65536, unit: B", "{value: 1e30, unit: B", "'buffers.wbuf.size' = 1e+30 B is not possible");
  each("{value: 65536, unit: B", "{value: 0, unit: B", "must be above 0");
  each("{value: 0.235104,", "{value: 0,", "'compute.core' = 0 nJ/cycle must be above 0");
  each("{value: 0, unit: mW", "{value: 1e300, unit: mW", "'leakage' = 1e+300 mW is not possible");
  each("{value: 2.14099,", "{value: -2,", "'area' = -2 mm2 is negative");
  const std::string free = with("systolic-int8", "multiply: {value: 0.2", "multiply: {value: 0");
  EXPECT_EQ(error_of(free), "no error");  // an adder alone
  EXPECT_THAT(error_of(free, {{"compute.add", "0"}}), HasSubstr("would cost nothing"));
}

TEST(Quantity, a_design_of_ratios_takes_no_joules) {
  EXPECT_TRUE(parse_accelerator(shipped("eyeriss-relative"), "a.yaml").relative());
  EXPECT_THAT(error_of(with("eyeriss-relative", "{value: 12.5, unit: relative/bit", "{value: 12.5, unit: pJ/bit")),
              HasSubstr("'energies' says that this design states ratios only"));
  EXPECT_THAT(error_of(with("bitfusion-45nm", "{value: 15, unit: pJ/bit", "{value: 15, unit: relative/bit")),
              HasSubstr("ratios need 'energies: {relative_to: ...}'"));
  EXPECT_THAT(error_of(shipped("eyeriss-relative"), {{"leakage", "3 mW"}}), HasSubstr("a power"));
  EXPECT_THAT(error_of(with("eyeriss-relative", "energies: {", "energies: some # {")),
              HasSubstr("'energies' must be 'absolute'"));
}

}  // namespace
}  // namespace bitcycle::test
