// SPDX-License-Identifier: Apache-2.0
// The state of a network: initial values, loading and saving, digests.
#include "nn/models/state.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "nn/models/tensor_id.h"
#include "nn/run/network_state.h"
#include "sim/device/device.h"
#include "small_network.h"

namespace bitcycle::test {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class StateFiles : public ::testing::Test {
 protected:
  StateFiles() { initialise(state_, 1); }
  NamedTensor tensor(const std::string& name) {
    for (auto& t : save_state(state_)) {
      if (t.name == name) return t;
    }
    ADD_FAILURE() << name;
    return {};
  }
  std::string error_of(const TensorFile& file, bool whole) {
    try {
      whole ? load_state(state_, file, "weights.safetensors") : load_weights(state_, file, "weights.safetensors");
    } catch (const std::runtime_error& error) {
      return error.what();
    }
    return "";
  }

  std::unique_ptr<Device> device_ = make_reference_device();
  std::unique_ptr<builder::NetworkProgram> network_ =
      small_network(small_options(2, {BitWidth::integer(8), BitWidth::integer(8)}));
  NetworkState state_{*network_, device_->make_state(network_->program)};
};

TEST_F(StateFiles, InitialValuesHaveTheDeviationsOfTheContract) {
  const auto deviation = [&](const std::string& name) {
    const auto data = tensor(name).data;
    double squares = 0.0;
    for (const float x : data) squares += static_cast<double>(x) * static_cast<double>(x);
    return std::sqrt(squares / static_cast<double>(data.size()));
  };
  EXPECT_NEAR(deviation("b.conv2.weight"), std::sqrt(2.0 / (9 * 6)), 0.03);
  EXPECT_NEAR(deviation("conv1.weight"), std::sqrt(2.0 / (9 * 4)), 0.06);
  for (const float x : tensor("bn1.weight").data) EXPECT_EQ(x, 1.0F);
  for (const float x : tensor("bn1.bias").data) EXPECT_EQ(x, 0.0F);
  for (const float x : tensor("bn1.running_mean").data) EXPECT_EQ(x, 0.0F);
  for (const float x : tensor("bn1.running_var").data) EXPECT_EQ(x, 1.0F);
  for (const float x : tensor("conv1.quantize_input.running_range").data) EXPECT_EQ(x, 0.0F);
  for (const float x : tensor("fc.bias").data) EXPECT_LT(std::fabs(x), 1.0F / std::sqrt(6.0F));
  EXPECT_NE(tensor("fc.bias").data[0], 0.0F);
}

TEST_F(StateFiles, InitialValuesDependOnTheSeedAndNothingElse) {
  const Digest128 first = digest_state(state_).root;
  initialise(state_, 2);
  EXPECT_NE(digest_state(state_).root, first);
  initialise(state_, 1);
  EXPECT_EQ(digest_state(state_).root, first);
}

TEST_F(StateFiles, ConvolutionsAreSavedAsOihw) {
  // Device order (o, kh, kw, i): the element behind the first is the next input channel; in a file it is the next tap.
  std::vector<float> values(static_cast<std::size_t>(network_->parameters.size()));
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i);
  state_.set_values(values);
  const auto offset = static_cast<float>(network_->parameters.find("a.conv1.weight")->offset);
  const auto saved = tensor("a.conv1.weight");
  EXPECT_EQ(saved.shape, (std::vector<std::int64_t>{4, 4, 3, 3}));
  EXPECT_EQ(saved.data[0] - offset, 0.0F);
  EXPECT_EQ(saved.data[1] - offset, 4.0F);    // tap (0, 1), channel 0
  EXPECT_EQ(saved.data[9] - offset, 1.0F);    // tap (0, 0), channel 1
  EXPECT_EQ(saved.data[36] - offset, 36.0F);  // output 1
}

TEST_F(StateFiles, LoadingWhatWasSavedGivesTheSameDigest) {
  TensorFile file;
  file.tensors = save_state(state_);
  const Digest128 before = digest_state(state_).root;
  initialise(state_, 9);
  load_state(state_, file, "file");
  EXPECT_EQ(digest_state(state_).root, before);
}

