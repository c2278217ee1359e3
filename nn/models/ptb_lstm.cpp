// SPDX-License-Identifier: Apache-2.0
// ptb_lstm: the language model of CPT's Penn Treebank experiments: an embedding, LSTM layers and a decoder, all
// products quantised (docs/numerics.md, 6.8 to 6.10).
#include <cmath>

#include "nn/builder/recurrent.h"
#include "nn/builder/transformer.h"
#include "nn/models/model.h"

namespace bitcycle {
namespace {

using namespace builder;

constexpr InitialValues kTenth{InitialValues::Kind::kUniform, 0.1};
constexpr InitialValues kZero{InitialValues::Kind::kConstant, 0.0};

/// gates = W x_t + b + U h; both products have ranges and codes of their own at every time step.
std::vector<Value*> write_layer(Builder& b, const std::string& name, const std::string& number,
                                const std::vector<Value*>& inputs) {
  const LanguageSizes& sizes = b.options().language;
  const InitialValues initial{InitialValues::Kind::kUniform, 1.0 / std::sqrt(static_cast<double>(sizes.hidden))};
  QuantisedLinear of_input(b, name + ".W", b.batch(), inputs.front()->c, 4 * sizes.hidden, sizes.bias, initial,
                           initial);
  QuantisedLinear of_hidden(b, name + ".U", b.batch(), sizes.hidden, 4 * sizes.hidden, Bias::kNone, initial);
  LstmState state{carried(b, "hidden" + number, sizes.hidden), carried(b, "cell" + number, sizes.hidden)};
  std::vector<Value*> outputs;
  for (std::size_t t = 0; t < inputs.size(); ++t) {
    Value* from_input = of_input(inputs[t]);
    Value* from_hidden = of_hidden(state.output);
    state = lstm_cell(b, name, " " + std::to_string(t), from_input, from_hidden, state.cell);
    outputs.push_back(state.output);
  }
  store(b, "hidden" + number, state.output);
  store(b, "cell" + number, state.cell);
  return outputs;
}

void write_ptb_lstm(Builder& b, const std::string&, std::int64_t) {
  const LanguageSizes& sizes = b.options().language;
  const std::int64_t rows = sizes.time_steps * b.batch();
  tokens(b, rows);
  Value* x = embedding(b, "encoder", sizes.vocabulary, sizes.embedding, kTenth);
  x = dropout(b, x, "encoder.dropout", sizes.dropout);
  for (std::int64_t layer = 0; layer < sizes.layers; ++layer) {
    const std::string number = layer == 0 ? "" : std::to_string(layer), name = "rnn" + number;
    x = concatenate(b, name, write_layer(b, name, number, split_rows(b, x, sizes.time_steps)));
    x = dropout(b, x, name + ".dropout", sizes.dropout);
  }
  QuantisedLinear decoder(b, "decoder", rows, sizes.hidden, sizes.vocabulary, sizes.bias, kTenth, kZero);
  softmax_loss(b, decoder(x));
}

}  // namespace

ModelFamily ptb_lstm_family() { return {{"ptb_lstm"}, write_ptb_lstm, {}, Reads::kStreams}; }

}  // namespace bitcycle
