// SPDX-License-Identifier: Apache-2.0
#include "nn/builder/adaptive.h"

#include <cmath>

#include "nn/builder/transformer.h"

namespace bitcycle::builder {
namespace {

using Kind = InitialValues::Kind;

std::vector<std::int64_t> extents_of(Builder& builder, const Value& value) {
  return builder.result().program.spec(value.tensor).shape;
}

InitialValues xavier(std::int64_t inputs, std::int64_t outputs) {
  return {Kind::kUniform, std::sqrt(6.0 / static_cast<double>(inputs + outputs))};
}

/// x where the row's word is one of a band, else +0; so is the gradient.
Value* mask_rows(Builder& builder, Value* x, const std::string& name, Tensor words, const AdaptiveBand& band) {
  const auto shape = extents_of(builder, *x);
  ops::MaskRows op;
  op.x = x->tensor;
  op.tokens = words;
  op.first = band.first;
  op.count = band.words;
  op.y = builder.samples(name, "rows", Element::kFloat32, shape);
  builder.write(name, Pass::kForward, op);
  Value* y = builder.value(name, op.y, x->h, x->w, x->c);
  builder.backward([&builder, x, y, name, op, shape] {
    ops::MaskRows gradient = op;
    gradient.x = builder.gradient(y).tensor;
    gradient.y = builder.samples(name, "rows gradient", Element::kFloat32, shape);
    builder.write(name, Pass::kError, gradient);
    builder.contribute(x, {gradient.y, {}});
  });
  return y;
}

/// Rows of a band's table.
Value* band_rows(Builder& builder, const std::string& name, const AdaptiveBand& band, std::int64_t time_steps) {
  const Tensor tokens = builder.result().tokens;
  const Tensor y = builder.samples(name, "y", Element::kFloat32, {builder.batch(), 1, time_steps, band.size});
  builder.write(name, Pass::kForward, ops::BandRows{band.table.value, tokens, band.first, y});
  Value* rows = builder.value(name, y, 1, time_steps, band.size);
  builder.backward([&builder, name, tokens, band, rows] {
    const std::vector<std::int64_t> shape{band.words, 1, 1, band.size};
    const Tensor lookup = builder.tensor(name, "lookup gradient", Element::kFloat32, shape);
    builder.write(name, Pass::kWeightGradient,
                  ops::BandRowsGradient{tokens, builder.gradient(rows).tensor, band.first, lookup});
    builder.write(name, Pass::kWeightGradient, ops::Add{lookup, band.table_gradient, band.table.gradient});
  });
  return rows;
}

Value* concatenate_columns(Builder& builder, const std::string& name, Value* a, Value* b) {
  std::vector<std::int64_t> shape = extents_of(builder, *a);
  shape.back() = a->c + b->c;
  const Tensor y = builder.samples(name, "logits", Element::kFloat32, shape);
  builder.write(name, Pass::kForward, ops::ConcatenateColumns{{a->tensor, b->tensor}, y});
  Value* both = builder.value(name, y, a->h, a->w, a->c + b->c);
  builder.backward([&builder, name, a, b, both] {
    const Tensor dy = builder.gradient(both).tensor;
    std::int64_t first = 0;
    for (Value* part : {a, b}) {
      const Tensor dx = builder.samples(part->layer, "dy", Element::kFloat32, extents_of(builder, *part));
      builder.write(name, Pass::kError, ops::SliceColumns{dy, first, dx});
      builder.contribute(part, {dx, {}});
      first += part->c;
    }
  });
  return both;
}

/// Softmax cross-entropy of the head, or of a tail, whose label is -1 for words of other bands.
struct PartOfLoss {
  Tensor loss, losses;
};
PartOfLoss part_of_loss(Builder& builder, Value* logits, Tensor labels, bool partial) {
  NetworkProgram& result = builder.result();
  const std::string& name = logits->layer;
  const auto shape = extents_of(builder, *logits);
  ops::SoftmaxLoss op;
  op.logits = logits->tensor;
  op.labels = labels;
  op.loss = builder.tensor(name, "loss", Element::kLoss);
  op.partial = partial;
  if (builder.training()) {
    op.dlogits = builder.samples(name, "dlogits", Element::kFloat32, shape);
  } else {
    op.losses = builder.samples(name, "losses", Element::kFloat32, {result.program.spec(labels).size()});
  }
  builder.write("loss", Pass::kForward, op);
  if (builder.training()) {
    const Tensor position = builder.tensor(name, "logits not finite", Element::kInt64, {}, Lifetime::kReport);
    builder.write("loss", Pass::kForward, ops::FindNonFinite{{logits->tensor}, position});
    result.watches.push_back({Watch::What::kPosition, position, "output of " + name, false});
  }
  builder.backward([&builder, logits, op] { builder.contribute(logits, {op.dlogits, {}}); });
  return {op.loss, op.losses};
}

}  // namespace

AdaptiveInput adaptive_input(Builder& builder, const std::string& name, bool quantised) {
  const LanguageSizes& sizes = builder.options().language;
  std::vector<std::int64_t> ends = sizes.cutoffs;
  ends.push_back(sizes.vocabulary);
  AdaptiveInput input;
  AdaptiveBand band;
  band.size = sizes.embedding;
  for (std::size_t i = 0; i < ends.size(); ++i) {
    const std::string of = name + ".embeddings." + std::to_string(i), layer = of + ".1";
    band.words = ends[i] - band.first;
    const std::vector<std::int64_t> table{band.words, 1, 1, band.size}, projection{sizes.embedding, 1, 1, band.size};
    band.table = builder.trained(of + ".0.weight", {band.words, band.size}, table, false,
                                 {Kind::kNormal, 1.0 / std::sqrt(static_cast<double>(band.size))});
    band.projection = builder.trained(layer + ".weight", {sizes.embedding, band.size}, projection, false,
                                      xavier(band.size, sizes.embedding));
    Tensor own_gradient = band.projection.gradient;
    if (band.table.gradient) {
      band.table_gradient = builder.tensor(of + ".0", "head gradient", Element::kFloat32, table);
      if (i > 0) {
        own_gradient = builder.tensor(layer, "input gradient", Element::kFloat32, projection);
        band.tail_gradient = builder.tensor(layer, "tail gradient", Element::kFloat32,
                                            std::vector<std::int64_t>{band.size, 1, 1, sizes.embedding});
        // Recorded before either use, so that it is written behind both.
        builder.backward([&builder, layer, own_gradient, band, projection] {
          const Tensor turned = builder.tensor(layer, "tail gradient transposed", Element::kFloat32, projection);
          builder.write(layer, Pass::kWeightGradient, ops::Transpose{band.tail_gradient, turned});
          builder.write(layer, Pass::kWeightGradient, ops::Add{own_gradient, turned, band.projection.gradient});
        });
      }
    }
    ProductLayer linear =
        product_layer(builder, layer, sequence_shape(builder.batch(), sizes.time_steps, sizes.embedding, band.size),
                      band.projection, own_gradient, quantised);
    linear.has_absent_rows = true;
    Value* rows = QuantisedLinear(linear, Bias::kNone)(band_rows(builder, of + ".0", band, sizes.time_steps));
    rows = mask_rows(builder, rows, layer, builder.result().tokens, band);
    input.rows = i == 0 ? rows : add(builder, input.rows, rows);
    input.bands.push_back(band);
    band.first = ends[i];
    band.size /= sizes.band_factor;
  }
  return input;
}

void adaptive_softmax(Builder& builder, Value* x, const std::string& name, const AdaptiveInput& tied) {
  const LanguageSizes& sizes = builder.options().language;
  NetworkProgram& result = builder.result();
  const std::int64_t batch = builder.batch(), time_steps = sizes.time_steps, size = sizes.embedding;
  const auto shape = [&](std::int64_t outputs, std::int64_t inputs) {
    return sequence_shape(batch, time_steps, outputs, inputs);
  };
  x = dropout(builder, x, name + ".dropout", sizes.head_dropout);

  ops::BandLabels bands;
  bands.tokens = result.labels;
  for (std::size_t i = 0; i < tied.bands.size(); ++i) {
    const AdaptiveBand& band = tied.bands[i];
    bands.cutoffs.push_back(band.first + band.words);
    bands.labels.push_back(builder.samples(name, "labels " + std::to_string(i), Element::kInt32, {batch * time_steps}));
  }
  builder.write(name, Pass::kForward, bands);

  const AdaptiveBand& most_frequent = tied.bands.front();
  const auto classes = static_cast<std::int64_t>(tied.bands.size()) - 1;
  QuantisedLinear words(product_layer(builder, name + ".head.word_proj", shape(most_frequent.words, size),
                                      most_frequent.table, most_frequent.table_gradient, true),
                        Bias::kNone);
  QuantisedLinear of_bands(product_layer(builder, name + ".head.class_proj", shape(classes, size), {classes, size},
                                         true, xavier(size, classes)),
                           Bias::kNone);
  Value* word_logits = words(x);
  Value* logits = concatenate_columns(builder, name + ".head", word_logits, of_bands(x));
  result.classes = sizes.vocabulary;
  result.logits = logits->tensor;
  PartOfLoss sum = part_of_loss(builder, logits, bands.labels.front(), false);
  ops::AddLosses all;
  all.losses.push_back(sum.loss);
  for (std::size_t i = 1; i < tied.bands.size(); ++i) {
    const AdaptiveBand& band = tied.bands[i];
    const std::string tail = name + ".tail." + std::to_string(i - 1);
    Builder::Parameter turned;
    turned.value = builder.tensor(tail + ".0", "w", Element::kFloat32, {band.size, 1, 1, size});
    builder.write(tail + ".0", Pass::kForward, ops::Transpose{band.projection.value, turned.value});
    ProductLayer first = product_layer(builder, tail + ".0", shape(band.size, size), turned, band.tail_gradient, true);
    ProductLayer second =
        product_layer(builder, tail + ".2", shape(band.words, band.size), band.table, band.table_gradient, true);
    first.has_absent_rows = second.has_absent_rows = true;
    Value* y = QuantisedLinear(first, Bias::kNone)(mask_rows(builder, x, tail, result.labels, band));
    y = dropout(builder, mask_rows(builder, y, tail + ".0", result.labels, band), tail + ".1", sizes.head_dropout);
    const PartOfLoss part = part_of_loss(builder, QuantisedLinear(second, Bias::kNone)(y), bands.labels[i], true);
    all.losses.push_back(part.loss);
    if (builder.training()) continue;
    const bool last = i + 1 == tied.bands.size();
    const Tensor both = builder.samples(last ? "" : tail, last ? "losses" : "losses so far", Element::kFloat32,
                                        {batch * time_steps}, last ? Lifetime::kReport : Lifetime::kStep);
    builder.write("loss", Pass::kForward, ops::Add{sum.losses, part.losses, both});
    sum.losses = both;
  }
  result.losses = sum.losses;
  all.loss = result.loss = builder.tensor("", "loss", Element::kLoss, {}, Lifetime::kReport);
  builder.write("loss", Pass::kForward, all);
  if (builder.training()) result.watches.push_back({Watch::What::kLoss, result.loss, "loss", false});
}

}  // namespace bitcycle::builder
