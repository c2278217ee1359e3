// SPDX-License-Identifier: Apache-2.0
// Every recorded operator on every device: codes and scales to the bit, results within the contract's tolerances.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "nn/io/npy.h"
#include "nn/train/replay_operator.h"
#include "tests/golden/devices.h"
#include "tests/golden/source_paths.h"
#include "tests/golden/temporary_folder.h"

namespace bitcycle {
namespace {

namespace fs = std::filesystem;

std::vector<std::string> case_names() {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(test::golden_path("/ops"))) {
    names.push_back(entry.path().filename().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

using test::tested_devices;

fs::path golden_case(const std::string& name) { return fs::path(test::golden_path("/ops")) / name; }

/// Arrays that a case records; dx counts twice, for its two grids.
std::size_t lines_of(const std::string& name) {
  if (name == "adamw") return 3;
  if (name == "sgd_clipped") return 2;
  if (name.starts_with("attention") || name.starts_with("matmul")) return 15;
  if (name.starts_with("linear_row")) return name.ends_with("_bias") ? 24 : 21;
  return 17;
}

class OperatorReplay : public ::testing::TestWithParam<std::string> {};

TEST_P(OperatorReplay, holds_on_every_backend) {
  for (const auto& device : tested_devices()) {
    const ReplayReport report = replay_operator(golden_case(GetParam()), *device, std::nullopt);
    EXPECT_EQ(report.lines.size(), lines_of(GetParam())) << device->name();
    for (const ReplayLine& line : report.lines) {
      EXPECT_TRUE(line.ok) << device->name() << ": " << line.name << " deviates by " << line.deviation << ", tolerance "
                           << line.tolerance << " " << line.note;
    }
    EXPECT_TRUE(report.ok()) << device->name();
  }
}

INSTANTIATE_TEST_SUITE_P(Golden, OperatorReplay, ::testing::ValuesIn(case_names()),
                         [](const auto& parameter) { return parameter.param; });

TEST(OperatorReplayCases, are_the_twenty_recorded_ones) { EXPECT_EQ(case_names().size(), 20U); }

TEST(OperatorReplayOut, writes_codes_scales_accumulators_and_results_in_file_layout) {
  const test::TemporaryFolder folder;
  const auto device = make_reference_device();
  replay_operator(golden_case("conv3x3_stem_b5_g8"), *device, folder.path() / "new" / "out");
  const fs::path recorded = golden_case("conv3x3_stem_b5_g8");
  for (const char* name : {"qx", "qw", "qg", "lo_x", "s_x", "lo_w", "s_w", "lo_g", "s_g", "qw_requantised"}) {
    const std::string file = std::string(name) + ".npy";
    const NpyArray written = read_npy(folder.path() / "new" / "out" / file);
    const NpyArray expected = read_npy(recorded / file);
    EXPECT_EQ(written.shape, expected.shape) << name;
    EXPECT_EQ(written.type, expected.type) << name;
    EXPECT_EQ(written.data, expected.data) << name;
  }
  const NpyArray sums = read_npy(folder.path() / "new" / "out" / "accumulators_y.npy");
  EXPECT_EQ(sums.type, NpyType::kInt64);
  EXPECT_EQ(sums.shape, (std::vector<std::int64_t>{3, 16, 10, 10}));
}

/// A copy of a case that a test may damage.
class DamagedCase : public ::testing::Test {
 protected:
  void SetUp() override {
    case_ = folder_.path() / "case";
    fs::copy(golden_case("conv3x3_b3_g8"), case_, fs::copy_options::recursive);
    fs::permissions(case_, fs::perms::owner_all, fs::perm_options::add);
    for (const auto& entry : fs::directory_iterator(case_)) {
      fs::permissions(entry.path(), fs::perms::owner_write, fs::perm_options::add);
    }
  }

  std::string error() {
    const auto device = make_reference_device();
    try {
      replay_operator(case_, *device, std::nullopt);
    } catch (const std::runtime_error& caught) {
      return caught.what();
    }
    return "";
  }

  void replace_in_case_json(const std::string& from, const std::string& to) {
    std::ifstream in(case_ / "case.json");
    std::string text((std::istreambuf_iterator<char>(in)), {});
    const auto at = text.find(from);
    ASSERT_NE(at, std::string::npos);
    text.replace(at, from.size(), to);
    std::ofstream(case_ / "case.json") << text;
  }

  test::TemporaryFolder folder_;
  fs::path case_;
};

TEST_F(DamagedCase, a_changed_code_is_not_ok) {
  NpyArray codes = read_npy(case_ / "qx.npy");
  codes.data[17] ^= std::byte{1};
  write_npy(case_ / "qx.npy", codes);
  const auto device = make_reference_device();
  const ReplayReport report = replay_operator(case_, *device, std::nullopt);
  EXPECT_FALSE(report.ok());
  EXPECT_FALSE(report.lines.front().ok);
  EXPECT_EQ(report.lines.front().name, "qx");
}

TEST_F(DamagedCase, a_result_that_deviates_is_not_ok) {
  NpyArray y = read_npy(case_ / "y.npy");
  std::vector<double> values = y.values<double>();
  values[3] += 1e-3;
  write_npy(case_ / "y.npy", make_npy<double>(y.shape, std::span<const double>(values)));
  const auto device = make_reference_device();
  EXPECT_FALSE(replay_operator(case_, *device, std::nullopt).ok());
}

TEST_F(DamagedCase, a_missing_array_is_named) {
  fs::remove(case_ / "dx.npy");
  EXPECT_THAT(error(), ::testing::HasSubstr("dx.npy"));
}

TEST_F(DamagedCase, a_truncated_array_is_named_with_its_lengths) {
  fs::resize_file(case_ / "x.npy", fs::file_size(case_ / "x.npy") - 5);
  EXPECT_THAT(error(), ::testing::AllOf(::testing::HasSubstr("x.npy"), ::testing::HasSubstr("truncated")));
}

TEST_F(DamagedCase, a_missing_key_is_named_with_what_was_expected) {
  replace_in_case_json("\"stride\"", "\"strife\"");
  EXPECT_THAT(error(), ::testing::HasSubstr("'strife' means nothing in a case of this kind; did you mean 'stride'?"));
}

TEST_F(DamagedCase, an_impossible_width_is_named) {
  replace_in_case_json("\"bits\": 3", "\"bits\": 33");
  EXPECT_THAT(error(), ::testing::AllOf(::testing::HasSubstr("'bits'"), ::testing::HasSubstr("2..32")));
}

TEST_F(DamagedCase, a_wrong_shape_is_named) {
  const std::vector<float> values(16 * 5 * 3 * 3, 0.5F);
  write_npy(case_ / "w.npy", make_npy<float>({16, 5, 3, 3}, values));
  EXPECT_THAT(error(), ::testing::HasSubstr("w.npy"));
}

TEST_F(DamagedCase, json_that_does_not_parse_is_named) {
  std::ofstream(case_ / "case.json") << "{";
  EXPECT_THAT(error(), ::testing::HasSubstr("case.json"));
}

}  // namespace
}  // namespace bitcycle
