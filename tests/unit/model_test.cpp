// SPDX-License-Identifier: Apache-2.0
// The models: layers and MACs as in the recorded workloads, parameter names as in the paper's code.
#include "nn/models/model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <set>
#include <sstream>

#include "nn/io/safetensors.h"

namespace bitcycle {
namespace {

using ::testing::HasSubstr;

/// One row of a recorded workload.
std::string row_of(const MatrixOperation& operation) {
  const OperationShape& s = operation.shape;
  std::ostringstream row;
  row << operation.layer << ',' << operation.kind << ',' << s.c << ',' << s.h << ',' << s.w << ',' << s.o << ','
      << s.out_h() << ',' << s.out_w() << ',' << s.kh << ',' << s.stride_h << ',' << s.pad_top << ',' << s.groups << ','
      << s.macs();
  return row.str();
}

struct RecordedWorkload {
  const char* file;
  const char* model;
  std::int64_t classes;
};

class Workloads : public ::testing::TestWithParam<RecordedWorkload> {};

TEST_P(Workloads, HaveTheRecordedLayersAndMacs) {
  std::ifstream file(std::string(BITCYCLE_GOLDEN "/workloads/") + GetParam().file);
  std::string line;
  ASSERT_TRUE(std::getline(file, line)) << GetParam().file;
  const Workload workload = make_model(GetParam().model, GetParam().classes)->describe();
  for (const auto& operation : workload.matrix) {
    ASSERT_TRUE(std::getline(file, line)) << operation.layer;
    if (!line.empty() && line.back() == '\r') line.pop_back();
    ASSERT_EQ(row_of(operation), line);
  }
  EXPECT_FALSE(std::getline(file, line)) << line;
}

INSTANTIATE_TEST_SUITE_P(Recorded, Workloads,
                         ::testing::Values(RecordedWorkload{"cifar10_resnet_38.csv", "resnet38", 10},
                                           RecordedWorkload{"cifar100_resnet_38.csv", "resnet38", 100},
                                           RecordedWorkload{"cifar100_resnet_74.csv", "resnet74", 100},
                                           RecordedWorkload{"cifar100_resnet_110.csv", "resnet110", 100},
                                           RecordedWorkload{"cifar100_resnet_152.csv", "resnet152", 100}),
                         [](const auto& param) {
                           return std::string(param.param.model) + "_" + std::to_string(param.param.classes);
                         });

TEST(Model, Resnet74For100ClassesHas168220928Macs) {
  EXPECT_EQ(make_model("resnet74", 100)->describe().macs(), 168220928);
}

TEST(Model, EveryResnetOfTheFamilyIsThere) {
  const std::vector<std::string> expected{"resnet8",  "resnet14", "resnet20",  "resnet32",  "resnet38", "resnet44",
                                          "resnet56", "resnet74", "resnet110", "resnet152", "resnet164"};
  EXPECT_EQ(model_names(), expected);
  for (const auto& name : expected) {
    const std::int64_t depth = std::stoll(name.substr(6));
    // Two convolutions a block and the stem, two projections, the classifier.
    EXPECT_EQ(static_cast<std::int64_t>(make_model(name, 10)->describe().matrix.size()), depth - 1 + 2 + 1) << name;
  }
}

TEST(Model, Resnet8HasTheParametersOfThePapersCodeAndTheRunningRanges) {
  const auto network = make_model("resnet8", 10);
  std::set<std::string> names, ranges;
  for (const auto& parameter : network->parameters().all()) {
    const bool range = parameter.name.find(".quantize_input.running_") != std::string::npos;
    (range ? ranges : names).insert(parameter.name);
    if (range) {
      EXPECT_EQ(parameter.shape, (std::vector<std::int64_t>{1, 1, 1, 1}));
    }
  }
  std::set<std::string> expected;
  for (const auto& tensor : read_safetensors(BITCYCLE_GOLDEN "/steps/resnet8_b8_g16/init.safetensors").tensors) {
    expected.insert(tensor.name);
    const Parameter* parameter = network->parameters().find(tensor.name);
    ASSERT_NE(parameter, nullptr) << tensor.name;
    EXPECT_EQ(parameter->shape, tensor.shape) << tensor.name;
  }
  EXPECT_EQ(names, expected);
  EXPECT_EQ(ranges.size(), 2 * network->convolutions().size());
  EXPECT_TRUE(ranges.count("group2_layer0.downsample.quantize_input.running_zero_point"));
}

TEST(Model, AnUnknownNameIsAnErrorThatListsTheKnownOnes) {
  try {
    make_model("resnet9", 10);
    FAIL();
  } catch (const std::invalid_argument& error) {
    EXPECT_THAT(error.what(), HasSubstr("'resnet9'"));
    EXPECT_THAT(error.what(), HasSubstr("resnet8, resnet14"));
  }
}

TEST(Model, FewerThanTwoClassesAreAnError) { EXPECT_THROW(make_model("resnet8", 1), std::invalid_argument); }

TEST(Model, AShortcutOfAnotherShapeIsRefused) {
  Network network("broken");
  Value* x = network.images(8, 8, 3);
  x = network.conv_norm(x, {"conv1", "bn1", 4, 3, 1, 1, 1});
  Value* hidden = network.conv_norm(x, {"conv2", "bn2", 8, 3, 1, 1, 1});
  EXPECT_THROW(network.conv_norm(hidden, {"conv3", "bn3", 8, 3, 1, 1, 1}, x), std::logic_error);
}

TEST(Model, TwoParametersOfOneNameAreRefused) {
  Network network("broken");
  Value* x = network.images(8, 8, 3);
  x = network.conv_norm(x, {"conv1", "bn1", 4, 3, 1, 1, 1});
  EXPECT_THROW(network.conv_norm(x, {"conv1", "bn2", 4, 3, 1, 1, 1}), std::logic_error);
}

}  // namespace
}  // namespace bitcycle
