// SPDX-License-Identifier: Apache-2.0
// Recorded steps and trajectories of whole networks, replayed on every device that this machine has.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "nn/train/replay_report.h"
#include "tests/golden/devices.h"
#include "tests/golden/source_paths.h"
#include "tests/golden/temporary_folder.h"

namespace bitcycle {
namespace {

using ::testing::HasSubstr;
namespace fs = std::filesystem;

using test::NamedLibrary;

class NetworkReplay : public ::testing::TestWithParam<NamedLibrary> {
 protected:
  ReplayReport replay(const fs::path& case_dir, const std::optional<fs::path>& data = {}) {
    return replay_case({case_dir, data, std::nullopt}, *device_);
  }
  void expect_ok(const ReplayReport& report) {
    EXPECT_TRUE(report.ok());
    for (const auto& line : report.lines) {
      EXPECT_TRUE(line.ok) << line.name << ": " << line.deviation << " > " << line.tolerance << " " << line.note;
    }
  }
  std::unique_ptr<Device> device_ = device_of(GetParam());
};

#define SKIP_WITHOUT_BACKEND() \
  if (!device_) GTEST_SKIP() << "this machine does not have " << GetParam().name

TEST_P(NetworkReplay, Step8Bit) {
  SKIP_WITHOUT_BACKEND();
  const ReplayReport report = replay(test::golden_path("/steps/resnet8_b8_g16"));
  EXPECT_EQ(report.kind, "step");
  EXPECT_EQ(report.lines.size(), 1U + 29U + 18U);  // loss, gradients, running statistics
  expect_ok(report);
}

TEST_P(NetworkReplay, Step16Bit) {
  SKIP_WITHOUT_BACKEND();
  expect_ok(replay(test::golden_path("/steps/resnet8_b16_g16")));
}

TEST_P(NetworkReplay, StepOfMobileNetV2) {
  SKIP_WITHOUT_BACKEND();
  expect_ok(replay(test::golden_path("/steps/mobilenet_v2_b8_g16")));
}

TEST_P(NetworkReplay, StepOfResNet18) {
  SKIP_WITHOUT_BACKEND();
  expect_ok(replay(test::golden_path("/steps/imagenet_resnet18_b8_g16")));
}

TEST_P(NetworkReplay, StepsOfAnLstm) {
  SKIP_WITHOUT_BACKEND();
  for (const char* name : {"lstm_v50_h16_b8_g16", "lstm_v50_h16_b8_g16_bias", "lstm_v50_h16_b16_g16"}) {
    const ReplayReport report = replay(fs::path(test::golden_path("/steps")) / name);
    EXPECT_EQ(report.lines.size(), 1U + 6U + 8U) << name;  // loss, gradients, ranges and what is handed on
    expect_ok(report);
  }
}

TEST_P(NetworkReplay, TrajectoryOfAnLstm) {
  SKIP_WITHOUT_BACKEND();
  const ReplayReport report = replay(test::golden_path("/trajectories/lstm_v200_h32_cpt_5_8"));
  EXPECT_EQ(report.lines.size(), 12U + 6U);  // losses, and what the first step changed
  expect_ok(report);
}

TEST_P(NetworkReplay, StepsOfATransformer) {
  SKIP_WITHOUT_BACKEND();
  for (const char* name :
       {"transformer_l2_d32_b8_g16", "transformer_l2_d32_b8_g16_linears", "transformer_l2_d32_b16_g16"}) {
    const ReplayReport report = replay(fs::path(test::golden_path("/steps")) / name);
    EXPECT_EQ(report.lines.size(), 1U + 35U + 42U) << name;  // loss, gradients, ranges
    expect_ok(report);
  }
}

/// Recorded by a model in binary64 that gives the other Transformer's recorded steps, too.
TEST_P(NetworkReplay, StepsOfATransformerWithBands) {
  SKIP_WITHOUT_BACKEND();
  for (const auto& [name, ranges] :
       {std::pair{"transformer_wiki103_l1_d32_b16_g16", 38U}, {"transformer_wiki103_l1_d32_b8_g16", 30U}}) {
    const ReplayReport report = replay(fs::path(test::golden_path("/steps")) / name);
    EXPECT_EQ(report.lines.size(), 1U + 23U + ranges) << name;
    expect_ok(report);
  }
}

TEST_P(NetworkReplay, TrajectoryOfATransformer) {
  SKIP_WITHOUT_BACKEND();
  const ReplayReport report = replay(test::golden_path("/trajectories/transformer_l2_d32_cpt_5_8"));
  EXPECT_EQ(report.lines.size(), 12U);
  expect_ok(report);
}

/// A few seconds on the best instruction set, so only there.
TEST_P(NetworkReplay, StepOfResNet50) {
  SKIP_WITHOUT_BACKEND();
  if (isa_name(machine_isas().back()) != GetParam().name) GTEST_SKIP() << "runs on the best instruction set alone";
  expect_ok(replay(test::golden_path("/steps/imagenet_resnet50_b16_g16")));
}

TEST_P(NetworkReplay, Trajectories) {
  SKIP_WITHOUT_BACKEND();
  const char* data = std::getenv("BITCYCLE_DATA");
  if (data == nullptr) GTEST_SKIP() << "BITCYCLE_DATA does not name a folder with CIFAR-10's binary files";
  for (const char* name : {"resnet8_cpt_3_8", "resnet8_static_8"}) {
    const ReplayReport report = replay(fs::path(test::golden_path("/trajectories")) / name, data);
    EXPECT_EQ(report.lines.size(), 20U);
    expect_ok(report);
  }
}

INSTANTIATE_TEST_SUITE_P(Backends, NetworkReplay, ::testing::ValuesIn(test::libraries_under_test()),
                         [](const auto& param) { return std::string(param.param.name); });

class MalformedCase : public ::testing::Test {
 protected:
  std::string error_of(const fs::path& case_dir) {
    try {
      replay_case({case_dir, std::nullopt, std::nullopt}, *device_);
    } catch (const std::runtime_error& error) {
      return error.what();
    }
    return "";
  }
  /// A copy of the recorded step, with something in its case.json replaced.
  fs::path copy_with(const std::string& from, const std::string& to) {
    fs::copy(test::golden_path("/steps/resnet8_b8_g16"), folder_.path(),
             fs::copy_options::recursive | fs::copy_options::overwrite_existing);
    std::ifstream in(folder_.path() / "case.json");
    std::string text((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
    const auto at = text.find(from);
    EXPECT_NE(at, std::string::npos);
    text.replace(at, from.size(), to);
    std::ofstream(folder_.path() / "case.json") << text;
    return folder_.path();
  }
  test::TemporaryFolder folder_;
  std::unique_ptr<Device> device_ = make_reference_device();
};

TEST_F(MalformedCase, ATrajectoryWithoutDataAsksForIt) {
  EXPECT_THAT(error_of(test::golden_path("/trajectories/resnet8_static_8")), HasSubstr("--data DIR"));
}

TEST_F(MalformedCase, AFolderWithoutCaseIsNamed) {
  EXPECT_THAT(error_of(folder_.path()), HasSubstr("case.json"));
  EXPECT_THAT(error_of(folder_.path() / "nothing"), HasSubstr("is no folder"));
}

TEST_F(MalformedCase, AnUnknownKindListsTheKnownOnes) {
  EXPECT_THAT(error_of(copy_with("\"step\"", "\"stride\"")), HasSubstr("operator, step, trajectory and images"));
}

TEST_F(MalformedCase, AMissingKeyIsNamed) {
  EXPECT_THAT(error_of(copy_with("\"grad_bits\"", "\"gradbits\"")),
              HasSubstr("'gradbits' means nothing in a case of this kind; did you mean 'grad_bits'?"));
}

TEST_F(MalformedCase, AKeyOfAnotherTypeIsNamed) {
  EXPECT_THAT(error_of(copy_with("\"bits\": 8", "\"bits\": \"8\"")), HasSubstr("not an integer"));
}

TEST_F(MalformedCase, ABatchThatTheArraysDoNotHaveIsAnError) {
  EXPECT_THAT(error_of(copy_with("\"batch\": 16", "\"batch\": 8")), HasSubstr("batch is 8"));
}

TEST_F(MalformedCase, AMissingArrayIsNamed) {
  const auto folder = copy_with("\"step\"", "\"step\"");
  fs::remove(folder / "x.npy");
  EXPECT_THAT(error_of(folder), HasSubstr("x.npy"));
}

TEST_F(MalformedCase, AWrongLossFails) {
  const auto folder = copy_with("\"loss\": 2.2818", "\"loss\": 2.3818");
  EXPECT_FALSE(replay_case({folder, std::nullopt, std::nullopt}, *device_).ok());
}

}  // namespace
}  // namespace bitcycle