TEST_F(StateFiles, AModulePrefixAndUnusedTensorsAreAccepted) {
  TensorFile file;
  file.tensors = save_state(state_);
  for (auto& t : file.tensors) t.name = "module." + t.name;
  file.tensors.push_back({"module.a.bn3.weight", {4}, {1, 1, 1, 1}});
  file.tensors.push_back({"module.bn1.num_batches_tracked", {}, {7}});
  const Digest128 before = digest_state(state_).root;
  initialise(state_, 9);
  load_state(state_, file, "file");
  EXPECT_EQ(digest_state(state_).root, before);
}

TEST_F(StateFiles, TensorsOfLayersThatTheModelDoesNotHaveAreAnError) {
  TensorFile file;
  file.tensors = save_state(state_);
  file.tensors.push_back({"module.group1_layer9.conv1.weight", {1}, {1}});
  file.tensors.push_back({"momentum/group1_layer9.conv1.weight", {1}, {1}});
  for (const bool whole : {false, true}) {
    const std::string error = error_of(file, whole);
    EXPECT_THAT(error, HasSubstr("layers that the model does not have: group1_layer9.conv1.weight"));
  }
}

TEST_F(StateFiles, WeightsMayComeWithoutRunningRangesACheckpointMayNot) {
  TensorFile file;
  for (auto& t : save_state(state_)) {
    if (t.name.find("quantize_input") == std::string::npos) file.tensors.push_back(t);
  }
  EXPECT_EQ(error_of(file, false), "");
  EXPECT_THAT(error_of(file, true), HasSubstr("missing: conv1.quantize_input.running_zero_point"));
}

TEST_F(StateFiles, WhatIsMissingOrWrongIsNamedAndNothingIsChanged) {
  TensorFile file;
  for (auto& t : save_state(state_)) {
    if (t.name == "bn1.bias") continue;
    if (t.name == "fc.weight") {
      t.shape = {6, 5};
    } else if (t.name == "conv1.weight") {
      t.data[3] = std::numeric_limits<float>::infinity();
    } else {
      for (auto& x : t.data) x = 0.5F;
    }
    file.tensors.push_back(t);
  }
  const Digest128 before = digest_state(state_).root;
  const std::string error = error_of(file, false);
  EXPECT_THAT(error, HasSubstr("weights.safetensors does not fit the model small"));
  EXPECT_THAT(error, HasSubstr("missing: bn1.bias"));
  EXPECT_THAT(error, HasSubstr("fc.weight is [6, 5], the model's [5, 6]"));
  EXPECT_THAT(error, HasSubstr("conv1.weight holds a number that is not finite"));
  EXPECT_EQ(digest_state(state_).root, before);
}

TEST_F(StateFiles, TheDigestCoversEveryTensorAndMomentum) {
  const auto state = save_state(state_);
  const StateDigest digest = digest_state(state_);
  EXPECT_EQ(digest.tensors.size(), state.size());
  EXPECT_TRUE(std::is_sorted(digest.tensors.begin(), digest.tensors.end()));
  for (const auto& t : state) {
    TensorFile file;
    file.tensors = state;
    for (auto& changed : file.tensors) {
      if (changed.name == t.name) changed.data.back() += 1.0F;
    }
    load_state(state_, file, "file");
    EXPECT_NE(digest_state(state_).root, digest.root) << t.name;
  }
}

TEST_F(StateFiles, ANumberThatIsNotFiniteIsFoundByName) {
  EXPECT_EQ(non_finite_state(state_), "");
  const Parameter* parameter = network_->parameters.find("b.bn3.weight");
  auto momenta = state_.momenta();
  momenta[parameter->offset + 2] = std::numeric_limits<float>::quiet_NaN();
  state_.set_momenta(momenta);
  EXPECT_EQ(non_finite_state(state_), "momentum/b.bn3.weight");
}

TEST(TensorId, IsTheLow24BitsOfXxh64) {
  // XXH64("") with seed 0 is ef46db3751d8e999.
  EXPECT_EQ(tensor_id(""), 0xd8e999U);
  EXPECT_LT(tensor_id("conv1.weight"), 1U << 24);
}

TEST(TensorId, TwoNamesWithOneIdAreRefused) {
  EXPECT_NO_THROW(check_tensor_ids({"a", "b"}));
  EXPECT_THROW(check_tensor_ids({"a", "b", "a"}), std::invalid_argument);
}

}  // namespace
}  // namespace bitcycle::test
