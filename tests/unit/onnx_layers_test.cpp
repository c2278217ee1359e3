// SPDX-License-Identifier: Apache-2.0
// ONNX models as layers: what is batch, what is a weight, and that what cannot be priced is refused by its node's name.
#include "cost_models/onnx/onnx_layers.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cost_models/layer_limits.h"
#include "cost_models/onnx/protobuf_fields.h"
#include "nn/export/onnx_model.h"

namespace bitcycle::test {
namespace {

using ::testing::HasSubstr;

constexpr OnnxType kFloat = OnnxType::kFloat32;

/// A model with the input x of (N, sizes...).
OnnxModel model_of(const std::vector<std::int64_t>& sizes) {
  OnnxModel onnx("m");
  onnx.input("x", kFloat, sizes);
  return onnx;
}
std::string weights(OnnxModel& onnx, const std::string& name, const std::vector<std::int64_t>& shape) {
  std::int64_t count = 1;
  for (const std::int64_t size : shape) count *= size;
  return onnx.constant<float>(name, shape, std::vector<float>(static_cast<std::size_t>(count), 0.0F));
}
std::string bytes_of(const OnnxModel& onnx) { return onnx.bytes("1", "", {}); }
Topology read(const OnnxModel& onnx, const OnnxSizes& sizes = {}) {
  return parse_onnx(bytes_of(onnx), "m.onnx", sizes);
}
std::string error_of(const OnnxModel& onnx, const OnnxSizes& sizes = {}) {
  try {
    read(onnx, sizes);
  } catch (const std::invalid_argument& error) {
    return error.what();
  }
  return "no error";
}

TEST(Onnx, AConvolutionHasItsWindowsGroupsAndPads) {
  OnnxModel onnx = model_of({8, 20, 30});
  onnx.node(
      "Conv", {"x", weights(onnx, "w", {12, 2, 3, 5})}, "conv",
      {.integers = {{"group", 4}}, .lists = {{"strides", {2, 1}}, {"dilations", {1, 2}}, {"pads", {0, 1, 2, 3}}}});
  const MatrixOperation& operation = read(onnx).layers.at(0).operation;
  const OperationShape& s = operation.shape;
  EXPECT_EQ(operation.kind, "conv2d");
  EXPECT_EQ(s.n, 1);
  EXPECT_EQ(s.out_h(), (20 + 2 - 3) / 2 + 1);
  EXPECT_EQ(s.out_w(), 30 + 4 - 9 + 1);
  EXPECT_EQ(s.groups, 4);
  EXPECT_EQ(s.macs(), s.out_h() * s.out_w() * 12 * 15 * 2);
  EXPECT_FALSE(operation.input_gradient);
}

TEST(Onnx, AConvolutionOverThreeAxesIsTheProductOfItsWindows) {
  OnnxModel onnx = model_of({4, 9, 8, 7});
  onnx.node("Conv", {"x", weights(onnx, "w", {6, 2, 3, 2, 1})}, "conv", {.integers = {{"group", 2}}, .lists = {}});
  const OperationShape s = read(onnx).layers.at(0).operation.shape;
  EXPECT_EQ(s.macs(), 7 * 7 * 7 * 6 * 2 * 3 * 2);
  EXPECT_EQ(s.weight_size(), 6 * 2 * 3 * 2);
  EXPECT_EQ(s.groups, 2);
}

TEST(Onnx, TheOpenFirstAxisIsTheBatchAndAGivenOneMakesWholeBatches) {
  OnnxModel onnx = model_of({6});
  onnx.node("MatMul", {"x", weights(onnx, "w", {6, 4})}, "fc");
  EXPECT_FALSE(read(onnx).has_batch);
  EXPECT_EQ(read(onnx).layers.at(0).operation.shape.macs(), 24);
  const Topology whole = read(onnx, {{"N", 5}});
  EXPECT_TRUE(whole.has_batch);
  EXPECT_TRUE(whole.layers.at(0).has_batch);
  EXPECT_EQ(whole.layers.at(0).operation.shape.macs(), 5 * 24);
  EXPECT_THAT(error_of(onnx, {{"M", 5}}), HasSubstr("no open axis 'M'; its open axes are N"));
}

TEST(Onnx, NamesThatAreThereAlreadyGetNumbers) {
  // The writer gives a node its result's name: two nodes of one name are two results of one name.
  OnnxModel twice = model_of({4});
  twice.node("MatMul", {"x", weights(twice, "a", {4, 4})}, "fc");
  twice.node("MatMul", {"x", weights(twice, "b", {4, 4})}, "fc");
  EXPECT_THAT(error_of(twice), HasSubstr("its result 'fc' is the name of another value, too"));
  LayerNames names;
  EXPECT_EQ(names.unique("conv"), "conv");
  EXPECT_EQ(names.unique("conv#2"), "conv#2");
  EXPECT_EQ(names.unique("conv"), "conv#3");
}

TEST(Onnx, ProductsOfConstantsAreComputedOnceAndAreNoLayers) {
  OnnxModel onnx = model_of({4});
  const std::string w = onnx.node("MatMul", {weights(onnx, "a", {4, 3}), weights(onnx, "b", {3, 7})}, "folded");
  onnx.node("MatMul", {"x", w}, "fc");
  const Topology topology = read(onnx);
  ASSERT_EQ(topology.layers.size(), 1U);
  EXPECT_EQ(topology.layers[0].operation.shape.macs(), 28);
}

TEST(Onnx, BatchesOfMatricesOnTheRightAreGroups) {
  OnnxModel onnx = model_of({3, 5, 4});
  onnx.node("MatMul", {"x", weights(onnx, "w", {3, 4, 2})}, "own");
  onnx.node("MatMul", {"x", weights(onnx, "v", {1, 4, 2})}, "shared");
  const Topology topology = read(onnx);
  EXPECT_EQ(topology.layers.at(0).operation.shape.groups, 3);
  EXPECT_EQ(topology.layers.at(0).operation.shape.n, 5);
  EXPECT_EQ(topology.layers.at(1).operation.shape.groups, 1);
  EXPECT_EQ(topology.layers.at(1).operation.shape.n, 15);
  for (const auto& layer : topology.layers) EXPECT_EQ(layer.operation.shape.macs(), 3 * 5 * 4 * 2);
}

TEST(Onnx, WhatCannotBePricedIsNamedWithNodeOperatorAndRemedy) {
  OnnxModel onnx = model_of({4, 9, 9});
  onnx.node("Frobnicate", {"x"}, "odd");
  EXPECT_THAT(error_of(onnx), HasSubstr("m.onnx: node 'odd' (Frobnicate): this operator is not known here"));
  onnx = model_of({4});
  onnx.node("LSTM", {"x"}, "memory");
  EXPECT_THAT(error_of(onnx), HasSubstr("node 'memory' (LSTM): recurrent layers are not priced"));
  onnx = model_of({4});
  onnx.node("Relu", {"x"}, "r");
  EXPECT_THAT(error_of(onnx), HasSubstr("none of its 1 nodes multiplies matrices"));
  // A size that only the running model knows.
  onnx = model_of({4});
  onnx.node("NonZero", {"x"}, "positions");
  onnx.node("MatMul", {"positions", weights(onnx, "w", {4, 2})}, "fc");
  EXPECT_THAT(error_of(onnx), HasSubstr("node 'fc' (MatMul): the shape of one of its operands is not known"));
  EXPECT_THAT(error_of(onnx), HasSubstr("node 'positions' (NonZero) makes it"));
  EXPECT_THAT(error_of(onnx), HasSubstr("onnx.shape_inference"));
  // Shapes that do not fit.
  onnx = model_of({4, 9, 9});
  onnx.node("Conv", {"x", weights(onnx, "w", {2, 3, 3, 3})}, "conv");
  EXPECT_THAT(error_of(onnx), HasSubstr("node 'conv' (Conv): an input of 4 channels"));
  onnx = model_of({4, 2, 2});
  onnx.node("Conv", {"x", weights(onnx, "w", {2, 4, 3, 3})}, "conv");
  EXPECT_THAT(error_of(onnx), HasSubstr("does not fit"));
  onnx = model_of({4});
  onnx.node("MatMul", {"x", weights(onnx, "w", {3, 2})}, "fc");
  EXPECT_THAT(error_of(onnx), HasSubstr("cannot be multiplied"));
  // What the file says against what its inputs give.
  onnx = model_of({4});
  onnx.node("MatMul", {"x", weights(onnx, "w", {4, 2})}, "fc");
  onnx.output("fc", kFloat, {3});
  EXPECT_THAT(error_of(onnx), HasSubstr("(1, 2) by its inputs, and (1, 3) by what the file says"));
}

TEST(Onnx, NodesOutOfOrderAndCyclesAreRefused) {
  OnnxModel onnx = model_of({4});
  onnx.node("Add", {"x", "later"}, "early");
  onnx.node("Relu", {"early"}, "later");
  EXPECT_THAT(error_of(onnx), HasSubstr("node 'early' (Add) reads 'later' before node 'later' (Relu) has made it"));
  onnx = model_of({4});
  onnx.node("Relu", {"nothing"}, "r");
  EXPECT_THAT(error_of(onnx), HasSubstr("reads 'nothing', which is neither"));
}

TEST(Onnx, HugeSizesAreCountedOrRefused) {
  OnnxModel onnx = model_of({std::int64_t{1} << 40});
  onnx.node("MatMul", {"x", onnx.constant<float>("w", {std::int64_t{1} << 40, std::int64_t{1} << 40}, {})}, "fc");
  EXPECT_THAT(error_of(onnx), HasSubstr("2^53"));
  onnx = model_of({std::int64_t{1} << 62, 2, 2});
  onnx.node("Flatten", {"x"}, "flat", {.integers = {{"axis", 1}}, .lists = {}});
  onnx.node("MatMul", {"flat", weights(onnx, "w", {1, 1})}, "fc");
  EXPECT_THAT(error_of(onnx), HasSubstr("too many elements"));
}

TEST(Onnx, WhatIsNoModelIsRefused) {
  for (const std::string& bytes : {std::string(), std::string("Layer, M, N, K\n"), std::string(40, '\xff'),
                                   std::string("\x3a\xff\xff\xff\xff\xff\xff\xff\xff\x7f", 10)}) {
    try {
      parse_onnx(bytes, "bad.onnx");
      FAIL() << bytes;
    } catch (const std::invalid_argument& error) {
      EXPECT_THAT(error.what(), HasSubstr("bad.onnx: not an ONNX model, or a damaged one: "));
    }
  }
  EXPECT_THROW(read_onnx("/dev/zero"), std::invalid_argument);
  EXPECT_THROW(read_onnx("/"), std::invalid_argument);
}

TEST(Protobuf, NumbersAreReadToTheirLastBit) {
  const std::string largest = "\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01";
  ProtobufFields fields(largest);
  ProtobufField field;
  ASSERT_TRUE(fields.next(field));
  EXPECT_EQ(field.number, 1);
  EXPECT_EQ(field.integer(), -1);
  EXPECT_FALSE(fields.next(field));
  std::vector<std::int64_t> values;
  field.kind = ProtobufField::Kind::kBytes;
  field.bytes = std::string_view("\x01\xac\x02", 3);
  append_integers(field, values, 2);
  EXPECT_EQ(values, (std::vector<std::int64_t>{1, 300}));
  EXPECT_THROW(append_integers(field, values, 3), std::invalid_argument);
}

}  // namespace
}  // namespace bitcycle::test
