// SPDX-License-Identifier: Apache-2.0
// The models: layers and MACs as in the recorded workloads, parameter names as in the paper's code.
#include "nn/models/model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <set>
#include <sstream>

#include "nn/builder/builder.h"
#include "nn/io/safetensors.h"
#include "sim/program/products.h"

namespace bitcycle {
namespace {

using ::testing::HasSubstr;

builder::Options options() {
  builder::Options options;
  options.widest = [](const std::string&) { return LayerWidths{BitWidth::integer(8), BitWidth::integer(8)}; };
  return options;
}

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
  const Workload workload = model_workload(GetParam().model, GetParam().classes);
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
                                           RecordedWorkload{"cifar100_resnet_152.csv", "resnet152", 100},
                                           RecordedWorkload{"cifar10_mobilenet_v2.csv", "mobilenet_v2", 10},
                                           RecordedWorkload{"cifar100_mobilenet_v2.csv", "mobilenet_v2", 100},
                                           RecordedWorkload{"resnet18.csv", "resnet18", 1000},
                                           RecordedWorkload{"resnet34.csv", "resnet34", 1000},
                                           RecordedWorkload{"resnet50.csv", "resnet50", 1000},
                                           RecordedWorkload{"ptb_lstm_1x800_per_token.csv", "ptb_lstm", 0}),
                         [](const auto& param) {
                           return std::string(param.param.model) + "_" + std::to_string(param.param.classes);
                         });

TEST(Model, Resnet74For100ClassesHas168220928Macs) { EXPECT_EQ(model_workload("resnet74", 100).macs(), 168220928); }

TEST(Model, EveryResnetOfTheFamilyIsThere) {
  const std::vector<std::string> expected{"resnet8",  "resnet14", "resnet20",  "resnet32",  "resnet38", "resnet44",
                                          "resnet56", "resnet74", "resnet110", "resnet152", "resnet164"};
  auto names = expected;
  for (const char* other :
       {"mobilenet_v2", "resnet18", "resnet34", "resnet50", "ptb_lstm", "transformer_lm", "transformer_wiki103"}) {
    names.emplace_back(other);
  }
  EXPECT_EQ(model_names(), names);
  for (const auto& name : expected) {
    const std::int64_t depth = std::stoll(name.substr(6));
    // Two convolutions a block and the stem, two projections, the classifier.
    EXPECT_EQ(static_cast<std::int64_t>(model_workload(name, 10).matrix.size()), depth - 1 + 2 + 1) << name;
  }
}

std::int64_t trained_parameters(const std::string& name, std::int64_t classes) {
  std::int64_t count = 0;
  const auto network = write_model(name, classes, options());
  for (const auto& parameter : network->parameters.all()) {
    count += parameter.trained ? parameter.size() : 0;
  }
  return count;
}

TEST(Model, TheOthersHaveTheParametersOfThePapersCode) {
  EXPECT_EQ(trained_parameters("mobilenet_v2", 10), 2296922);
  EXPECT_EQ(trained_parameters("mobilenet_v2", 100), 2412212);
  EXPECT_EQ(trained_parameters("resnet18", 1000), 11689512);
  EXPECT_EQ(trained_parameters("resnet34", 1000), 21797672);
  EXPECT_EQ(trained_parameters("imagenet_resnet50", 1000), 25557032);
}

/// A first convolution and projections in float32 have no running range and take no widths from the schedule.
TEST(Model, ResNet18QuantisesTheConvolutionsOfItsBlocksAlone) {
  const auto network = write_model("resnet18", 1000, options());
  EXPECT_EQ(network->layers.size(), 16U);
  EXPECT_EQ(network->parameters.find("conv1.quantize_input.running_range"), nullptr);
  EXPECT_EQ(network->parameters.find("group2_layer0.downsample.0.quantize_input.running_range"), nullptr);
  EXPECT_NE(network->parameters.find("group2_layer0.conv1.quantize_input.running_range"), nullptr);
}

TEST(Model, FirstLayerAndProjectionsAreQuantisedOrFloat32WhereTheOptionsSaySo) {
  using builder::LayerChoice;
  const auto layers = [](const char* model, LayerChoice first, LayerChoice projections) {
    builder::Options chosen = options();
    chosen.first_layer = first;
    chosen.projections = projections;
    return write_model(model, 10, chosen)->layers.size();
  };
  constexpr auto kPublished = LayerChoice::kPublished, kQuantised = LayerChoice::kQuantised,
                 kFloat32 = LayerChoice::kFloat32;
  EXPECT_EQ(layers("resnet18", kQuantised, kPublished), 17U);
  EXPECT_EQ(layers("resnet18", kQuantised, kQuantised), 20U);
  EXPECT_EQ(layers("resnet50", kPublished, kQuantised), 48U + 4U);
  EXPECT_EQ(layers("resnet18", kFloat32, kFloat32), 16U);
  EXPECT_EQ(layers("resnet8", kPublished, kPublished), 9U);
  EXPECT_EQ(layers("resnet8", kFloat32, kPublished), 8U);
  EXPECT_EQ(layers("resnet8", kPublished, kFloat32), 7U);
  EXPECT_EQ(layers("mobilenet_v2", kFloat32, kFloat32) + 5, layers("mobilenet_v2", kQuantised, kQuantised));
}

