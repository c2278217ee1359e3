// SPDX-License-Identifier: Apache-2.0
// The layers that Transformers share, pre-norm: x + dropout(attention(norm(x))), then x + dropout(fc2(dropout(relu(fc1(
// norm(x)))))). Names and initial values are fairseq's.
#pragma once

#include <string>

#include "nn/builder/transformer.h"

namespace bitcycle::builder {

/// Layers PREFIX.0, PREFIX.1, ...: sizes and quantised parts by options().language.
Value* transformer_layers(Builder& builder, Value* x, const std::string& prefix);

}  // namespace bitcycle::builder
