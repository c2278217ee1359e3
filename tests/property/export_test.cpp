// SPDX-License-Identifier: Apache-2.0
// What `export` writes computes what an evaluation computes, read back and run by programs of the tests' own.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "nn/export/export_run.h"
#include "nn/export/inference_graph.h"
#include "nn/io/npy.h"
#include "onnx_evaluator.h"
#include "run_files.h"
#include "tests/golden/photographs.h"
#include "tests/golden/temporary_folder.h"
#include "training_fixture.h"

namespace bitcycle::test {
namespace {

using ::testing::HasSubstr;
namespace fs = std::filesystem;

/// Tensors of any type of a safetensors file: dtype, shape and bytes.
struct RawTensors {
  nlohmann::json header;
  std::string data;
  explicit RawTensors(const fs::path& path) {
    const std::string file = read_file(path);
    std::uint64_t size = 0;
    std::memcpy(&size, file.data(), 8);
    header = nlohmann::json::parse(file.substr(8, size));
    data = file.substr(8 + size);
  }
  template <typename T>
  std::vector<T> values(const std::string& name, const char* dtype) const {
    EXPECT_EQ(header.at(name).at("dtype"), dtype) << name;
    const std::size_t begin = header.at(name).at("data_offsets")[0], end = header.at(name).at("data_offsets")[1];
    std::vector<T> result((end - begin) / sizeof(T));
    std::memcpy(result.data(), data.data() + begin, end - begin);
    return result;
  }
};

/// The model's logits of the samples' pixels are those beside them, to `tolerance` of the largest.
void expect_logits(const OnnxEvaluator& model, const fs::path& samples, double tolerance) {
  OnnxTensor pixels;
  pixels.type = OnnxTensor::kUint8;
  const NpyArray images = read_npy(samples / "pixels.npy");
  pixels.shape = images.shape;
  pixels.values = images.as_doubles();
  const OnnxTensor found = model.run(pixels);
  const auto expected = read_npy(samples / "logits.npy").values<float>();
  ASSERT_EQ(found.values.size(), expected.size());
  double largest = 0.0;
  for (const float logit : expected) largest = std::max(largest, std::fabs(static_cast<double>(logit)));
  for (std::size_t i = 0; i < expected.size(); ++i) {
    EXPECT_NEAR(found.values[i], static_cast<double>(expected[i]), tolerance * largest) << "logit " << i;
  }
}

/// One short training for all tests of this process: mixed widths, one layer set apart.
class Export : public ::testing::Test {
 protected:
  static const fs::path& trained() {
    static const TemporaryFolder folder;
    static const fs::path run = [] {
      Config config = short_config(6, 8);
      PrecisionOverride first;
      first.pattern = "conv1";
      first.forward = ScheduleSpec{"constant", BitWidth::integer(5), BitWidth::integer(5), 1, 1};
      config.precision.layers = {first};
      RecordingListener listener;
      const auto device = make_cpu_device(Isa::kAuto, 2);
      train_to(config, *device, folder.path() / "run", listener);
      return folder.path() / "run";
    }();
    return run;
  }

  ExportResult write(ExportOptions options) {
    const auto device = make_cpu_device(Isa::kAuto, 2);
    options.out = out_;
    options.version = "test";
    return export_run(trained(), *device, options);
  }

