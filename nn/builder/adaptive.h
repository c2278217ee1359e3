// SPDX-License-Identifier: Apache-2.0
// A vocabulary in bands (docs/numerics.md, 6.16): the words of band 0 are the most frequent ones; those of band i have
// vectors of 1 / band_factor^i of the model's size, and a projection of their own. The tables and the projections of
// the input are the weights of the adaptive softmax too. What belongs to one band is computed for all rows, zeros where
// a row's word is of another.
#pragma once

#include <string>
#include <vector>

#include "nn/builder/recurrent.h"

namespace bitcycle::builder {

struct AdaptiveBand {
  std::int64_t first = 0, words = 0, size = 0;  // first word; numbers of a word
  Builder::Parameter table;                     // (words, size)
  Tensor table_gradient;                        // that the head's or tail's weight gradient goes into
  Builder::Parameter projection;                // (embedding, size)
  Tensor tail_gradient;                         // of its transpose, as the tail's first layer has it
};

struct AdaptiveInput {
  Value* rows = nullptr;  // the step's words as (sequences, 1, time steps, embedding)
  std::vector<AdaptiveBand> bands;
};

/// Tables NAME.embeddings.I.0.weight and projections NAME.embeddings.I.1.weight, whose products are layers
/// NAME.embeddings.I.1; bands by options().language. quantised: false: float32 whatever the schedule says.
AdaptiveInput adaptive_input(Builder& builder, const std::string& name, bool quantised);

/// The losses of head and tails and their sum; ends a model. Layers NAME.head.word_proj (the table of band 0),
/// NAME.head.class_proj (a class for each other band), NAME.tail.I.0 (x times the transposed projection of band I + 1),
/// NAME.tail.I.2 (its table).
void adaptive_softmax(Builder& builder, Value* x, const std::string& name, const AdaptiveInput& tied);

}  // namespace bitcycle::builder
