// SPDX-License-Identifier: Apache-2.0
// Layers of ONNX models against those that onnx itself infers: tests/golden/onnx, written by
// bench/peers/onnx_models.py.
#include "cost_models/onnx/onnx_layers.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "cost_models/csv.h"

namespace bitcycle::test {
namespace {

const std::string kFolder = BITCYCLE_SOURCE "/tests/golden/onnx/";

struct Recorded {
  std::string layer;
  std::int64_t macs = 0, rhs_elements = 0;
};

std::map<std::string, std::vector<Recorded>> recorded() {
  std::map<std::string, std::vector<Recorded>> models;
  std::ifstream file(kFolder + "layers.csv");
  std::string line;
  std::getline(file, line);
  while (std::getline(file, line)) {
    const auto cells = split_csv(line);
    models[cells.at(0)].push_back({cells.at(1), std::stoll(cells.at(2)), std::stoll(cells.at(3))});
  }
  return models;
}

OnnxSizes sizes_of(const std::string& model) { return model == "attention" ? OnnxSizes{{"sequence", 6}} : OnnxSizes{}; }

TEST(GoldenOnnx, EveryLayerHasTheMultiplicationsAndWeightsThatOnnxInfers) {
  const auto models = recorded();
  ASSERT_EQ(models.size(), 6U);
  for (const auto& [model, layers] : models) {
    const Topology topology = read_onnx(kFolder + model + ".onnx", sizes_of(model));
    EXPECT_EQ(topology.has_batch, model == "quantised") << model;
    ASSERT_EQ(topology.layers.size(), layers.size()) << model;
    for (std::size_t i = 0; i < layers.size(); ++i) {
      const MatrixOperation& operation = topology.layers[i].operation;
      EXPECT_EQ(operation.layer, layers[i].layer) << model;
      EXPECT_EQ(operation.shape.macs(), layers[i].macs) << model << " " << operation.layer;
      EXPECT_EQ(operation.shape.weight_size(), layers[i].rhs_elements) << model << " " << operation.layer;
      EXPECT_EQ(operation.rhs_is_activation,
                operation.layer == "/scores/MatMul" || operation.layer == "/context/MatMul")
          << model << " " << operation.layer;
    }
  }
}

TEST(GoldenOnnx, OnlyWhatLiesBehindWeightsHasAnErrorPass) {
  const Topology residual = read_onnx(kFolder + "residual.onnx");
  for (const auto& layer : residual.layers) {
    EXPECT_EQ(layer.operation.input_gradient, layer.operation.layer != "/conv1/Conv") << layer.operation.layer;
  }
  // Behind an embedding every layer needs its error.
  for (const auto& layer : read_onnx(kFolder + "attention.onnx", {{"sequence", 6}}).layers) {
    EXPECT_TRUE(layer.operation.input_gradient) << layer.operation.layer;
  }
}

TEST(GoldenOnnx, AFileThatIsCutOffAnywhereIsRefusedOrRead) {
  for (const auto& entry : std::filesystem::directory_iterator(kFolder)) {
    if (entry.path().extension() != ".onnx") continue;
    std::ifstream file(entry.path(), std::ios::binary);
    std::stringstream text;
    text << file.rdbuf();
    const std::string bytes = text.str();
    const OnnxSizes sizes = sizes_of(entry.path().stem().string());
    int read = 0;
    for (std::size_t size = 0; size < bytes.size(); size += 1 + size / 97) {
      try {
        parse_onnx(bytes.substr(0, size), "cut.onnx", sizes);
        ++read;
      } catch (const std::invalid_argument& error) {
        EXPECT_TRUE(std::string(error.what()).starts_with("cut.onnx: ")) << error.what();
      }
    }
    EXPECT_LE(read, 3) << entry.path() << ": only the end of the file, behind the graph, may be missing";
  }
}

}  // namespace
}  // namespace bitcycle::test