TEST(Model, Resnet8HasTheParametersOfThePapersCodeAndTheRunningRanges) {
  const auto network = write_model("resnet8", 10, options());
  std::set<std::string> names, ranges;
  for (const auto& parameter : network->parameters.all()) {
    const bool range = parameter.name.find(".quantize_input.running_") != std::string::npos;
    (range ? ranges : names).insert(parameter.name);
    if (range) {
      EXPECT_EQ(parameter.shape, (std::vector<std::int64_t>{1, 1, 1, 1}));
    }
  }
  std::set<std::string> expected;
  for (const auto& tensor : read_safetensors(BITCYCLE_GOLDEN "/steps/resnet8_b8_g16/init.safetensors").tensors) {
    expected.insert(tensor.name);
    const Parameter* parameter = network->parameters.find(tensor.name);
    ASSERT_NE(parameter, nullptr) << tensor.name;
    EXPECT_EQ(parameter->shape, tensor.shape) << tensor.name;
  }
  EXPECT_EQ(names, expected);
  EXPECT_EQ(ranges.size(), 2 * network->layers.size());
  EXPECT_TRUE(ranges.count("group2_layer0.downsample.quantize_input.running_zero_point"));
}

TEST(Model, AnUnknownNameIsAnErrorThatListsTheKnownOnes) {
  try {
    model_workload("resnet9", 10);
    FAIL();
  } catch (const std::invalid_argument& error) {
    EXPECT_THAT(error.what(), HasSubstr("'resnet9'"));
    EXPECT_THAT(error.what(), HasSubstr("resnet8, resnet14"));
  }
}

TEST(Model, FewerThanTwoClassesAreAnError) { EXPECT_THROW(model_workload("resnet8", 1), std::invalid_argument); }

TEST(Model, AShortcutOfAnotherShapeIsRefused) {
  builder::Builder b("broken", options());
  builder::Value* x = batch_norm(b, conv(b, b.images(8, 8, 3), {"conv1", 4}), "bn1");
  builder::Value* y = batch_norm(b, conv(b, x, {"conv2", 8}), "bn2");
  EXPECT_THROW(add(b, y, x), std::logic_error);
}

TEST(Model, TwoParametersOfOneNameAreRefused) {
  builder::Builder b("broken", options());
  builder::Value* x = conv(b, b.images(8, 8, 3), {"conv1", 4});
  EXPECT_THROW(conv(b, x, {"conv1", 4}), std::logic_error);
}

/// Products of a Transformer's step, priced as what exists.
TEST(TransformerWorkload, CountsLinearsPerTokenAndTheTriangleOfAttention) {
  for (const std::int64_t time_steps : {11, 12}) {
    builder::Options of = options();
    of.batch = 3;
    of.language.vocabulary = 100;
    of.language.embedding = 32;
    of.language.ffn = 64;
    of.language.heads = 4;
    of.language.layers = 2;
    of.language.time_steps = time_steps;
    of.language.quantised = builder::QuantisedParts::kLinearsAndAttention;
    const Workload workload = workload_of(write_language_model("transformer_lm", of)->program);
    std::vector<std::string> layers;
    for (const auto& operation : workload.matrix) layers.push_back(operation.layer);
    EXPECT_EQ(layers.size(), 2U * 8U + 1U);
    EXPECT_THAT(
        std::vector<std::string>(layers.begin(), layers.begin() + 6),
        ::testing::ElementsAre("layers.0.self_attn.q_proj", "layers.0.self_attn.k_proj", "layers.0.self_attn.v_proj",
                               "layers.0.self_attn.qk", "layers.0.self_attn.pv", "layers.0.self_attn.out_proj"));
    const std::int64_t attention = time_steps * (time_steps + 1) / 2 * 32;
    EXPECT_EQ(workload.matrix[3].kind, "matmul");
    EXPECT_TRUE(workload.matrix[3].rhs_is_activation);
    EXPECT_EQ(workload.matrix[3].shape.macs(), attention);
    EXPECT_EQ(workload.matrix[4].shape.macs(), attention);
    const std::int64_t linears = time_steps * (4 * 32 * 32 + 2 * 32 * 64);
    EXPECT_EQ(workload.macs(), 2 * (linears + 2 * attention) + time_steps * 32 * 100);
    of.language.quantised = builder::QuantisedParts::kFfnAndHead;
    std::int64_t quantised = 0;
    for (const auto& operation : workload_of(write_language_model("transformer_lm", of)->program).matrix) {
      quantised += operation.quantised ? operation.shape.macs() : 0;
    }
    // What the paper's figures count.
    EXPECT_EQ(quantised, time_steps * (2 * 2 * 32 * 64 + 32 * 100));
  }
}