  TemporaryFolder folder_;
  fs::path out_ = folder_.path() / "out";
};

TEST_F(Export, TheOnnxModelGivesTheLogitsOfAnEvaluationAtEveryWidthOfBytes) {
  for (const int bits : {0, 2, 3, 8}) {
    SCOPED_TRACE(bits);
    ExportOptions options;
    options.samples = 3;
    if (bits != 0) options.width = BitWidth::integer(bits);
    const ExportResult result = write(options);
    EXPECT_EQ(result.step, 6);
    EXPECT_EQ(result.images, 20);
    EXPECT_EQ(result.widths, bits == 0 ? "8 (conv1: 5)" : std::to_string(bits));

    const OnnxEvaluator model(read_file(out_ / "model.onnx"));
    EXPECT_EQ(model.opset(), 13);
    EXPECT_EQ(model.graph_name(), "resnet8");
    EXPECT_EQ(model.properties().at("bitcycle.digest"), result.digest);
    // A code that differs by one moves a logit by a hundred times as much.
    expect_logits(model, out_ / "samples", 4e-6);
  }
}

TEST_F(Export, OnlyStandardOperatorsInOrderOverByteCodesOfTheLayersWidth) {
  write({});
  const OnnxEvaluator model(read_file(out_ / "model.onnx"));
  std::set<std::string> operators, known{"pixels"};
  std::size_t convolutions = 0;
  for (const auto& node : model.nodes()) {
    operators.insert(node.op);
    convolutions += node.op == "ConvInteger" ? 1 : 0;
    for (const auto& output : node.outputs) known.insert(output);
  }
  EXPECT_EQ(operators, (std::set<std::string>{"Add", "Cast", "Clip", "ConvInteger", "Div", "Flatten", "Gather", "Gemm",
                                              "GlobalAveragePool", "Mul", "Relu", "Round", "Sub"}));
  EXPECT_EQ(convolutions, 2 * 9U) << "products and sums of codes of nine convolutions";
  const auto largest = [&](const std::string& name) {
    const auto& values = model.constant(name).values;
    return *std::max_element(values.begin(), values.end());
  };
  EXPECT_EQ(largest("conv1.weight.codes"), 31.0);
  EXPECT_EQ(model.constant("conv1.input.max").values[0], 31.0);
  EXPECT_EQ(largest("group2_layer0.downsample.weight.codes"), 255.0);
}

TEST_F(Export, CodesScalesAndOffsetsGiveTheWeightsBackToHalfAStepAtEveryContainer) {
  const auto device = make_cpu_device(Isa::kAuto, 1);
  std::vector<std::string> warnings;
  const Checkpoint checkpoint = RunFolder::existing(trained()).read_checkpoint("newest", warnings);
  const auto& weights = checkpoint.file.find("group1_layer0.conv1.weight")->data;
  const std::size_t group = weights.size() / 16;
  const auto check = [&](const auto& codes, const auto& scale, const auto& offset) {
    ASSERT_EQ(codes.size(), weights.size());
    ASSERT_EQ(scale.size(), 16U);
    for (std::size_t i = 0; i < weights.size(); ++i) {
      const double step = static_cast<double>(scale[i / group]);
      const double value = static_cast<double>(offset[i / group]) + step * static_cast<double>(codes[i]);
      ASSERT_NEAR(value, static_cast<double>(weights[i]), 0.5001 * step + 1e-7) << i;
    }
  };
  const std::string name = "group1_layer0.conv1.weight.";
  for (const int bits : {4, 12, 24}) {
    SCOPED_TRACE(bits);
    ExportOptions options;
    options.samples = 0;
    options.onnx = bits <= 8;
    options.width = BitWidth::integer(bits);
    const ExportResult result = write(options);
    EXPECT_FALSE(result.test_accuracy) << "without samples no images are needed";
    const RawTensors file(out_ / "weights.safetensors");
    if (bits == 24) {
      check(file.values<std::uint32_t>(name + "codes", "U32"), file.values<double>(name + "scale", "F64"),
            file.values<double>(name + "offset", "F64"));
    } else if (bits == 12) {
      check(file.values<std::uint16_t>(name + "codes", "U16"), file.values<float>(name + "scale", "F32"),
            file.values<float>(name + "offset", "F32"));
    } else {
      check(file.values<std::uint8_t>(name + "codes", "U8"), file.values<float>(name + "scale", "F32"),
            file.values<float>(name + "offset", "F32"));
    }
    EXPECT_EQ(file.header.at(name + "codes").at("shape"), (std::vector<int>{16, 16, 3, 3}));
    EXPECT_EQ(file.header.at("__metadata__").at("bitcycle.bits"), std::to_string(bits));
  }
}

/// First layer and projections in float32 and max pooling, then all layers but the classifier quantised.
TEST_F(Export, NetworksOfImageNetGiveTheLogitsOfAnEvaluation) {
  const auto device = make_cpu_device(Isa::kAuto, 2);
  const TemporaryFolder images;
  make_image_folder(images.path(), 2, 5, 3);
  for (const char* layers : {"float32", "quantised"}) {
    SCOPED_TRACE(layers);
    Config config = short_config(2, 8);
    config.model.name = "resnet18";
    config.model.first_layer = config.model.projections = layers;
    config.model.classes = 2;
    config.data.name = "imagefolder";
    config.data.path = images.path().string();
    config.data.train_images = config.data.test_images = 0;
    config.data.image_size = 32;
    config.data.resize = 40;
    RecordingListener listener;
    const fs::path run = folder_.path() / layers;
    train_to(config, *device, run, listener);
    ExportOptions options;
    options.samples = 1;
    options.out = out_;
    options.version = "test";
    export_run(run, *device, options);
    const OnnxEvaluator model(read_file(out_ / "model.onnx"));
    std::map<std::string, int> operators;
    for (const auto& node : model.nodes()) ++operators[node.op];
    EXPECT_EQ(operators["Conv"], layers[0] == 'f' ? 4 : 0) << "conv1 and three projections";
    EXPECT_EQ(operators["ConvInteger"], 2 * (layers[0] == 'f' ? 16 : 20));
    EXPECT_EQ(operators["MaxPool"], 1);
    // Sums of conv1 in another order move a code here and there by one.
    expect_logits(model, out_ / "samples", layers[0] == 'f' ? 3e-3 : 4e-6);
    const RawTensors codes(out_ / "weights.safetensors");
    if (layers[0] == 'f') {
      EXPECT_EQ(codes.values<float>("conv1.weight", "F32").size(), 64U * 3 * 7 * 7);
    } else {
      EXPECT_EQ(codes.values<std::uint8_t>("conv1.weight.codes", "U8").size(), 64U * 3 * 7 * 7);
    }
  }
}

TEST_F(Export, WidthsThatOnnxCannotHoldAreRefusedByLayerAndNothingIsWritten) {
  for (const BitWidth width : {BitWidth::integer(9), BitWidth::float32()}) {
    ExportOptions options;
    options.width = width;
    try {
      write(options);
      FAIL() << width.text();
    } catch (const std::runtime_error& error) {
      EXPECT_THAT(error.what(), HasSubstr("layer conv1 has a width of " + width.text()));
      EXPECT_THAT(error.what(), HasSubstr("--no-onnx"));
    }
    EXPECT_FALSE(fs::exists(out_));
  }
}

}  // namespace
}  // namespace bitcycle::test
