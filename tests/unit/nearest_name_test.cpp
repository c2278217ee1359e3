// SPDX-License-Identifier: Apache-2.0
// The name that a mistyped one means: near ones are proposed, far-fetched ones are not.
#include "sim/nearest_name.h"

#include <gtest/gtest.h>

namespace bitcycle::test {
namespace {

const std::vector<std::string> kVerbs{"train", "eval", "cost", "schedule", "report", "replay", "verify", "export"};
const std::vector<std::string> kKeys{"name",
                                     "train.steps",
                                     "train.batch",
                                     "train.seed",
                                     "optimizer.momentum",
                                     "precision.forward.min",
                                     "precision.forward.max",
                                     "precision.gradient.min",
                                     "precision.gradient.max",
                                     "cost.count_batch_norm"};

TEST(NearestName, FindsWhatIsMistyped) {
  EXPECT_EQ(nearest_name("trian", kVerbs), "train");
  EXPECT_EQ(nearest_name("tran", kVerbs), "train");
  EXPECT_EQ(nearest_name("reprot", kVerbs), "report");
  EXPECT_EQ(nearest_name("shedule", kVerbs), "schedule");
  EXPECT_EQ(nearest_name("schedul", kVerbs), "schedule");
  EXPECT_EQ(nearest_name("sched", kVerbs), "schedule");  // its beginning
  EXPECT_EQ(nearest_name("bitfuson-45nm", {"bitfusion-45nm", "stripes"}), "bitfusion-45nm");
  EXPECT_EQ(nearest_name("precision.forward.mx", kKeys), "precision.forward.max");
  EXPECT_EQ(nearest_name("precison.forward.max", kKeys), "precision.forward.max");
  EXPECT_EQ(nearest_name("train.step", kKeys), "train.steps");
  EXPECT_EQ(nearest_name("steps", kKeys), "train.steps");
  EXPECT_EQ(nearest_name("train.momentum", kKeys), "optimizer.momentum");  // alone of that name
}

TEST(NearestName, LeavesOutWhatIsFarFetched) {
  for (const char* word : {"test", "resnet", "quik", "import", "foo", "xx", "", "serve", "edit"}) {
    EXPECT_EQ(nearest_name(word, kVerbs), "") << word;
  }
  for (const char* key :
       {"test", "precision.forward.foo", "precision.forward.bits", "model.max", "train.tempo", "data"}) {
    EXPECT_EQ(nearest_name(key, kKeys), "") << key;
  }
  EXPECT_EQ(nearest_name("test.yml", {"mis.yaml", "small.yaml"}), "");
  EXPECT_EQ(nearest_name("rs", {"os", "ws", "is"}), "");  // row stationary is no mistyped one
}

}  // namespace
}  // namespace bitcycle::test
