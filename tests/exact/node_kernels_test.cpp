// SPDX-License-Identifier: Apache-2.0
// Operations of language models on every device: the bytes of the reference loops, at shapes that are no multiple of
// any vector or tile.
#include "tests/exact/node_program.h"

namespace bitcycle::test {
namespace {

const ops::PairShape kShapes[] = {{2, 3, 70, 70, 5, true},
                                  {1, 2, 33, 33, 24, true},
                                  {1, 1, 17, 40, 7, true},
                                  {2, 1, 5, 9, 7, false},
                                  {1, 2, 130, 130, 64, true}};

// Rows are given to threads one by one: one row, and more than there are threads.
TEST(NodeKernels, LstmCells) {
  for (const std::int64_t rows : {1, 5}) {
    constexpr std::int64_t kSize = 19;
    const Shape one{rows, 1, 1, kSize}, four{rows, 1, 1, 4 * kSize};
    NodeProgram p(rows);
    ops::LstmCell cell;
    cell.x = p.values("x", four);
    cell.h = p.values("h", four);
    cell.cell = p.values("cell", one);
    cell.gates = p.tensor("gates", Element::kFloat32, four);
    cell.next_cell = p.tensor("next cell", Element::kFloat32, one);
    cell.squashed = p.tensor("squashed", Element::kFloat32, one);
    cell.output = p.tensor("output", Element::kFloat32, one);
    p.node(cell);
    for (const bool last : {true, false}) {
      ops::LstmCellGradient gradient;
      gradient.gates = cell.gates;
      gradient.cell = cell.cell;
      gradient.squashed = cell.squashed;
      const std::string number = last ? " last" : "";
      gradient.doutput = p.values("doutput" + number, one);
      if (!last) gradient.dnext_cell = p.values("dnext cell", one);
      gradient.dgates = p.tensor("dgates" + number, Element::kFloat32, four);
      gradient.dcell = p.tensor("dcell" + number, Element::kFloat32, one);
      p.node(gradient);
    }
    p.compare();
  }
}

/// Arguments where the functions' formulas change, and numbers that are not finite.
TEST(NodeKernels, LstmCellsAtTheEndsOfTheirFunctions) {
  const std::vector<float> some{0.0F,    -0.0F,   1e-5F,  -1e-5F, 0x1p-12F, -0x1p-12F, 0x1.fp-13F, 3e-39F, 1e-42F,
                                -1e-42F, 20.0F,   -20.0F, 52.1F,  -52.1F,   103.9F,    -103.9F,    104.5F, -104.5F,
                                -740.0F, -747.0F, 800.0F, 1e30F,  -1e30F,   INFINITY,  -INFINITY,  NAN,    1.0F};
  const auto count = static_cast<std::int64_t>(some.size());
  NodeProgram p;
  std::vector<float> four;
  for (int gate = 0; gate < 4; ++gate) {
    for (std::size_t i = 0; i < some.size(); ++i)
      four.push_back(some[(i + static_cast<std::size_t>(5 * gate)) % some.size()]);
  }
  ops::LstmCell cell;
  const Shape one{1, 1, 1, count}, all{1, 1, 1, 4 * count};
  cell.x = p.input<float>("x", Element::kFloat32, four, all);
  cell.h = p.input<float>("h", Element::kFloat32, std::vector<float>(four.size(), -0.0F), all);
  cell.cell = p.input<float>("cell", Element::kFloat32, std::vector<float>(some.size(), 1e-9F), one);
  cell.gates = p.tensor("gates", Element::kFloat32, all);
  cell.next_cell = p.tensor("next cell", Element::kFloat32, one);
  cell.squashed = p.tensor("squashed", Element::kFloat32, one);
  cell.output = p.tensor("output", Element::kFloat32, one);
  p.node(cell);
  p.forget(cell.next_cell);  // sums of NaN: which of two NaN comes out is not said
  p.forget(cell.squashed);
  p.forget(cell.output);
  p.compare();
}

TEST(NodeKernels, ProductsOfActivations) {
  for (const ops::PairShape& s : kShapes) {
    for (const auto& [bits, column_bits] : {std::pair{3, 8}, {8, 8}, {12, 8}, {8, 13}, {16, 16}, {17, 9}}) {
      NodeProgram p;
      const ops::Quantised rows = p.codes("rows", p.values("row values", {s.row_elements()}), {s.row_elements()}, bits),
                           columns = p.codes("columns", p.values("column values", {s.column_elements()}),
                                             {s.column_elements()}, column_bits),
                           pairs = p.codes("pairs", p.values("pair values", {s.pair_elements()}), {s.pair_elements()},
                                           bits);
      const auto product = [&](const std::string& name, ops::PairForm form, const ops::Quantised& lhs,
                               const ops::Quantised& rhs) {
        const ops::PairContraction over{form, s};
        const Tensor sums = p.tensor(name + " sums", Element::kInt64, {over.out_size()});
        p.node(ops::PairProduct{lhs, rhs, over, sums});
        p.node(ops::PairRescale{lhs, rhs, over, sums, p.tensor(name, Element::kFloat32, {over.out_size()})});
        if (bits != 3) p.forget(sums);
      };
      product("scores", ops::PairForm::kPairs, rows, columns);
      product("attended", ops::PairForm::kRows, pairs, columns);
      product("scattered", ops::PairForm::kColumns, pairs, rows);
      p.compare();
    }
  }
}

TEST(NodeKernels, PairsInBinary32) {
  for (const ops::PairShape& s : kShapes) {
    NodeProgram p;
    const Tensor rows = p.values("rows", {s.row_elements()}), columns = p.values("columns", {s.column_elements()}),
                 pairs = p.values("pairs", {s.pair_elements()});
    const auto product = [&](const std::string& name, ops::PairForm form, Tensor lhs, Tensor rhs) {
      const ops::PairContraction over{form, s};
      p.node(ops::PairFloatProduct{lhs, rhs, over, p.tensor(name, Element::kFloat32, {over.out_size()})});
    };
    product("scores", ops::PairForm::kPairs, rows, columns);
    product("attended", ops::PairForm::kRows, pairs, columns);
    product("scattered", ops::PairForm::kColumns, pairs, rows);
    const Tensor y = p.tensor("softmax", Element::kFloat32, {s.pair_elements()});
    p.node(ops::PairSoftmax{pairs, s, 0.37F, y});
    p.node(ops::PairSoftmaxGradient{y, pairs, s, 0.37F, p.tensor("dx", Element::kFloat32, {s.pair_elements()})});
    p.node(ops::PairRange{pairs, s, false, p.tensor("range", Element::kRange)});
    p.node(ops::PairRange{y, s, true, p.tensor("probabilities' range", Element::kRange)});
    p.compare();
  }
}

TEST(NodeKernels, RangeOfZerosOfBothSigns) {
  NodeProgram p;
  const ops::PairShape s{1, 1, 2, 2, 1, true};
  const Tensor x = p.input<float>("x", Element::kFloat32, {-0.0F, 5.0F, -0.0F, -0.0F}, {4});
  p.node(ops::PairRange{x, s, false, p.tensor("range", Element::kRange)});
  p.compare();
}

TEST(NodeKernels, Rows) {
  for (const std::int64_t c : {5, 32, 67, 1000}) {
    NodeProgram p;
    const Shape shape{37, 1, 1, c};
    const Tensor x = p.values("x", shape), dy = p.values("dy", shape), gamma = p.values("gamma", {c}),
                 beta = p.values("beta", {c}), statistics = p.tensor("statistics", Element::kFloat32, {37, 2}),
                 bound = p.tensor("bound", Element::kFloat32);
    const auto result = [&](const std::string& name) { return p.tensor(name, Element::kFloat32, shape); };
    const auto channels = [&](const std::string& name) { return p.tensor(name, Element::kFloat32, {c}); };
    p.node(ops::LayerNorm{x, gamma, beta, 1e-5, statistics, result("y")});
    p.node(ops::LayerNormGradient{x, statistics, gamma, dy, result("dx")});
    p.node(ops::Magnitude{dy, bound});
    p.node(ops::LayerNormParameterGradient{x, statistics, dy, bound, channels("dgamma"), channels("dbeta")});
    p.node(ops::BiasGradient{dy, bound, channels("dbias")});
    p.node(ops::AddBias{x, beta, result("biased")});
    p.node(ops::Add{x, dy, result("sum")});
    const Tensor positive = p.tensor("positive", Element::kBit, shape);
    p.node(ops::Relu{x, result("relu"), positive});
    p.node(ops::ReluGradient{dy, positive, result("masked")});
    p.node(ops::Scale{x, 1.7F, result("scaled")});
    if (c % 2 == 0) p.node(ops::AddPositions{x, 1.7F, 10, 2, result("positions")});
    p.node(ops::Dropout{x, p.step(), result("dropped"), dropout_rule(0.3), 5, 77});
    p.node(ops::Dequantise{p.codes("codes", x, shape, 6), result("values")});
    p.compare();
  }
}

TEST(NodeKernels, StochasticCodes) {
  NodeProgram p;
  const Shape shape{3, 1, 1, 20'011};
  const Tensor x = p.values("x", shape), range = p.tensor("range", Element::kRange), step = p.step();
  p.node(ops::Range{x, range, ops::one_group()});
  for (const int bits : {6, 13, 20}) {
    const std::string name = std::to_string(bits);
    ops::Quantise op;
    op.x = x;
    op.width = p.input<BitWidth>("width " + name, Element::kBitWidth, {BitWidth::integer(bits)});
    op.grid = p.tensor("grid " + name, Element::kGrid);
    op.codes = p.tensor("codes " + name,
                        bits <= 8 ? Element::kCodes8 : (bits <= 16 ? Element::kCodes16 : Element::kCodes32), shape);
    op.rounding = ops::Quantise::Rounding::kStochastic;
    op.step = step;
    op.seed = 9;
    op.tensor_id = 1234;
    p.node(ops::FitGrid{range, op.width, op.grid, MinScale{}});
    p.node(op);
  }
  p.compare();
}

TEST(NodeKernels, TablesAndOptimisers) {
  NodeProgram p;
  std::vector<std::int32_t> words;
  for (std::int32_t r = 0; r < 301; ++r) words.push_back(r * r % 150);
  const Tensor tokens = p.input<std::int32_t>("tokens", Element::kInt32, words, {301});
  const Tensor table = p.values("table", {150, 1, 1, 37});
  p.node(ops::Gather{table, tokens, p.tensor("rows", Element::kFloat32, {301, 1, 1, 37})});
  p.node(ops::GatherGradient{tokens, p.values("dy", {301, 1, 1, 37}),
                             p.tensor("dtable", Element::kFloat32, {150, 1, 1, 37})});
  const Tensor rate = p.input<float>("rate", Element::kFloat32, {0.01F}), step = p.step();
  const auto gradient = [&](const std::string& name, const Shape& shape) {
    const Tensor made = p.tensor(name, Element::kFloat32, shape);
    p.node(ops::Scale{p.values(name + " values", shape), 1.0F, made});
    return made;
  };
  ops::SgdClipped sgd;
  sgd.gradients = {gradient("g", {33, 1000}), gradient("h", {5})};
  sgd.parameters = {p.state("w", {33, 1000}), p.state("b", {5})};
  sgd.rate = rate;
  sgd.norm = p.tensor("norm", Element::kFloat64);
  sgd.clip = 0.25;
  p.node(sgd);
  for (const double clip : {0.0, 0.5}) {
    const std::string name = clip == 0.0 ? "adamw" : "clipped adamw";
    ops::Adamw adamw;
    adamw.gradients = {gradient(name + " g", {40, 700})};
    adamw.moments = {p.state(name + " m", {40, 700})};
    adamw.squares = {p.state(name + " v", {40, 700})};
    adamw.parameters = {p.state(name + " w", {40, 700})};
    adamw.rate = rate;
    adamw.step = step;
    adamw.rule.clip = clip;
    if (clip > 0.0) adamw.norm = p.tensor(name + " norm", Element::kFloat64);
    p.node(adamw);
  }
  for (const double clip : {0.0, 0.5}) {
    const std::string name = clip == 0.0 ? "nag" : "clipped nag";
    ops::Nag nag;
    nag.gradients = {gradient(name + " g", {40, 701})};
    nag.momenta = {p.state(name + " b", {40, 701})};
    nag.parameters = {p.state(name + " w", {40, 701})};
    nag.rate = rate;
    nag.rate_before = p.state(name + " rate before", {1});
    nag.rule = {0.99, clip == 0.0 ? 0.01 : 0.0, clip};
    if (clip > 0.0) nag.norm = p.tensor(name + " norm", Element::kFloat64);
    p.node(nag);
  }
  p.compare();
}

/// Copies that are one launch of a device, and copies that read what another wrote.
TEST(NodeKernels, Copies) {
  for (const std::int64_t c : {1, 4, 7}) {
    NodeProgram p;
    const Tensor x = p.values("x", {6, c});
    ops::Concatenate turned;
    for (int part = 2; part >= 0; --part) {
      const Tensor y = p.tensor("part " + std::to_string(part), Element::kFloat32, {2, c});
      p.node(ops::Slice{x, 2 * part, y});
      turned.parts.push_back(y);
    }
    turned.y = p.tensor("turned", Element::kFloat32, {6, c});
    p.node(turned);
    p.node(ops::Store{turned.y, p.state("kept", {6, c})});
    p.compare();
  }
}

TEST(NodeKernels, Grids) {
  NodeProgram p;
  const Shape shape{5, 1, 1, 6};
  const Tensor x = p.values("x", shape), width = p.input<BitWidth>("width", Element::kBitWidth, {BitWidth::integer(5)});
  for (const auto& [name, groups] :
       {std::pair{"rows", ops::by_output_channel()}, std::pair{"columns", ops::by_input_channel(1)},
        std::pair{"all", ops::one_group()}}) {
    const std::string of = name;
    const std::int64_t count = groups.count(shape);
    const Tensor ranges = p.tensor(of + " ranges", Element::kRange, {count});
    const Tensor grid = p.tensor(of + " grid", Element::kGrid, {count});
    p.node(ops::Range{x, ranges, groups});
    p.node(ops::FitGrid{ranges, width, grid, MinScale{0.3F, 0.0}, of == "all" ? kAffineWithZero : kAffine});
    ops::Quantise quantise;
    quantise.x = x;
    quantise.grid = grid;
    quantise.width = width;
    quantise.groups = groups;
    quantise.codes = p.tensor(of + " codes", Element::kCodes8, shape);
    p.node(quantise);
    p.node(ops::Dequantise{quantise.result(), p.tensor(of + " values", Element::kFloat32, shape)});
    p.node(ops::StepBounds{{grid}, p.tensor(of + " bounds", Element::kUint32, {1})});
    if (count == 1) p.node(ops::RunningRange{ranges, p.state("running", {2})});
  }
  const Tensor a = p.tensor("a", Element::kFloat32), sum = p.tensor("sum", Element::kFloat64);
  p.node(ops::Magnitude{x, a});
  p.node(ops::SumBound{a, a, sum});
  p.node(ops::SumBound{a, sum, p.tensor("sum of sums", Element::kFloat64)});
  p.compare();
}

TEST(NodeKernels, NesterovsGradient) {
  for (const double clip : {0.0, 0.5}) {
    NodeProgram p;
    const Shape shape{17, 61};
    ops::Nag nag;
    const Tensor gradient = p.tensor("g", Element::kFloat32, shape);
    p.node(ops::Scale{p.values("values", shape), 0.7F, gradient});
    nag.gradients = {gradient};
    nag.momenta = {p.state("m", shape)};
    nag.parameters = {p.state("w", shape)};
    nag.rate = p.input<float>("rate", Element::kFloat32, {0.01F});
    nag.rate_before = p.state("rate before v", {1});
    nag.rule.clip = clip;
    nag.rule.weight_decay = clip == 0.0 ? 0.0 : 0.1;
    if (clip > 0.0) nag.norm = p.tensor("norm", Element::kFloat64);
    p.node(nag);
    p.compare();
  }
}

}  // namespace
}  // namespace bitcycle::test
