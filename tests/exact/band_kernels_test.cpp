// SPDX-License-Identifier: Apache-2.0
// Operations of language models that go by words, and columns that are moved, on every device: the bytes of the
// reference loops, at shapes that are no multiple of any vector or tile.
#include "tests/exact/node_program.h"

namespace bitcycle::test {
namespace {

TEST(NodeKernels, WordsInBands) {
  for (const std::int64_t rows : {7, 301}) {
    NodeProgram p;
    std::vector<std::int32_t> words;
    for (std::int32_t r = 0; r < rows; ++r) words.push_back(r * r % 150);
    const Tensor tokens = p.input<std::int32_t>("tokens", Element::kInt32, words, {rows});
    const auto result = [&](const std::string& name, const Shape& shape) {
      return p.tensor(name, Element::kFloat32, shape);
    };
    const Shape narrow{rows, 1, 1, 37}, wide{rows, 1, 1, 1030};
    const Tensor x = p.values("x", narrow), more = p.values("more", wide);
    p.node(ops::BandRows{p.values("table", {60, 1, 1, 37}), tokens, 50, result("rows", narrow)});
    p.node(ops::BandRowsGradient{tokens, x, 50, result("dtable", {60, 1, 1, 37})});
    p.node(ops::MaskRows{x, tokens, 20, 70, result("masked", narrow)});
    p.node(ops::Transpose{more, result("turned", {1030, 1, 1, rows})});
    p.node(ops::SliceColumns{more, 11, result("columns", narrow)});
    p.node(ops::ConcatenateColumns{{x, more}, result("both", {rows, 1, 1, 1067})});
    p.node(ops::Slice{more, 2, result("some", {3, 1, 1, 1030})});
    p.node(ops::Concatenate{{x, x}, result("twice", {2 * rows, 1, 1, 37})});
    ops::BandLabels bands;
    bands.tokens = tokens;
    bands.cutoffs = {40, 80, 150};
    for (const char* name : {"head", "first", "second"})
      bands.labels.push_back(p.tensor(name, Element::kInt32, {rows}));
    p.node(bands);
    for (const bool gradients : {true, false}) {
      ops::SoftmaxLoss loss;
      const std::string name = gradients ? "dlogits" : "losses";
      loss.logits = more;
      loss.labels = bands.labels[1];
      loss.loss = p.tensor(name + " loss", Element::kLoss);
      loss.partial = true;
      (gradients ? loss.dlogits : loss.losses) = result(name, gradients ? wide : Shape{rows});
      p.node(loss);
    }
    p.compare();
  }
}

/// Rows of a head: ties, zeros of both signs, and numbers that are not finite.
TEST(NodeKernels, SoftmaxOfAllSortsOfLogits) {
  constexpr std::int64_t kClasses = 2053, kRows = 11;
  std::vector<float> logits;
  for (std::int64_t i = 0; i < kRows * kClasses; ++i) logits.push_back(static_cast<float>(i * 37 % 101) * 0.17F - 9.0F);
  const auto at = [&](std::int64_t row, std::int64_t j) -> float& {
    return logits[static_cast<std::size_t>(row * kClasses + j)];
  };
  for (std::int64_t j = 0; j < kClasses; ++j) at(1, j) = j % 2 == 0 ? -0.0F : 0.0F;
  at(2, 700) = at(2, 900) = 50.0F;  // the first of two is the largest
  at(3, 900) = 200.0F;
  at(4, 5) = -INFINITY;
  at(5, 2052) = 88.0F;
  std::vector<std::int32_t> labels{0, 0, 900, 900, 5, 2052, 1, 2, 3, 4, 5};
  NodeProgram p;
  ops::SoftmaxLoss loss;
  loss.logits = p.input<float>("logits", Element::kFloat32, logits, {kRows, kClasses});
  loss.labels = p.input<std::int32_t>("labels", Element::kInt32, labels, {kRows});
  loss.loss = p.tensor("loss", Element::kLoss);
  loss.dlogits = p.tensor("dlogits", Element::kFloat32, {kRows, kClasses});
  loss.losses = p.tensor("losses", Element::kFloat32, {kRows});
  p.node(loss);
  p.compare();
}

/// Rows by words: one more than a chunk of tokens, more columns than a block has, words that are not there.
TEST(NodeKernels, RowsByWords) {
  for (const auto& [rows, c] : {std::pair{1, 1}, std::pair{127, 3}, std::pair{129, 513}, std::pair{40, 4}}) {
    NodeProgram p;
    std::vector<std::int32_t> words;
    for (std::int32_t r = 0; r < rows; ++r) words.push_back(r * r % 23);
    const Tensor tokens = p.input<std::int32_t>("tokens", Element::kInt32, words, {rows});
    const Shape shape{rows, 1, 1, c}, table_shape{23, 1, 1, c}, band_shape{7, 1, 1, c};
    const auto result = [&](const std::string& name, const Shape& extents) {
      return p.tensor(name, Element::kFloat32, extents);
    };
    const Tensor x = p.values("x", shape);
    p.node(ops::Gather{p.values("table", table_shape), tokens, result("gathered", shape)});
    p.node(ops::GatherGradient{tokens, x, result("dtable", table_shape)});
    p.node(ops::BandRows{p.values("band", band_shape), tokens, 4, result("band rows", shape)});
    p.node(ops::BandRowsGradient{tokens, x, 4, result("dband", band_shape)});
    p.node(ops::MaskRows{x, tokens, 4, 7, result("masked", shape)});
    ops::BandLabels labels;
    labels.tokens = tokens;
    labels.cutoffs = {4, 11, 23};
    for (const char* name : {"head", "first", "second"})
      labels.labels.push_back(p.tensor(name, Element::kInt32, {rows}));
    p.node(labels);
    p.compare();
  }
}

/// Grids of running ranges, which evaluations take as they are, of narrow and of wide codes.
TEST(NodeKernels, RunningGrids) {
  NodeProgram p;
  for (const char* quantiser : {kAffine, kAffineWithZero}) {
    const std::string of = quantiser;
    const Tensor running = p.state(of + " v", {2});  // not negative
    for (const int bits : {2, 8, 16, 24}) {
      const std::string name = of + " " + std::to_string(bits);
      const Tensor width = p.input<BitWidth>(name + " width", Element::kBitWidth, {BitWidth::integer(bits)});
      p.node(ops::RunningGrid{running, width, p.tensor(name, Element::kGrid), MinScale{}, quantiser});
    }
  }
  p.compare();
}

/// Sides of a tile, one less and one more; more parts than a launch has.
TEST(NodeKernels, Columns) {
  for (const auto& [rows, columns] : {std::pair{1, 1}, std::pair{31, 33}, std::pair{32, 32}, std::pair{33, 31},
                                      std::pair{65, 2}, std::pair{3, 200}}) {
    NodeProgram p;
    const Tensor x = p.values("x", {rows, 1, 1, columns});
    const auto result = [&](const std::string& name, std::int64_t of_rows, std::int64_t of_columns) {
      return p.tensor(name, Element::kFloat32, {of_rows, 1, 1, of_columns});
    };
    p.node(ops::Transpose{x, result("turned", columns, rows)});
    ops::ConcatenateColumns all;
    std::int64_t sum = 0;
    for (int part = 0; part < 11; ++part) {
      const std::int64_t first = part % columns, count = std::min<std::int64_t>(columns - first, 1 + 5 * part);
      const Tensor y = result("part " + std::to_string(part), rows, count);
      p.node(ops::SliceColumns{x, first, y});
      all.parts.push_back(y);
      sum += count;
    }
    all.y = result("all", rows, sum);
    p.node(all);
    p.compare();
  }
}

}  // namespace
}  // namespace bitcycle::test