builder::Options baevski_options(std::int64_t time_steps) {
  builder::Options of = options();
  builder::LanguageSizes& sizes = of.language;
  sizes.vocabulary = 267'744;
  sizes.cutoffs = {20'000, 60'000};
  sizes.embedding = 1024;
  sizes.ffn = 4096;
  sizes.heads = 8;
  sizes.layers = 16;
  sizes.time_steps = time_steps;
  sizes.quantised = builder::QuantisedParts::kLinearsAndAttention;
  return of;
}

/// The recorded rows of a language model, by what stands behind the layer's name and in front of the MACs.
struct RecordedLayer {
  std::string layer, shape;
  std::int64_t macs = 0;
};
std::vector<RecordedLayer> recorded_layers(const std::string& file) {
  std::ifstream stream(BITCYCLE_GOLDEN "/workloads/" + file);
  std::string line;
  std::vector<RecordedLayer> rows;
  std::getline(stream, line);
  while (std::getline(stream, line)) {
    if (!line.empty() && line.back() == '\r') line.pop_back();
    const std::size_t first = line.find(','), last = line.rfind(',');
    rows.push_back({line.substr(0, first), line.substr(first, last - first), std::stoll(line.substr(last + 1))});
  }
  EXPECT_FALSE(rows.empty()) << file;
  return rows;
}

/// Fully connected layers for a word; products of attention at the recorded 3,072 words, of which the causal ones
/// exist.
TEST(TransformerWiki103, HasTheRecordedLayersAndMacs) {
  constexpr std::int64_t kTimeSteps = 3072;
  const auto recorded = recorded_layers("wikitext103_transformer_lm_baevski_per_token.csv");
  const auto of_word = write_language_model("transformer_wiki103", baevski_options(1));
  const Workload word = workload_of(of_word->program);
  const Workload text = workload_of(write_language_model("transformer_wiki103", baevski_options(kTimeSteps))->program);
  ASSERT_EQ(word.matrix.size(), recorded.size());
  ASSERT_EQ(text.matrix.size(), recorded.size());
  for (std::size_t i = 0; i < recorded.size(); ++i) {
    EXPECT_EQ(word.matrix[i].layer, recorded[i].layer);
    EXPECT_TRUE(word.matrix[i].quantised);
    const bool pairs = recorded[i].shape.starts_with(",matmul");
    EXPECT_EQ(word.matrix[i].rhs_is_activation, pairs) << recorded[i].layer;
    if (pairs) {
      EXPECT_EQ(2 * text.matrix[i].shape.macs(), recorded[i].macs * (kTimeSteps + 1)) << recorded[i].layer;
    } else {
      const std::string row = row_of(word.matrix[i]);
      const std::size_t first = row.find(','), last = row.rfind(','), kind = row.find(',', first + 1);
      EXPECT_EQ(row.substr(kind, last - kind), recorded[i].shape.substr(recorded[i].shape.find(',', 1)));
      EXPECT_EQ(text.matrix[i].shape.macs(), kTimeSteps * recorded[i].macs) << recorded[i].layer;
    }
  }
  std::int64_t parameters = 0;
  for (const auto& parameter : of_word->parameters.all()) parameters += parameter.trained ? parameter.size() : 0;
  EXPECT_EQ(parameters, 246'933'504);
}

/// Names are those of the paper's code, shapes and MACs the recorded ones of fairseq's.
TEST(PtbLstm, OfTwoLayersHasTheRecordedLayersAndMacs) {
  builder::Options of = options();
  of.language.embedding = of.language.hidden = 512;
  of.language.layers = 2;
  of.language.time_steps = 1;
  const auto network = write_language_model("ptb_lstm", of);
  const Workload workload = workload_of(network->program);
  const auto recorded = recorded_layers("ptb_lstm_2x512_per_token.csv");
  const std::vector<std::string> names{"rnn.W", "rnn.U", "rnn1.W", "rnn1.U", "decoder"};
  ASSERT_EQ(workload.matrix.size(), recorded.size());
  for (std::size_t i = 0; i < recorded.size(); ++i) {
    EXPECT_EQ(workload.matrix[i].layer, names[i]);
    const std::string row = row_of(workload.matrix[i]);
    const std::size_t first = row.find(','), last = row.rfind(','), kind = row.find(',', first + 1);
    EXPECT_EQ(row.substr(kind, last - kind), recorded[i].shape.substr(recorded[i].shape.find(',', 1)));
    EXPECT_EQ(workload.matrix[i].shape.macs(), recorded[i].macs);
  }
  EXPECT_EQ(workload.macs(), 9'314'304);
  std::int64_t parameters = 0;
  for (const auto& parameter : network->parameters.all()) parameters += parameter.trained ? parameter.size() : 0;
  EXPECT_EQ(parameters, 14'452'496 - 2 * 4 * 512);  // one bias a layer: those of W and U would be added together
}

}  // namespace
}  // namespace bitcycle
