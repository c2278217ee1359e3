// SPDX-License-Identifier: Apache-2.0
// A training whose numbers overflow stops with the step and the tensor; what it saved before stays whole.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "tests/golden/temporary_folder.h"
#include "tests/property/run_files.h"
#include "tests/property/training_fixture.h"

namespace bitcycle::test {
namespace {

using ::testing::HasSubstr;

std::string error_of(const Config& config, Device& device, const std::filesystem::path& run) {
  RecordingListener listener;
  try {
    train_to(config, device, run, listener);
  } catch (const NonFiniteError& error) {
    return error.what();
  }
  return "";
}

TEST(NonFinite, ARunawayLearningRateStopsWithStepAndTensorAndTheLastCheckpointIsWhole) {
  const TemporaryFolder folder;
  const auto run = folder.path() / "run";
  Config config = short_config(8, 2);
  config.data.test_images = 4;
  config.train.checkpoint_every = 2;
  config.learning_rate.schedule = "piecewise";
  config.learning_rate.points = {2};
  config.learning_rate.factor = 1e37;  // from step 2 on
  const auto device = make_cpu_device(Isa::kAuto, 1);
  const std::string error = error_of(config, *device, run);
  EXPECT_THAT(error, HasSubstr("is not finite"));
  EXPECT_THAT(error, HasSubstr("the last checkpoint is that of step 2"));
  const RunFolder left = RunFolder::existing(run);
  std::vector<std::string> warnings;
  const auto checkpoint = left.newest_checkpoint(warnings);
  ASSERT_TRUE(checkpoint);
  EXPECT_TRUE(warnings.empty());
  EXPECT_EQ(checkpoint->step, 2);
  for (const auto& tensor : checkpoint->file.tensors) {
    for (const float x : tensor.data) ASSERT_TRUE(std::isfinite(x)) << tensor.name;
  }
}

/// The first number that is not finite, by the step's own search.
class Injected : public ::testing::Test {
 protected:
  Injected() : dataset_(load_dataset(config_.data, config_.model.classes)) { set_initial_state(run_, config_); }
  void inject(const std::string& parameter, float value) {
    const Parameter* p = run_.network().parameters.find(parameter);
    ASSERT_NE(p, nullptr);
    auto values = run_.state().values();
    values[p->offset + static_cast<std::size_t>(p->size() / 2)] = value;
    run_.state().set_values(values);
  }
  std::string error() {
    try {
      run_.step(0);
    } catch (const NonFiniteError& error) {
      return error.what();
    }
    return "";
  }
  std::string digest() { return to_text(digest_state(run_.state()).root); }

  Config config_ = short_config(4, 2);
  Dataset dataset_;
  std::unique_ptr<Device> device_ = make_cpu_device(Isa::kAuto, 1);
  NetworkRun run_{config_, dataset_, *device_};
};

TEST_F(Injected, ANanWeightIsFoundAtTheOutputOfItsConvolution) {
  inject("group2_layer0.conv1.weight", std::numeric_limits<float>::quiet_NaN());
  EXPECT_THAT(error(), HasSubstr("step 0: output of group2_layer0.conv1"));
}

TEST_F(Injected, AnInfiniteScaleIsFoundAtItsBatchNorm) {
  inject("group1_layer0.bn1.weight", std::numeric_limits<float>::infinity());
  EXPECT_THAT(error(), HasSubstr("step 0: output of group1_layer0.conv1"));
}

TEST_F(Injected, ANanInTheClassifierIsFoundInItsOutput) {
  inject("fc.weight", std::numeric_limits<float>::quiet_NaN());
  EXPECT_THAT(error(), HasSubstr("step 0: output of fc"));
}

TEST_F(Injected, ParametersStayAsTheyWereBeforeTheStep) {
  inject("fc.weight", std::numeric_limits<float>::infinity());
  const auto trained = [&] {
    auto values = run_.state().values();
    values.resize(static_cast<std::size_t>(run_.network().parameters.trained_size()));
    return values;
  };
  const std::vector<float> before = trained();
  EXPECT_NE(error(), "");
  EXPECT_EQ(before, trained());
}

}  // namespace
}  // namespace bitcycle::test
