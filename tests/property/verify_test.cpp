// SPDX-License-Identifier: Apache-2.0
// Comparing runs: equal ones, ones that part, and the exact step at which they do.
#include "nn/train/verify.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "run_files.h"
#include "tests/golden/temporary_folder.h"
#include "training_fixture.h"

namespace bitcycle::test {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class Verify : public ::testing::Test {
 protected:
  RunFolder trained(const std::string& name, const Config& config) {
    RecordingListener listener;
    train_to(config, *device_, folder_.path() / name, listener);
    return RunFolder::existing(folder_.path() / name);
  }
  Config config() {
    Config config = short_config(12, 2);
    config.data.test_images = 4;
    config.digest.every = 6;
    config.train.evaluate_every = config.train.checkpoint_every = 6;
    return config;
  }
  TemporaryFolder folder_;
  std::unique_ptr<Device> device_ = make_cpu_device(Isa::kAuto, 1);
};

TEST_F(Verify, TwoRunsOfOneConfigAreEqual) {
  const RunComparison comparison = compare_runs(trained("a", config()), trained("b", config()));
  EXPECT_TRUE(comparison.equal());
  EXPECT_TRUE(comparison.different_keys.empty());
  EXPECT_EQ(comparison.compared, 2);
  EXPECT_EQ(comparison.last_equal, 12);
}

TEST_F(Verify, RunsThatPartNameTheFirstRecordedStepAndBisectingTheStepItself) {
  const RunFolder a = trained("a", config());
  Config other = config();
  other.learning_rate.points = {6.0, 8.0};  // the second drop at step 8 instead of 9
  const RunFolder b = trained("b", other);
  const RunComparison comparison = compare_runs(a, b);
  EXPECT_FALSE(comparison.equal());
  EXPECT_EQ(comparison.last_equal, 6);
  EXPECT_EQ(comparison.first_different, 12);
  EXPECT_THAT(comparison.tensors, Contains("conv1.weight"));
  EXPECT_THAT(comparison.different_keys, ElementsAre(HasSubstr("learning_rate.points")));

  const auto second = make_cpu_device(Isa::kPortable, 2);
  const Bisection bisection = bisect_runs(a, *device_, b, *second);
  EXPECT_EQ(bisection.start, 6);
  EXPECT_EQ(bisection.first_different, 9);  // steps done: the update of step 8 differs
  EXPECT_THAT(bisection.tensors, Contains("conv1.weight"));
  EXPECT_THAT(bisection.tensors, ::testing::Not(Contains("momentum/conv1.weight")));  // the rate scales the update only
  EXPECT_EQ(bisection.unlike_record[0], -1);
  EXPECT_EQ(bisection.unlike_record[1], -1);
}

TEST_F(Verify, ARecordThatItsOwnReplayDoesNotGiveIsFound) {
  const RunFolder a = trained("a", config());
  const RunFolder b = trained("b", config());
  change_record(b.path() / "digests.jsonl", 2, [](std::string& line) {
    char& digit = line[line.find("\"root\":\"") + 8];
    digit = digit == '0' ? '1' : '0';
  });
  EXPECT_EQ(compare_runs(a, b).first_different, 12);
  const Bisection bisection = bisect_runs(a, *device_, b, *device_);
  EXPECT_EQ(bisection.first_different, -1);
  EXPECT_EQ(bisection.replayed_to, 12);
  EXPECT_EQ(bisection.unlike_record[0], -1);
  EXPECT_EQ(bisection.unlike_record[1], 12);
}

TEST_F(Verify, TensorsAreComparedEvenWhereTheRootsAreEqual) {
  const RunFolder a = trained("a", config());
  const RunFolder b = trained("b", config());
  change_record(b.path() / "digests.jsonl", 1, [](std::string& line) {
    const std::string name = "\"conv1.weight\":\"";
    char& digit = line[line.find(name) + name.size()];
    digit = digit == '0' ? '1' : '0';
  });
  const RunComparison comparison = compare_runs(a, b);
  EXPECT_FALSE(comparison.equal());
  EXPECT_EQ(comparison.first_different, 6);
  EXPECT_THAT(comparison.tensors, ElementsAre("conv1.weight"));
}

TEST_F(Verify, EqualRunsCannotBeBisected) {
  const RunFolder a = trained("a", config());
  EXPECT_THROW(bisect_runs(a, *device_, a, *device_), std::runtime_error);
}

TEST_F(Verify, RunsWithoutACommonStepCompareNothing) {
  const RunFolder a = trained("a", config());
  Config other = config();
  other.train.steps = 5;
  other.precision.forward.cycles = 1;
  other.learning_rate.steps = 5;
  other.digest.every = other.train.evaluate_every = other.train.checkpoint_every = 5;
  const RunFolder b = trained("b", other);
  const RunComparison comparison = compare_runs(a, b);
  EXPECT_EQ(comparison.compared, 0);
  EXPECT_FALSE(comparison.equal());
  EXPECT_EQ(comparison.last_step[0], 12);
  EXPECT_EQ(comparison.last_step[1], 5);
}

}  // namespace
}  // namespace bitcycle::test
