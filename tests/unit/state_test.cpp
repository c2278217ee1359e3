// SPDX-License-Identifier: Apache-2.0
// The state of a network: initial values, loading and saving, digests.
#include "nn/models/state.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "nn/layers/tensor_id.h"
#include "small_network.h"

namespace bitcycle::test {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class State : public ::testing::Test {
 protected:
  State() { allocate(*network_); }
  void allocate(Network& network) {
    const LayerWidths width{BitWidth::integer(8), BitWidth::integer(8)};
    network.allocate(*backend_, 2, std::vector<LayerWidths>(network.convolutions().size(), width));
    initialise(network, *backend_, 1);
  }
  NamedTensor tensor(const Network& network, const std::string& name) {
    for (auto& t : save_state(network, *backend_)) {
      if (t.name == name) return t;
    }
    ADD_FAILURE() << name;
    return {};
  }
  std::string error_of(const TensorFile& file, bool whole) {
    try {
      whole ? load_state(*network_, *backend_, file, "weights.safetensors")
            : load_weights(*network_, *backend_, file, "weights.safetensors");
    } catch (const std::runtime_error& error) {
      return error.what();
    }
    return "";
  }

  std::unique_ptr<Backend> backend_ = make_reference_backend();
  std::unique_ptr<Network> network_ = small_network();
};

TEST_F(State, InitialValuesHaveTheDeviationsOfTheContract) {
  const auto deviation = [&](const std::string& name) {
    const auto data = tensor(*network_, name).data;
    double squares = 0.0;
    for (const float x : data) squares += static_cast<double>(x) * static_cast<double>(x);
    return std::sqrt(squares / static_cast<double>(data.size()));
  };
  EXPECT_NEAR(deviation("b.conv2.weight"), std::sqrt(2.0 / (9 * 6)), 0.03);
  EXPECT_NEAR(deviation("conv1.weight"), std::sqrt(2.0 / (9 * 4)), 0.06);
  for (const float x : tensor(*network_, "bn1.weight").data) EXPECT_EQ(x, 1.0F);
  for (const float x : tensor(*network_, "bn1.bias").data) EXPECT_EQ(x, 0.0F);
  for (const float x : tensor(*network_, "bn1.running_mean").data) EXPECT_EQ(x, 0.0F);
  for (const float x : tensor(*network_, "bn1.running_var").data) EXPECT_EQ(x, 1.0F);
  for (const float x : tensor(*network_, "conv1.quantize_input.running_range").data) EXPECT_EQ(x, 0.0F);
  for (const float x : tensor(*network_, "fc.bias").data) EXPECT_LT(std::fabs(x), 1.0F / std::sqrt(6.0F));
  EXPECT_NE(tensor(*network_, "fc.bias").data[0], 0.0F);
}

TEST_F(State, InitialValuesDependOnTheSeedAndNothingElse) {
  const Digest128 first = digest_state(*network_, *backend_).root;
  initialise(*network_, *backend_, 2);
  EXPECT_NE(digest_state(*network_, *backend_).root, first);
  initialise(*network_, *backend_, 1);
  EXPECT_EQ(digest_state(*network_, *backend_).root, first);
}

TEST_F(State, ConvolutionsAreSavedAsOihw) {
  // Device order (o, kh, kw, i): the element behind the first is the next input channel; in a file it is the next tap.
  std::vector<float> values(static_cast<std::size_t>(network_->parameters().size()));
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i);
  backend_->to_device(network_->parameters().values(), values.data(), values.size() * sizeof(float));
  const auto offset = static_cast<float>(network_->parameters().find("a.conv1.weight")->offset);
  const auto saved = tensor(*network_, "a.conv1.weight");
  EXPECT_EQ(saved.shape, (std::vector<std::int64_t>{4, 4, 3, 3}));
  EXPECT_EQ(saved.data[0] - offset, 0.0F);
  EXPECT_EQ(saved.data[1] - offset, 4.0F);    // tap (0, 1), channel 0
  EXPECT_EQ(saved.data[9] - offset, 1.0F);    // tap (0, 0), channel 1
  EXPECT_EQ(saved.data[36] - offset, 36.0F);  // output 1
}

