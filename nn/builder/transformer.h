// SPDX-License-Identifier: Apache-2.0
// What Transformers are made of: layer normalisation, attention, dropout, positions, and a table of words that is both
// embedding and head (docs/numerics.md, 6.11 to 6.17). Values are (sequences, 1, time steps, c).
#pragma once

#include <string>

#include "nn/builder/recurrent.h"

namespace bitcycle::builder {

Value* layer_norm(Builder& builder, Value* x, const std::string& name);

/// In training: every element dropped with this probability; `name` is that of its random numbers. 0: x itself.
Value* dropout(Builder& builder, Value* x, const std::string& name, double probability);

/// fl(fl(x * sqrt(c)) + position).
Value* add_positions(Builder& builder, Value* x, const std::string& name, std::int64_t time_steps);

/// softmax(q k^T / sqrt(d)) v of every head, causal; quantised: both products are of integers, as layers NAME.qk and
/// NAME.pv, with running ranges NAME.qk.quantize_lhs and so on. attention_dropout: of the probabilities.
struct AttentionSpec {
  std::string name;
  std::int64_t heads = 1, time_steps = 1;
  bool quantised = true;
  double dropout = 0.0;
};
Value* attention(Builder& builder, Value* q, Value* k, Value* v, const AttentionSpec& spec);

/// A fully connected layer on every time step of sequences.
inline ConvShape sequence_shape(std::int64_t sequences, std::int64_t time_steps, std::int64_t outputs,
                                std::int64_t inputs) {
  ConvShape shape = matmul_shape(sequences, outputs, inputs);
  shape.w = time_steps;
  return shape;
}

/// Words to vectors with the table NAME.weight, which is the head's weight too.
struct TiedEmbedding {
  Value* rows = nullptr;
  Builder::Parameter table;
  Tensor head_gradient;  // what the head's weight gradient goes into
};
TiedEmbedding tied_embedding(Builder& builder, const std::string& name, std::int64_t words, std::int64_t size);

}  // namespace bitcycle::builder
