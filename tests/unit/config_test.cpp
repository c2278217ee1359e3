// SPDX-License-Identifier: Apache-2.0
// Configs: every key is read and written, and everything wrong is said with its location.
#include "nn/config/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "nn/config/config_error.h"
#include "tests/golden/temporary_folder.h"

namespace bitcycle {
namespace {

using ::testing::HasSubstr;

std::string error_of(const std::string& yaml, const std::vector<ConfigOverride>& overrides = {}) {
  try {
    parse_config(yaml, "x.yaml", overrides);
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "no error";
}

TEST(Config, EmptyMeansDefaultsAndTheResolvedTextReadsBackAsTheSame) {
  const Config config = parse_config("", "x.yaml");
  const std::string text = config_yaml(config);
  EXPECT_EQ(config_yaml(parse_config(text, "y.yaml")), text);
  for (const auto& key : config_keys()) EXPECT_THAT(text, HasSubstr(key.key.substr(key.key.rfind('.') + 1) + ":"));
}

TEST(Config, EveryKindOfValueReadsBack) {
  const Config config = parse_config(
      "name: a b\nmodel: {name: resnet14, classes: 100}\ndata: {name: cifar100, path: \"/d \\\"q\\\"\"}\n"
      "train: {steps: 100, seed: 18446744073709551615}\n"
      "precision:\n  forward: {schedule: cyclic_cosine, min: 4, max: 17, cycles: 3}\n"
      "  gradient: {schedule: constant, max: 12, rounding: nearest}\n  error_weights: requantised\n  error_grid_bits: "
      "24\n"
      "  min_scale: 3e-9\n  layers:\n    - {match: conv1, forward: 8}\n    - {match: 'group*', gradient: {schedule: "
      "cyclic_cosine, min: 6, max: 8, cycles: 2}}\n"
      "optimizer: {lr: 5e-2, weight_decay: 1E-4}\nlearning_rate: {schedule: piecewise, points: [0.25, 80]}\nthreads: "
      "3\n",
      "x.yaml");
  EXPECT_EQ(config.train.seed, 18446744073709551615ULL);
  EXPECT_EQ(config.precision.gradient.min.bits(), 12) << "constant takes its width from max";
  EXPECT_FALSE(config.precision.stochastic);
  EXPECT_EQ(config.precision.error_weights, ErrorWeights::kRequantised);
  EXPECT_EQ(config.precision.min_scale.narrow, 3e-9F);
  ASSERT_EQ(config.precision.layers.size(), 2U);
  EXPECT_EQ(config.precision.layers[1].gradient->min.bits(), 6);
  EXPECT_EQ(config.learning_rate.lr, 5e-2);
  EXPECT_EQ(config.optimizer.weight_decay, 1e-4);
  EXPECT_EQ(config.learning_rate.steps, 100);
  const std::string text = config_yaml(config);
  EXPECT_EQ(config_yaml(parse_config(text, "y.yaml")), text);
}

TEST(Config, SchedulesOfPointsReadBackAndTheirExtremesFollow) {
  const Config config = parse_config(
      "precision:\n  forward: {schedule: piecewise, points: [[0, 4], [10, float32], [20, 4], [25, 4], [30, 12]]}\n"
      "  gradient: {schedule: triangular, min: 6, max: 12, cycles: 4}\n"
      "  layers:\n    - {match: conv1, forward: {schedule: piecewise, points: [[0, 8], [50, 6]]}, "
      "gradient: {schedule: linear, min: 4, max: 8, cycles: 1}}\n",
      "x.yaml");
  const auto& forward = config.precision.forward;
  ASSERT_EQ(forward.points.size(), 4U) << "a point that changes nothing is left out";
  EXPECT_EQ(forward.points[2], (SchedulePoint{20, BitWidth::integer(4)}));
  EXPECT_TRUE(forward.max.is_float32());
  EXPECT_EQ(forward.min.bits(), 4);
  ASSERT_EQ(config.precision.layers.size(), 1U);
  EXPECT_EQ(config.precision.layers[0].forward->max.bits(), 8);
  EXPECT_EQ(config.precision.layers[0].forward->points.size(), 2U);
  const std::string text = config_yaml(config);
  EXPECT_EQ(config_yaml(parse_config(text, "y.yaml")), text);
  const PrecisionPlan plan(precision_spec(config), 100);
  EXPECT_EQ(plan.at(60, "conv1").forward.bits(), 6);
  EXPECT_EQ(plan.max("conv1").forward.bits(), 8);
  EXPECT_TRUE(plan.max().forward.is_float32());
}

TEST(Config, WidthsFromACsvFileArePartOfTheConfigWhereverTheFileIs) {
  const test::TemporaryFolder folder;
  std::filesystem::create_directory(folder.path() / "sub");
  const auto write = [&](const std::string& name, const std::string& text) {
    std::ofstream(folder.path() / name, std::ios::binary) << text;
  };
  write("sub/widths.csv",
        "\xEF\xBB\xBF# tuned by hand\r\nstep,width\r\n0,4\r\n 100 , 6\r\n\r\n200,6\r\n300,float32\r\n");
  write("sub/a.yaml", "precision: {forward: {schedule: piecewise, points: widths.csv}}\n");
  write("b.yaml", "base: sub/a.yaml\n");
  const Config config = load_config(folder.path() / "b.yaml");
  ASSERT_EQ(config.precision.forward.points.size(), 3U);
  const std::string text = config_yaml(config);
  EXPECT_THAT(text, HasSubstr("points: [[0, 4], [100, 6], [300, float32]]"));
  EXPECT_EQ(config_yaml(parse_config(text, "y.yaml")), text) << "the run folder does not need the file";

  const std::string layers =
      "precision: {layers: [{match: conv1, forward: {schedule: piecewise, points: widths.csv}}]}\n";
  write("sub/c.yaml", layers);
  EXPECT_EQ(load_config(folder.path() / "sub" / "c.yaml").precision.layers[0].forward->points.size(), 3U);

  const std::string before = config_identity(config);
  write("sub/widths.csv", "0,4\n100,5\n");
  const Config changed = load_config(folder.path() / "b.yaml");
  EXPECT_NE(config_identity(changed), before);
  EXPECT_THAT(identity_differences(changed, config), testing::Contains(HasSubstr("precision.forward.points")));
}

TEST(Config, PointsThatCannotBeAreNamedWithTheirLocation) {
  const auto forward = [](const std::string& points) {
    return error_of("precision:\n  forward:\n    schedule: piecewise\n    points: " + points + "\n");
  };
  EXPECT_THAT(forward("[[0, 1]]"),
              testing::AllOf(HasSubstr("x.yaml:4:5"), HasSubstr("point 1: a width of 1 bit is impossible")));
  EXPECT_THAT(forward("[[0, 33]]"), HasSubstr("2..32"));
  EXPECT_THAT(forward("[[5, 4]]"), HasSubstr("the width of step 0 is missing"));
  EXPECT_THAT(forward("[[0, 4], [9, 5], [8, 6]]"), HasSubstr("point 3: step 8 follows step 9"));
  EXPECT_THAT(forward("[[0, 4], [0, 5]]"), HasSubstr("the steps must ascend"));
  EXPECT_THAT(forward("[[0, 4, 5]]"), HasSubstr("pair of step and width"));
  EXPECT_THAT(forward("[[-1, 4]]"), HasSubstr("whole number of at least 0"));
  EXPECT_THAT(forward("{0: 4}"), HasSubstr("list of pairs"));
  EXPECT_THAT(forward("[]"), HasSubstr("needs points"));
  EXPECT_THAT(forward("missing.csv"), HasSubstr("missing.csv"));
  EXPECT_THAT(error_of("precision: {forward: {points: [[0, 4]]}}"), HasSubstr("'cyclic_cosine' does not use them"));
  EXPECT_THAT(error_of("precision: {layers: [{match: conv1, forward: {schedule: piecewise}}]}"),
              HasSubstr("lacks points"));

  const test::TemporaryFolder folder;
  const auto csv = [&](const std::string& text) {
    std::ofstream(folder.path() / "w.csv", std::ios::binary) << text;
    return forward((folder.path() / "w.csv").string());
  };
  EXPECT_THAT(csv("step,width\n0,4\n7;5\n"), HasSubstr("w.csv:3: it is '7;5'"));
  EXPECT_THAT(csv("0,4\n7,99\n"), HasSubstr("w.csv:2: a width of 99 bits"));
  EXPECT_THAT(csv("0,4\n7.5,5\n"), HasSubstr("the step is '7.5'"));
  EXPECT_THAT(csv("1,4\n"), HasSubstr("w.csv:1: the first step is 1"));
  EXPECT_THAT(csv("0,4\n3,5\n2,6\n"), HasSubstr("w.csv:3: step 2 follows step 3"));
  EXPECT_THAT(csv("step,width\n"), HasSubstr("holds no point"));
  std::string many;
  for (int step = 0; step <= 100000; ++step) many += std::to_string(step) + "," + std::to_string(4 + step % 2) + "\n";
  EXPECT_THAT(csv(many), HasSubstr("more than 100000 times"));
}

TEST(Config, UnknownKeysAreNamedWithLocationAndTheNearestRightOne) {
  EXPECT_THAT(error_of("train:\n  stpes: 10\n"),
              testing::AllOf(HasSubstr("x.yaml:2:3"), HasSubstr("'train.stpes'"), HasSubstr("'train.steps'")));
  EXPECT_THAT(error_of("precison: {}\n"), HasSubstr("did you mean 'precision'?"));
  EXPECT_THAT(error_of("steps: 5\n"), HasSubstr("did you mean 'train.steps'?"));
  EXPECT_THAT(error_of("", {{"train.bacth", "5"}}),
              testing::AllOf(HasSubstr("--set train.bacth=5"), HasSubstr("'train.batch'")));
  EXPECT_THAT(error_of("", {{"train", "5"}}), HasSubstr("is a section"));
}

TEST(Config, ImpossibleValuesSayWhatIsLegal) {
  EXPECT_THAT(error_of("train: {steps: 0}"),
              testing::AllOf(HasSubstr("x.yaml:1:9"), HasSubstr("train.steps"), HasSubstr("1 to")));
  EXPECT_THAT(error_of("train: {steps: 1.5}"), HasSubstr("whole number"));
  EXPECT_THAT(error_of("precision: {forward: {max: 33}}"), testing::AllOf(HasSubstr("33"), HasSubstr("32")));
  EXPECT_THAT(error_of("precision: {forward: {max: 1}}"), HasSubstr("precision.forward.max"));
  EXPECT_THAT(error_of("precision: {forward: {min: 8, max: 3}}"), HasSubstr("above max"));
  EXPECT_THAT(error_of("precision: {forward: {max: float32}}"), HasSubstr("integer widths"));
  EXPECT_THAT(error_of("precision: {error_grid_bits: 20}"), HasSubstr("16, 24"));
  EXPECT_THAT(error_of("precision: {layers: [{match: a}]}"), HasSubstr("neither forward nor gradient"));
  EXPECT_THAT(error_of("precision: {layers: [{match: a, forward: 40}]}"), HasSubstr("precision.layers"));
  EXPECT_THAT(error_of("data: {name: imagenet}"), HasSubstr("synthetic, cifar10, cifar100"));
  EXPECT_THAT(error_of("data: {augment: yes}"), HasSubstr("true or false"));
  EXPECT_THAT(error_of("optimizer: {lr: nan}"), HasSubstr("optimizer.lr"));
  EXPECT_THAT(error_of("optimizer: {lr: 0}"), HasSubstr("above 0"));
  EXPECT_THAT(error_of("model: {classes: 100}"), HasSubstr("set model.classes to 10"));
  EXPECT_THAT(error_of("name: a/b"), HasSubstr("slash"));
  EXPECT_THAT(error_of("learning_rate: {points: 3}"), HasSubstr("list of numbers"));
}

TEST(Config, StructureErrorsHaveALocation) {
  EXPECT_THAT(error_of("train: {steps: 5\n"), HasSubstr("not valid YAML"));
  for (const char* text : {"train: {steps: 5}\n]\n", "train: {steps: 5}}\n", "train: [}\n", "]", "- a\n}\n"}) {
    EXPECT_THAT(error_of(text), HasSubstr("not valid YAML")) << text;
  }
  EXPECT_THAT(error_of("train:\n  steps: 5\n  steps: 6\n"),
              testing::AllOf(HasSubstr("x.yaml:3:3"), HasSubstr("given twice")));
  EXPECT_THAT(error_of("- a\n- b\n"), HasSubstr("key: value"));
  EXPECT_THAT(error_of("train: 7\n"), HasSubstr("is a section"));
  EXPECT_THAT(error_of("train: {steps: [1]}\n"), HasSubstr("list"));
  EXPECT_THAT(error_of(std::string(17U << 20, ' ')), HasSubstr("16 MiB"));
  EXPECT_THAT(error_of(std::string(5000, '[')), HasSubstr("x.yaml"));
  EXPECT_THAT(error_of("? {a: 1}\n: 2\n"), HasSubstr("plain text"));
  EXPECT_THROW(parse_override("train.steps"), ConfigError);
}

TEST(Config, BaseGivesDefaultsAndCyclesAreFound) {
  const test::TemporaryFolder folder;
  std::ofstream(folder.path() / "base.yaml") << "train: {steps: 7, batch: 9}\nmodel: {name: resnet14}\n";
  std::ofstream(folder.path() / "run.yaml") << "base: base.yaml\ntrain: {batch: 5}\n";
  const Config config =
      load_config(folder.path() / "run.yaml", {{"train.seed", "3"}, {"precision.forward.cycles", "1"}});
  EXPECT_EQ(config.train.steps, 7);
  EXPECT_EQ(config.train.batch, 5);
  EXPECT_EQ(config.model.name, "resnet14");
  EXPECT_EQ(config.name, "run");
  std::ofstream(folder.path() / "loop.yaml") << "base: loop.yaml\n";
  EXPECT_THROW(load_config(folder.path() / "loop.yaml"), ConfigError);
  std::ofstream(folder.path() / "lost.yaml") << "base: nowhere.yaml\n";
  EXPECT_THROW(load_config(folder.path() / "lost.yaml"), ConfigError);
}

TEST(Config, IdentityLeavesOutHowARunIsCarriedOut) {
  const Config a = parse_config("", "a.yaml");
  const Config b =
      parse_config("threads: 7\nisa: portable\nname: other\ndata: {path: /d}\ntrain: {log_every: 3}\n", "b.yaml");
  EXPECT_EQ(config_identity(a), config_identity(b));
  EXPECT_TRUE(identity_differences(a, b).empty());
  const Config c = parse_config("train: {seed: 2}\n", "c.yaml");
  ASSERT_EQ(identity_differences(a, c).size(), 1U);
  EXPECT_EQ(identity_differences(a, c)[0], "train.seed: this run 1, folder 2");
}

TEST(Config, TheDocumentListsEveryKeyAsItIs) {
  std::ifstream file(std::string(BITCYCLE_SOURCE) + "/docs/config.md");
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  for (const auto& key : config_keys()) {
    EXPECT_THAT(text, HasSubstr("| `" + key.key + "` | " + key.type + " | `" + key.default_value + "` | " +
                                key.meaning + " |\n"));
  }
}

TEST(Config, EveryExperimentLoadsAndIsWhatTheGeneratorWrites) {
  const test::TemporaryFolder folder;
  const std::filesystem::path experiments = std::filesystem::path(BITCYCLE_SOURCE) / "configs/experiments";
  ASSERT_EQ(std::system(("'" + (experiments / "generate").string() + "' '" + folder.path().string() + "'").c_str()), 0);
  int files = 0;
  for (const std::string data : {"cifar10", "cifar100", "imagenet", "ptb"}) {
    for (const auto& entry : std::filesystem::directory_iterator(experiments / data)) {
      const auto written = folder.path() / data / entry.path().filename();
      std::ifstream left(entry.path()), right(written);
      const std::string a{std::istreambuf_iterator<char>(left), {}}, b{std::istreambuf_iterator<char>(right), {}};
      EXPECT_EQ(a, b) << entry.path();
      const Config config = load_config(entry.path());
      if (data == "imagenet") {
        const bool long_run = entry.path().filename().string().find("-120-") != std::string::npos;
        EXPECT_EQ(config.data.name, "imagefolder");
        EXPECT_EQ(config.train.steps, (long_run ? 120 : 90) * 5005);
        const auto rates = long_run ? std::vector<double>{150150, 300300, 450450} : std::vector<double>{150150, 300300};
        EXPECT_EQ(config.learning_rate.points, rates);
      } else {
        EXPECT_EQ(config.data.name, data);
        EXPECT_EQ(config.train.steps, data == "ptb" ? 40 * 1328 : 64000);
      }
      ++files;
    }
  }
  EXPECT_EQ(files, 2 * (6 * 6 + 9) + 2 * 3 * 6 + 2 * 4);
  load_config(std::filesystem::path(BITCYCLE_SOURCE) / "configs/quickstart.yaml");
  load_config(std::filesystem::path(BITCYCLE_SOURCE) / "configs/ptb.yaml");
}

TEST(Config, ModelsAndDataOfDifferentKindsAreRefused) {
  const auto message = [](const std::string& yaml) -> std::string {
    try {
      parse_config(yaml, "test");
    } catch (const std::exception& error) {
      return error.what();
    }
    return "";
  };
  const std::string lstm = "model: {name: ptb_lstm}\ndata: {name: ptb}\n";
  EXPECT_EQ(message(lstm), "");
  EXPECT_THAT(message("model: {name: ptb_lstm}"), HasSubstr("reads texts, and data.name is synthetic"));
  EXPECT_THAT(message("data: {name: text}"), HasSubstr("reads images, and data.name is text"));
  EXPECT_THAT(message(lstm + "swa: {start: 390}"), HasSubstr("swa.start"));
  EXPECT_THAT(message(lstm + "eval: {context: 3}"), HasSubstr("carries its state"));
  EXPECT_THAT(message(lstm + "optimizer: {clip: 1}"), HasSubstr("clipped gradients go with neither"));
}

}  // namespace
}  // namespace bitcycle
