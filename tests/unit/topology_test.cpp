// SPDX-License-Identifier: Apache-2.0
// Layers of one's own from CSV: what each column means, and that what cannot be meant is refused with its location.
#include "cost_models/topology.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <stdexcept>

#include "cost_models/csv.h"
#include "cost_models/pricing.h"

namespace bitcycle::test {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

const std::string kConvolutions =
    "Layer name, IFMAP Height, IFMAP Width, Filter Height, Filter Width, Channels, Num Filter, Strides";

OperationShape shape_of(const std::string& more_columns, const std::string& row) {
  return parse_topology(kConvolutions + more_columns + ",\n" + row + "\n", "t.csv").layers.at(0).operation.shape;
}
std::string error_of(const std::string& text) {
  try {
    parse_topology(text, "t.csv");
  } catch (const std::invalid_argument& error) {
    return error.what();
  }
  return "no error";
}
std::string error_of_row(const std::string& more_columns, const std::string& row) {
  return error_of(kConvolutions + more_columns + ",\n" + row + "\n");
}

TEST(Csv, CellsInQuotesHoldCommasAndQuotes) {
  EXPECT_THAT(split_csv(R"(a, "b, c" ,"say ""d""", ,e,,)"), ElementsAre("a", "b, c", "say \"d\"", "", "e"));
  EXPECT_THROW(split_csv(R"("open)"), std::invalid_argument);
  EXPECT_THROW(split_csv(R"("a"b,c)"), std::invalid_argument);
  for (const std::string text : {"plain", "b, c", "say \"d\"", " blank "}) {
    EXPECT_THAT(split_csv(csv_cell(text)), ElementsAre(text));
  }
}

TEST(Csv, ControlCharactersAndOtherDirectionsAreNotPrintable) {
  for (const std::string good : {"conv1", "Schicht \xc3\xa4", "\xe5\xb1\x82", "\xf0\x9f\x98\x80"}) {
    EXPECT_TRUE(is_printable(good)) << good;
  }
  for (const std::string bad : {"\x1b[31m", "a\x7f", "\xc2\x9b", "\xe2\x80\xae", "\xe2\x81\xa6", "\xff", "\xc3",
                                "\xe0\x80\x80", "\xed\xa0\x80", "\xf5\x80\x80\x80"}) {
    EXPECT_FALSE(is_printable(bad)) << bad;
  }
}

TEST(Topology, WithoutPaddingTheLastWindowMayReachOut) {
  const OperationShape plain = shape_of("", "Conv1, 224, 224, 7, 7, 3, 64, 2,");
  EXPECT_EQ(plain.out_h(), 110);  // SCALE-Sim: ceil((224 - 7 + 2) / 2)
  EXPECT_EQ(plain.input_size(), 224 * 224 * 3);
  EXPECT_EQ(shape_of(", padding", "Conv1, 224, 224, 7, 7, 3, 64, 2, 3").out_h(), 112);
  EXPECT_EQ(shape_of(", padding", "Conv1, 224, 224, 7, 7, 3, 64, 2, 0").out_h(), 109);
  const OperationShape same = shape_of(", padding", "Conv1, 224, 224, 7, 7, 3, 64, 2, same");
  EXPECT_EQ(same.out_h(), 112);
  EXPECT_EQ(same.pad_top, 2);
  EXPECT_EQ(same.pad_bottom, 3);
}

TEST(Topology, ColumnsOfBatchGroupsDilationAndTwoStrides) {
  const OperationShape s = shape_of(", groups, batch, dilation, padding", "a, 16, 16, 3, 3, 32, 64, 1, 4, 8, 2, 2");
  EXPECT_EQ(s.groups, 4);
  EXPECT_EQ(s.n, 8);
  EXPECT_EQ(s.out_h(), 16);  // (16 + 4 - 5) / 1 + 1
  EXPECT_EQ(s.macs(), 8 * 16 * 16 * 64 * 9 * 8);
  const Topology two = parse_topology("Layer,h,w,kh,kw,c,o,Stride height,Stride width\na,9,9,3,3,1,1,2,3\n", "t.csv");
  EXPECT_EQ(two.layers.at(0).operation.shape.stride_h, 2);
  EXPECT_EQ(two.layers.at(0).operation.shape.stride_w, 3);
  const OperationShape depthwise = shape_of("", "Conv_DP2, 16, 16, 3, 3, 32, 1, 1");
  EXPECT_EQ(depthwise.groups, 32);
  EXPECT_EQ(depthwise.o, 32);
}

TEST(Topology, RowsNameTheirPasses) {
  const Topology t = parse_topology(
      "Layer, M, N, K, pass,\na, 2, 3, 4,\nb, 2, 3, 4, forward+weight_gradient\nc,2,3,4,inference\n", "t.csv");
  EXPECT_THAT(t.layers[0].operation.passes, ElementsAre(true, true, true));
  EXPECT_FALSE(t.layers[0].operation.input_gradient) << "the first layer";
  EXPECT_THAT(t.layers[1].operation.passes, ElementsAre(true, false, true));
  EXPECT_THAT(t.layers[2].operation.passes, ElementsAre(true, false, false));
  const Accelerator metric = load_accelerator(BITCYCLE_SOURCE "/configs/accelerators/bitops.yaml");
  EXPECT_EQ(price_topology(metric, t, {8, 8}).rows.size(), 4U) << "a and c forward, b two passes";
}

TEST(Topology, ARightOperandOfTheSampleIsAProductForEach) {
  const Topology t = parse_topology("Layer, M, N, K, rhs, batch\nqk, 64, 64, 32, activation, 12\n", "t.csv");
  const MatrixOperation& operation = t.layers.at(0).operation;
  EXPECT_EQ(operation.shape.macs(), 12 * 64 * 64 * 32);
  EXPECT_EQ(operation.shape.weight_size(), 12 * 64 * 32);
  const auto products = products_of(operation, Pass::kForward, {8, 8}, 1, false, false);
  ASSERT_EQ(products.size(), 1U);
  EXPECT_EQ(products[0].repeat, 12);
  EXPECT_EQ(products[0].m, 64);
  MatrixOperation shared = operation;  // without the column the schedule's batch multiplies the products
  shared.shape = OperationShape(matmul_shape(64, 64, 32));
  EXPECT_EQ(products_of(shared, Pass::kForward, {8, 8}, 12, false, false)[0].repeat, 12);
}

TEST(Topology, ColumnsAreFoundByTheirNamesInAnyOrder) {
  const OperationShape s =
      parse_topology(
          "Num Filter, Layer name, Strides, Channels, Filter Width, Filter Height, IFMAP Width, IFMAP Height\n"
          "64, a, 2, 3, 5, 7, 220, 224\n",
          "t.csv")
          .layers.at(0)
          .operation.shape;
  EXPECT_EQ(s.o, 64);
  EXPECT_EQ(s.c, 3);
  EXPECT_EQ(s.h, 224);
  EXPECT_EQ(s.w, 220);
  EXPECT_EQ(s.kh, 7);
  EXPECT_EQ(s.kw, 5);
  EXPECT_EQ(s.stride_w, 2);
  const OperationShape product = parse_topology("K, N, M, name\n2, 3, 5, a\n", "t.csv").layers.at(0).operation.shape;
  EXPECT_EQ(product.n, 5);
  EXPECT_EQ(product.o, 3);
  EXPECT_EQ(product.c, 2);
  EXPECT_THAT(error_of("layer,kind,in_channels,in_h,in_w,out_channels,kernel,stride\na,b,1,1,1,1,1,1\n"),
              HasSubstr("t.csv:1: there is no column 'kind'"));
  EXPECT_THAT(error_of("Layer, M, N\na,1,1\n"), HasSubstr("the column 'K' is missing"));
  EXPECT_THAT(error_of("Layer name, IFMAP Height, IFMAP Width, Filter Height, Filter Width, Channels, Strides\na,1\n"),
              HasSubstr("the column 'Num Filter' is missing"));
  EXPECT_THAT(error_of("Layer, M, N, K, m\na,1,1,1,1\n"), HasSubstr("the columns 'M' and 'm' mean the same"));
  EXPECT_THAT(error_of(",Layer, M, N, K\n0,a,1,1,1\n"), HasSubstr("column 1 has no name"));
  EXPECT_THAT(error_of("Layer, M, N, K, Channels\na,1,1,1,1\n"), HasSubstr("write two files"));
  EXPECT_THAT(error_of(kConvolutions + ", Stride Height\na,4,4,1,1,1,1,1,1\n"), HasSubstr("exclude each other"));
  EXPECT_THAT(error_of("first, second\na,1\n"), HasSubstr("the header of convolutions is"));
  EXPECT_THAT(error_of("Layer, M, N, K\na,1,,1\n"), HasSubstr("t.csv:2: the cell of column 'N' is empty"));
}

TEST(Topology, OnlyTheWordDpMeansDepthwise) {
  EXPECT_EQ(shape_of("", "ADPool, 16, 16, 3, 3, 32, 1, 1").groups, 1);
  for (const char* name : {"DP", "DP1", "Conv DP", "conv-DP-3"}) {
    EXPECT_EQ(shape_of("", std::string(name) + ", 16, 16, 3, 3, 32, 1, 1").groups, 32) << name;
  }
  const Topology t = parse_topology(kConvolutions + "\nConv_DP2, 16, 16, 3, 3, 32, 1, 1\n", "t.csv");
  ASSERT_EQ(t.notes.size(), 1U);
  EXPECT_THAT(t.notes[0], HasSubstr("Depthwise, by the word DP in their names, as in SCALE-Sim: Conv_DP2"));
}

TEST(Topology, AnEmptyBatchIsTheSchedulesAndNamesAreTold) {
  Topology t =
      parse_topology("Layer, M, N, K, batch, rhs\na, 2, 3, 4, 8,\na, 2, 3, 4\nb, 2, 3, 4, , activation\n", "t.csv");
  EXPECT_TRUE(t.layers[0].has_batch);
  EXPECT_FALSE(t.layers[1].has_batch);
  EXPECT_EQ(t.layers[1].operation.layer, "a#2");
  ASSERT_EQ(t.warnings.size(), 1U);
  EXPECT_THAT(t.warnings[0], HasSubstr("they are called a#2"));
  t.fill_batches(5);
  EXPECT_EQ(t.layers[0].operation.shape.macs(), 8 * 24);
  EXPECT_EQ(t.layers[1].operation.shape.macs(), 5 * 24);
  EXPECT_EQ(t.layers[2].operation.shape.macs(), 5 * 24);
  EXPECT_EQ(t.layers[2].operation.shape.groups, 5);
  Topology large = parse_topology("Layer, M, N, K\na, 1000000000, 1000, 1\n", "t.csv");
  EXPECT_THROW(large.fill_batches(1000000), std::invalid_argument);
}

TEST(Topology, StridesAreNamedAsInTheWild) {
  for (const char* pair : {"Stride Height, Stride Width", "Strides Height, Strides Width", "Stride H, Stride W",
                           "Strides H, Strides W", "stride_h,stride_w"}) {
    const Topology t = parse_topology(std::string("Layer name, IFMAP Height, IFMAP Width, Filter Height, Filter Width, "
                                                  "Channels, Num Filter, ") +
                                          pair + ",\na, 9, 9, 3, 3, 1, 1, 2, 3,\n",
                                      "t.csv");
    EXPECT_EQ(t.layers[0].operation.shape.stride_h, 2) << pair;
    EXPECT_EQ(t.layers[0].operation.shape.stride_w, 3) << pair;
  }
  EXPECT_THAT(error_of("Layer name, IFMAP Height, IFMAP Width, Filter Height, Filter Width, Channels, Num Filter, "
                       "Strides Height,\na, 9, 9, 3, 3, 1, 1, 2,\n"),
              HasSubstr("t.csv:1: the column 'Strides Height' is there, 'Stride Width' is missing"));
  EXPECT_THAT(error_of("Layer name, IFMAP Height, IFMAP Widht, Filter Height, Filter Width, Channels, Num Filter, "
                       "Strides,\na, 9, 9, 3, 3, 1, 1, 2,\n"),
              HasSubstr("there is no column 'IFMAP Widht'; did you mean 'IFMAP Width'?"));
}

TEST(Topology, ErrorsNameTheLocationAndWhatIsLegal) {
  EXPECT_THAT(error_of_row(", bogus", "a, 4, 4, 1, 1, 1, 1, 1"), HasSubstr("t.csv:1: there is no column 'bogus'"));
  EXPECT_THAT(error_of_row(", batch, batch", "a, 4, 4, 1, 1, 1, 1, 1"), HasSubstr("twice"));
  EXPECT_THAT(error_of_row(", batch", "a, 4, 4, 1, 1, 1, 1, 1, -3"), HasSubstr("t.csv:2: '-3' in column 'batch'"));
  EXPECT_THAT(error_of_row(", padding", "a, 4, 4, 1, 1, 1, 1, 1, nan"), HasSubstr("0..1000000000"));
  EXPECT_THAT(error_of_row(", groups", "a, 4, 4, 1, 1, 6, 8, 1, 4"), HasSubstr("4 groups do not divide 6 channels"));
  EXPECT_THAT(error_of_row(", pass", "a, 4, 4, 1, 1, 1, 1, 1, backward"), HasSubstr("must be forward, error"));
  EXPECT_THAT(error_of_row(", Sparsity", "a, 4, 4, 1, 1, 1, 1, 1, 1:4"), HasSubstr("sparsity is not modelled"));
  EXPECT_EQ(error_of_row(", Sparsity", "a, 4, 4, 1, 1, 1, 1, 1, 1:1"), "no error");
  EXPECT_THAT(error_of_row("", "\x1b[2J, 4, 4, 1, 1, 1, 1, 1"), HasSubstr("control characters"));
  EXPECT_THAT(error_of_row("", ", 4, 4, 1, 1, 1, 1, 1"), HasSubstr("no name"));
  EXPECT_THAT(error_of_row("", "\"a, 4, 4, 1, 1, 1, 1, 1"), HasSubstr("does not end"));
  EXPECT_THAT(error_of_row("", "a, 4, 4, 1, 1, 1, 1, 257"), HasSubstr("1..256"));
  EXPECT_THAT(error_of_row(", dilation", "a, 9, 9, 3, 3, 1, 1, 1, 1000000000"), HasSubstr("1..1"));
  EXPECT_THAT(error_of_row(", batch", "a, 100000, 100000, 1, 1, 1, 1, 1, 1000000000"), HasSubstr("2^53"));
  EXPECT_THAT(error_of("Layer, M, N, K, padding\na,1,1,1,1\n"), HasSubstr("means nothing"));
  EXPECT_THAT(error_of("Layer, M, N, K, lhs_bits\na,1,1,1,1\n"), HasSubstr("belong together"));
  EXPECT_THAT(error_of(""), HasSubstr("no layer"));
  EXPECT_THAT(error_of("Layer;M;N;K\na;1;1;1\n"),
              HasSubstr("t.csv:1: the columns of this line are separated by semicolons"));
  EXPECT_THAT(error_of("Layer, M, N, K\na\t1\t1\t1\n"),
              HasSubstr("t.csv:2: the columns of this line are separated by tabs"));
  EXPECT_THAT(error_of("\xef\xbb\xbfLayer, M, N, K\r\n\"a, b\", 1, 1, 1\r\n"), "no error");
}

}  // namespace
}  // namespace bitcycle::test