TEST_F(State, LoadingWhatWasSavedGivesTheSameDigest) {
  TensorFile file;
  file.tensors = save_state(*network_, *backend_);
  const Digest128 before = digest_state(*network_, *backend_).root;
  initialise(*network_, *backend_, 9);
  load_state(*network_, *backend_, file, "file");
  EXPECT_EQ(digest_state(*network_, *backend_).root, before);
}

TEST_F(State, AModulePrefixAndUnusedTensorsAreAccepted) {
  TensorFile file;
  file.tensors = save_state(*network_, *backend_);
  for (auto& t : file.tensors) t.name = "module." + t.name;
  file.tensors.push_back({"module.a.bn3.weight", {4}, {1, 1, 1, 1}});
  file.tensors.push_back({"module.bn1.num_batches_tracked", {}, {7}});
  const Digest128 before = digest_state(*network_, *backend_).root;
  initialise(*network_, *backend_, 9);
  load_state(*network_, *backend_, file, "file");
  EXPECT_EQ(digest_state(*network_, *backend_).root, before);
}

TEST_F(State, TensorsOfLayersThatTheModelDoesNotHaveAreAnError) {
  TensorFile file;
  file.tensors = save_state(*network_, *backend_);
  file.tensors.push_back({"module.group1_layer9.conv1.weight", {1}, {1}});
  file.tensors.push_back({"momentum/group1_layer9.conv1.weight", {1}, {1}});
  for (const bool whole : {false, true}) {
    const std::string error = error_of(file, whole);
    EXPECT_THAT(error, HasSubstr("layers that the model does not have: group1_layer9.conv1.weight"));
  }
}

TEST_F(State, WeightsMayComeWithoutRunningRangesACheckpointMayNot) {
  TensorFile file;
  for (auto& t : save_state(*network_, *backend_)) {
    if (t.name.find("quantize_input") == std::string::npos) file.tensors.push_back(t);
  }
  EXPECT_EQ(error_of(file, false), "");
  EXPECT_THAT(error_of(file, true), HasSubstr("missing: conv1.quantize_input.running_zero_point"));
}

TEST_F(State, WhatIsMissingOrWrongIsNamedAndNothingIsChanged) {
  TensorFile file;
  for (auto& t : save_state(*network_, *backend_)) {
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
  const Digest128 before = digest_state(*network_, *backend_).root;
  const std::string error = error_of(file, false);
  EXPECT_THAT(error, HasSubstr("weights.safetensors does not fit the model small"));
  EXPECT_THAT(error, HasSubstr("missing: bn1.bias"));
  EXPECT_THAT(error, HasSubstr("fc.weight is [6, 5], the model's [5, 6]"));
  EXPECT_THAT(error, HasSubstr("conv1.weight holds a number that is not finite"));
  EXPECT_EQ(digest_state(*network_, *backend_).root, before);
}

TEST_F(State, TheDigestCoversEveryTensorAndMomentum) {
  const auto state = save_state(*network_, *backend_);
  const StateDigest digest = digest_state(*network_, *backend_);
  EXPECT_EQ(digest.tensors.size(), state.size());
  EXPECT_TRUE(std::is_sorted(digest.tensors.begin(), digest.tensors.end()));
  for (const auto& t : state) {
    TensorFile file;
    file.tensors = state;
    for (auto& changed : file.tensors) {
      if (changed.name == t.name) changed.data.back() += 1.0F;
    }
    load_state(*network_, *backend_, file, "file");
    EXPECT_NE(digest_state(*network_, *backend_).root, digest.root) << t.name;
  }
}

TEST_F(State, ANumberThatIsNotFiniteIsFoundByName) {
  EXPECT_EQ(non_finite_state(*network_, *backend_), "");
  const Parameter* parameter = network_->parameters().find("b.bn3.weight");
  const float nan = std::numeric_limits<float>::quiet_NaN();
  backend_->to_device(parameter->momentum + 2, &nan, sizeof nan);
  EXPECT_EQ(non_finite_state(*network_, *backend_), "momentum/b.bn3.weight");
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
